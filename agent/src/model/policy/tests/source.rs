//! Every field of a rule's source.

use super::*;

fn block(cidr: &str, except: &[&str]) -> IpBlock {
    IpBlock {
        cidr: cidr.parse().unwrap(),
        except: except.iter().map(|hole| hole.parse().unwrap()).collect(),
    }
}

/// Asserts what a source makes of a caller in an ALLOW policy and in a DENY policy.
fn assert_source(source: &Source, caller: &Caller<'_>, allows: bool, denies: bool) {
    let allow = alone(Action::Allow, source.clone(), caller);
    assert_eq!(
        allow,
        if allows { ALLOWED } else { UNMATCHED },
        "{source:?} of {caller:?}"
    );
    let deny = alone(Action::Deny, source.clone(), caller);
    assert_eq!(
        deny,
        if denies { DENIED } else { "allowed" },
        "{source:?} of {caller:?}"
    );
}

#[test]
fn a_principal_is_one_account_a_whole_namespace_or_anybody_proven() {
    let cases = [
        (principal("shop/cart"), [true, false, false]),
        (principal("shop/*"), [true, true, false]),
        (Principal::Any, [true, true, true]),
    ];
    let callers = [cart(), mk_identity("shop", "other"), mk_identity("other", "cart")];
    for (principal, expected) in cases {
        let is = Source {
            principals: vec![principal.clone()],
            ..Source::default()
        };
        let is_not = Source {
            not_principals: vec![principal],
            ..Source::default()
        };
        for (identity, means) in callers.iter().zip(expected) {
            let caller = proven(identity, "10.0.0.9");
            assert_source(&is, &caller, means, means);
            assert_source(&is_not, &caller, !means, !means);
        }
        assert_source(&is, &plaintext("10.0.0.9"), false, false);
        assert_source(&is_not, &plaintext("10.0.0.9"), false, true);
    }
}

#[test]
fn an_identity_of_another_trust_domain_is_meant_only_by_its_name() {
    let foreign = Identity::new("other.org", "shop", "cart");
    let caller = proven(&foreign, "10.0.0.9");
    let of = |trust_domain: Option<&str>| Source {
        principals: vec![Principal::Account {
            trust_domain: trust_domain.map(Into::into),
            namespace: "shop".into(),
            service_account: "cart".into(),
        }],
        ..Source::default()
    };
    assert_source(&of(None), &caller, false, false);
    assert_source(&of(Some("other.org")), &caller, true, true);
    assert_source(&of(Some("other.org")), &proven(&cart(), "10.0.0.9"), false, false);
    let namespace = Source {
        namespaces: vec!["shop".into()],
        ..Source::default()
    };
    assert_source(&namespace, &caller, false, false);
}

#[test]
fn a_namespace_is_that_of_the_identity() {
    let is = Source {
        namespaces: vec!["a".into(), "shop".into()],
        ..Source::default()
    };
    let is_not = Source {
        not_namespaces: vec!["a".into(), "shop".into()],
        ..Source::default()
    };
    let other = mk_identity("other", "cart");
    assert_source(&is, &proven(&cart(), "10.0.0.9"), true, true);
    assert_source(&is, &proven(&other, "10.0.0.9"), false, false);
    assert_source(&is, &plaintext("10.0.0.9"), false, false);
    assert_source(&is_not, &proven(&cart(), "10.0.0.9"), false, false);
    assert_source(&is_not, &proven(&other, "10.0.0.9"), true, true);
    assert_source(&is_not, &plaintext("10.0.0.9"), false, true);
}

#[test]
fn labels_must_all_be_there_and_count_beside_an_identity_only() {
    let is = Source {
        pod_labels: mk_labels(&[("app", "cart"), ("tier", "1")]),
        ..Source::default()
    };
    let is_not = Source {
        not_pod_labels: mk_labels(&[("app", "cart"), ("tier", "1")]),
        ..Source::default()
    };
    let (all, some) = (
        mk_labels(&[("app", "cart"), ("more", "x"), ("tier", "1")]),
        mk_labels(&[("app", "cart"), ("tier", "2")]),
    );
    let identity = cart();
    let with = |labels| Caller {
        labels: Some(labels),
        ..proven(&identity, "10.0.0.9")
    };
    assert_source(&is, &with(&all), true, true);
    assert_source(&is, &with(&some), false, false);
    assert_source(&is_not, &with(&all), false, false);
    assert_source(&is_not, &with(&some), true, true);
    let forged = Caller {
        identity: None,
        ..with(&all)
    };
    for unlabelled in [forged, proven(&identity, "10.0.0.9")] {
        assert_source(&is, &unlabelled, false, false);
        assert_source(&is_not, &unlabelled, false, true);
    }
}

#[test]
fn addresses_are_in_ranges_with_holes_of_both_families() {
    let cases = [
        (
            block("10.1.0.0/16", &["10.1.2.0/24"]),
            "10.1.3.4",
            "10.1.2.3",
            "10.2.0.1",
        ),
        (
            block("fd00:1::/32", &["fd00:1:2::/48"]),
            "fd00:1:3::4",
            "fd00:1:2::3",
            "fd00:2::1",
        ),
        (
            block("10.1.0.0/16", &["10.1.2.0/24"]),
            "::ffff:10.1.3.4",
            "::ffff:10.1.2.3",
            "::ffff:10.2.0.1",
        ),
        (block("192.0.2.7/32", &[]), "192.0.2.7", "192.0.2.8", "fd00::7"),
    ];
    for (block, inside, hole, outside) in cases {
        let is = Source {
            ip_blocks: vec![block.clone()],
            ..Source::default()
        };
        let is_not = Source {
            not_ip_blocks: vec![block],
            ..Source::default()
        };
        assert_source(&is, &plaintext(inside), true, true);
        assert_source(&is, &plaintext(hole), false, false);
        assert_source(&is, &plaintext(outside), false, false);
        assert_source(&is_not, &plaintext(inside), false, false);
        assert_source(&is_not, &plaintext(hole), true, true);
        assert_source(&is_not, &plaintext(outside), true, true);
    }
}

#[test]
fn a_family_has_no_address_in_the_others_whole_range() {
    for (range, other) in [("0.0.0.0/0", "fd00::1"), ("::/0", "10.0.0.1")] {
        let source = Source {
            ip_blocks: vec![block(range, &[])],
            ..Source::default()
        };
        assert_source(&source, &plaintext(other), false, false);
    }
}

#[test]
fn all_that_a_source_gives_must_match() {
    let source = Source {
        principals: vec![Principal::Any],
        namespaces: vec!["shop".into()],
        ip_blocks: vec![block("10.0.0.0/8", &[])],
        ..Source::default()
    };
    assert_source(&source, &proven(&cart(), "10.0.0.9"), true, true);
    assert_source(&source, &proven(&cart(), "192.0.2.1"), false, false);
    assert_source(
        &source,
        &proven(&mk_identity("other", "cart"), "10.0.0.9"),
        false,
        false,
    );
    assert_source(&source, &plaintext("10.0.0.9"), false, false);
}

#[test]
fn claims_need_l7() {
    let claims = Source {
        needs_l7: true,
        ..Source::default()
    };
    assert_source(&claims, &plaintext("10.0.0.9"), false, true);
}
