//! Who is let in by whom.

use std::time::{Duration, SystemTime};

use super::{super::authority::Validity, *};
use crate::telemetry::Denied;

/// Why the client refused, and that the server has no connection either.
async fn refused(client: &Credentials, server: &Credentials, expected: &Expected) -> TlsError {
    let (dialled, accepted) = shake(client, server, expected).await;
    assert!(
        accepted.is_err(),
        "the server must not believe in a connection that its client has refused"
    );
    dialled.expect_err("the client must refuse")
}

/// Why the server refused.
async fn turned_away(client: &Credentials, server: &Credentials, expected: &Expected) -> TlsError {
    shake(client, server, expected)
        .await
        .1
        .expect_err("the server must refuse")
}

fn reason(error: &TlsError) -> (Denied, Option<Refused>) {
    let refused = if let TlsError::Refused(refused) = error {
        Some(refused.clone())
    } else {
        None
    };
    (error.denied(), refused)
}

#[tokio::test]
async fn two_pods_know_each_other_over_either_family() {
    let ca = SampleCa::new();
    for (loopback, ips) in [("127.0.0.1", ["10.0.0.1", "10.0.0.2"]), ("::1", ["fd00::1", "fd00::2"])] {
        let (cart, web) = (mk_pod("cart", ips[0]), mk_pod("web", ips[1]));
        let identities = ca.identities(&[&cart, &web]);
        let (client, server) = (of(&identities, &cart), of(&identities, &web));
        let (dialled, accepted) = shake_over(&pair(loopback).await, &client, &server, &expect(&web)).await;
        let (dialled, accepted) = (dialled.expect("a client"), accepted.expect("a server"));
        assert_eq!(dialled.peer.uid, web.uid);
        assert_eq!(accepted.peer.uid, cart.uid);
        assert_eq!(&accepted.peer.identity, client.identity());
        assert_eq!(&accepted.peer.serial, client.serial());
        assert_eq!(accepted.peer.node.as_deref(), Some("node-1"));
        assert_eq!((dialled.protocol, accepted.protocol), (Protocol::Tcp, Protocol::Tcp));
        assert!(!dialled.resumed && !accepted.resumed);
    }
}

#[tokio::test]
async fn a_pod_is_known_by_its_address_where_no_slice_names_it() {
    let ca = SampleCa::new();
    for ips in [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]] {
        let (cart, web) = (mk_pod("cart", ips[0]), mk_pod("web", ips[1]));
        let identities = ca.identities(&[&cart, &web]);
        let (client, server) = (of(&identities, &cart), of(&identities, &web));
        let by_address = |ip: IpAddr| Expected {
            uid: None,
            ip,
            namespace: None,
        };
        let (dialled, _accepted) = shake(&client, &server, &by_address(web.ips[0])).await;
        assert_eq!(dialled.expect("a client").peer.uid, web.uid);
        let error = refused(&client, &server, &by_address(cart.ips[0])).await;
        assert_eq!(reason(&error), (Denied::PeerNotVerified, None));
    }
}

#[tokio::test]
async fn an_ipv4_address_in_ipv6_form_is_the_same_address() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = SampleCa::new().identities(&[&cart, &web]);
    let IpAddr::V4(ip) = web.ips[0] else { panic!("IPv4") };
    let expected = Expected {
        uid: None,
        ip: ip.to_ipv6_mapped().into(),
        namespace: None,
    };
    let (dialled, _accepted) = shake(&of(&identities, &cart), &of(&identities, &web), &expected).await;
    dialled.expect("a client");
}

#[tokio::test]
async fn another_pod_than_the_dialled_one_is_refused() {
    let (cart, web, thief) = (
        mk_pod("cart", "10.0.0.1"),
        mk_pod("web", "10.0.0.2"),
        mk_pod("thief", "10.0.0.2"),
    );
    let identities = SampleCa::new().identities(&[&cart, &web, &thief]);
    // The address was web's and is the thief's: the UID decides.
    let error = refused(&of(&identities, &cart), &of(&identities, &thief), &expect(&web)).await;
    assert_eq!(reason(&error), (Denied::PeerNotVerified, None));
}

#[tokio::test]
async fn a_pod_of_another_namespace_than_its_slice_is_refused() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = SampleCa::new().identities(&[&cart, &web]);
    let expected = Expected {
        namespace: Some("shop".into()),
        ..expect(&web)
    };
    let error = refused(&of(&identities, &cart), &of(&identities, &web), &expected).await;
    let namespaces = Refused::Namespace {
        dialled: "shop".into(),
        found: "default".into(),
    };
    assert_eq!(reason(&error), (Denied::PeerNotVerified, Some(namespaces)));
}

#[tokio::test]
async fn a_name_that_no_certificate_can_bear_is_refused_before_a_byte_is_sent() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = SampleCa::new().identities(&[&cart, &web]);
    let expected = Expected {
        uid: Some(PodUid::new("a b/c")),
        ..expect(&web)
    };
    let (dialled, _closed) = shake(&of(&identities, &cart), &of(&identities, &web), &expected).await;
    assert!(matches!(dialled, Err(TlsError::Unnameable { .. })));
}

