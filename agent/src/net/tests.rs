//! Tests against this machine's kernel, in namespaces of their own that nothing outlives.

use std::{net::Ipv4Addr, sync::mpsc, thread};

use nix::sched::{CloneFlags, unshare};

use super::*;

/// Makes a namespace with its loopback up, which ends with the handle; none where this user may not.
fn namespace(test: &str) -> Option<NetNs> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let made = unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| error.to_string())
            .and_then(|()| NetNs::current().map_err(|error| error.to_string()));
        sender.send(made).unwrap();
    });
    match receiver.recv().unwrap() {
        Ok(netns) => Some(netns),
        Err(reason) => {
            println!("SKIP {test}: no network namespace can be made: {reason}");
            None
        }
    }
}

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

#[test]
fn a_listener_is_on_loopback_outside_the_ephemeral_ports() {
    let Some(netns) = namespace("a_listener_is_on_loopback_outside_the_ephemeral_ports") else {
        return;
    };
    let ports = ListenerPorts::of(&netns, [65535, 65533]).unwrap();

    let listeners = [Family::V4, Family::V6]
        .map(|family| listen(&netns, family, &ports, Mark(0x2000_0000), Backlog::Namespace).unwrap());

    assert_eq!(
        listeners.map(|listener| listener.local_addr().unwrap().to_string()),
        ["127.0.0.1:65534", "[::1]:65534"]
    );
}

#[test]
fn a_listener_skips_ports_in_use() {
    let Some(netns) = namespace("a_listener_skips_ports_in_use") else {
        return;
    };
    let ports = ListenerPorts::of(&netns, []).unwrap();
    let _first = listen(&netns, Family::V4, &ports, Mark(0), Backlog::AtLeast(20_000)).unwrap();

    let second = listen(&netns, Family::V4, &ports, Mark(0), Backlog::Namespace).unwrap();

    assert_eq!(second.local_addr().unwrap(), (Ipv4Addr::LOCALHOST, 65534).into());
    assert_eq!(Sysctl::new("net/core/somaxconn").read(&netns).unwrap(), "20000");
}
