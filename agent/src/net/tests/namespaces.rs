//! Coming and going.

use super::{super::*, namespace};

#[test]
fn work_runs_in_the_namespace_and_the_thread_comes_back() {
    let Some(netns) = namespace("work_runs_in_the_namespace_and_the_thread_comes_back") else {
        return;
    };
    let home = NetNs::current().unwrap();

    let inside = netns.run(|| NetNs::current().unwrap()).unwrap();

    assert_eq!(inside, netns);
    assert_ne!(inside, home);
    assert_eq!(NetNs::current().unwrap(), home);
}

#[test]
fn a_panic_inside_a_namespace_leaves_it() {
    let Some(netns) = namespace("a_panic_inside_a_namespace_leaves_it") else {
        return;
    };
    let home = NetNs::current().unwrap();

    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| netns.run(|| panic!("on purpose"))));

    assert!(result.is_err());
    assert_eq!(NetNs::current().unwrap(), home);
}

#[test]
fn a_namespace_within_another_leads_back_to_it() {
    let test = "a_namespace_within_another_leads_back_to_it";
    let Some((outer, inner)) = namespace(test).zip(namespace(test)) else {
        return;
    };

    let between = outer
        .run(|| {
            inner.run(|| ()).unwrap();
            NetNs::current().unwrap()
        })
        .unwrap();

    assert_eq!(between, outer);
}

#[test]
fn a_cookie_names_one_namespace() {
    let Some((one, other)) = namespace("a_cookie_names_one_namespace").zip(namespace("a_cookie_names_one_namespace"))
    else {
        return;
    };

    assert_eq!(
        one.cookie().unwrap(),
        one.run(NetNs::current).unwrap().unwrap().cookie().unwrap()
    );
    assert_ne!(one.cookie().unwrap(), other.cookie().unwrap());
}

#[test]
fn only_network_namespaces_are_opened() {
    let file = tempfile::NamedTempFile::new().unwrap();

    assert!(NetNs::open("/proc/self/ns/net").is_ok());
    for wrong in [file.path(), "/proc/self/ns/mnt".as_ref(), "/dev/null".as_ref()] {
        assert!(
            matches!(NetNs::open(wrong), Err(NetError::NotANamespace { .. })),
            "{wrong:?}"
        );
    }
    assert!(matches!(NetNs::open("/nowhere"), Err(NetError::Open { .. })));
}