#[tokio::test]
async fn a_root_of_another_mesh_is_refused_on_both_sides() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let (ours, theirs) = (SampleCa::new(), SampleCa::new());
    let (here, there) = (ours.identities(&[&cart]), theirs.identities(&[&web]));
    let error = refused(&of(&here, &cart), &of(&there, &web), &expect(&web)).await;
    assert_eq!(reason(&error), (Denied::PeerNotVerified, None));

    // A client which believes that server, and is not believed by it.
    let both = SampleCa::new().nobody();
    let roots = [
        ours.authority.certificate().to_vec(),
        theirs.authority.certificate().to_vec(),
    ];
    both.set_trust(trust::Trust::new(sample::TRUST_DOMAIN.into(), &roots, &[], DenyList::default()).expect("roots"));
    ours.issue(&both, &ours.grant(&cart), an_hour());
    let error = turned_away(&of(&both, &cart), &of(&there, &web), &expect(&web)).await;
    assert_eq!(reason(&error), (Denied::PeerNotVerified, None));
}

#[tokio::test]
async fn another_trust_domain_under_the_same_root_is_refused_on_both_sides() {
    let ca = SampleCa::new();
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = ca.identities(&[&cart]);
    let mut grant = ca.grant(&web);
    grant.identity.trust_domain = "evil.example".into();
    ca.issue(&identities, &grant, an_hour());
    let (cart_credentials, web_credentials) = (of(&identities, &cart), of(&identities, &web));
    let by_address = Expected {
        uid: None,
        ..expect(&web)
    };
    let found = Refused::TrustDomain {
        found: "evil.example".into(),
    };
    let error = refused(&cart_credentials, &web_credentials, &by_address).await;
    assert_eq!(reason(&error), (Denied::PeerNotVerified, Some(found.clone())));
    let expected = Expected {
        uid: None,
        ..expect(&cart)
    };
    let error = turned_away(&web_credentials, &cart_credentials, &expected).await;
    assert_eq!(reason(&error), (Denied::PeerNotVerified, Some(found)));
}

#[tokio::test]
async fn a_pod_whose_own_certificate_is_over_neither_dials_nor_answers() {
    let ca = SampleCa::new();
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = ca.identities(&[&web]);
    let hour = Duration::from_secs(3600);
    let over = Validity::starting(SystemTime::now() - 2 * hour, hour);
    ca.issue(&identities, &ca.grant(&cart), over);
    assert!(identities.of(&cart.uid).is_none(), "what is over is no certificate");
    let all = identities.all();
    let old = all
        .iter()
        .find(|credentials| credentials.uid() == &cart.uid)
        .expect("held");
    let (dialled, _closed) = shake(old, &of(&identities, &web), &expect(&web)).await;
    assert_eq!(dialled.expect_err("over").denied(), Denied::NoCertificate);
    let (_closed, accepted) = shake(&of(&identities, &web), old, &expect(&cart)).await;
    assert_eq!(accepted.expect_err("over").denied(), Denied::NoCertificate);
}

#[tokio::test]
async fn the_deny_list_refuses_by_node_identity_pod_and_serial_and_nobody_else() {
    let ca = SampleCa::new();
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let theirs = ca.identities(&[&cart]);
    let ours = ca.identities(&[&web]);
    let (client, server) = (of(&theirs, &cart), || of(&ours, &web));
    let denials = [
        Denial::Node("node-1".into()),
        Denial::Identity(client.identity().clone()),
        Denial::Pod(cart.uid.clone()),
        Denial::Serial(client.serial().clone()),
    ];
    for denial in denials {
        ca.trust(&ours, DenyList::from_iter([denial.clone()]));
        let error = turned_away(&client, &server(), &expect(&web)).await;
        assert_eq!(reason(&error), (Denied::IdentityDenied, Some(Refused::Denied(denial))));
        // As the client too.
        let error = refused(&server(), &client, &expect(&cart)).await;
        assert_eq!(error.denied(), Denied::IdentityDenied);
    }
    ca.trust(
        &ours,
        DenyList::from_iter([Denial::Pod(PodUid::new("uid-other")), Denial::Node("node-2".into())]),
    );
    let (_dialled, accepted) = shake(&client, &server(), &expect(&web)).await;
    let peer = accepted.expect("a server").peer;
    assert!(!ours.refuses(&peer));
    let mut changes = ours.changes();
    changes.mark_unchanged();
    ca.trust(&ours, DenyList::from_iter([Denial::Serial(peer.serial.clone())]));
    assert!(
        changes.has_changed().expect("a sender"),
        "live connections are examined again"
    );
    assert!(ours.refuses(&peer), "a live connection is found by its peer");
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_told_so() {
    let web = mk_pod("web", "10.0.0.2");
    let identities = SampleCa::new().identities(&[&web]);
    let (dialled, accepted) = pair("127.0.0.1").await;
    send(&dialled, b"GET / HTTP/1.1\r\n\r\n").await;
    let error = accept(&accepted, &of(&identities, &web), Vec::new())
        .await
        .expect_err("no TLS");
    assert_eq!(error.denied(), Denied::TlsFailed);
}

#[tokio::test]
async fn a_peer_that_leaves_in_the_middle_ends_the_handshake() {
    let web = mk_pod("web", "10.0.0.2");
    let identities = SampleCa::new().identities(&[&web]);
    let (dialled, accepted) = pair("127.0.0.1").await;
    send(&dialled, b"\x16\x03\x01\x02\x00\x01").await;
    drop(dialled);
    let error = accept(&accepted, &of(&identities, &web), Vec::new())
        .await
        .expect_err("gone");
    assert!(matches!(error, TlsError::Closed), "{error}");
}
