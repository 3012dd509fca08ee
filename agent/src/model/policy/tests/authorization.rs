//! Actions, rules, and how policies add up.

use super::*;
use crate::model::sample::mk_pod;

fn mesh(policies: Vec<AuthorizationPolicy>) -> Mesh {
    mk_guarded(vec![mk_pod("web", "10.0.0.1")], mk_policies(policies, vec![]))
}

#[test]
fn without_a_policy_everybody_is_let_in() {
    assert_eq!(decided(&mesh(vec![]), 80, &plaintext("10.0.0.9")), "allowed");
}

#[test]
fn one_allow_policy_denies_the_rest() {
    let rule = mk_rule(Source {
        principals: vec![principal("shop/cart")],
        ..Source::default()
    });
    let mesh = mesh(vec![mk_authorization("p", Action::Allow, vec![rule])]);
    assert_eq!(decided(&mesh, 80, &proven(&cart(), "10.0.0.9")), ALLOWED);
    assert_eq!(
        decided(&mesh, 80, &proven(&mk_identity("shop", "other"), "10.0.0.9")),
        UNMATCHED
    );
    assert_eq!(decided(&mesh, 80, &plaintext("10.0.0.9")), UNMATCHED);
}

#[test]
fn an_allow_policy_without_rules_lets_nobody_in_and_a_deny_policy_refuses_nobody() {
    let allow = mesh(vec![mk_authorization("p", Action::Allow, vec![])]);
    assert_eq!(decided(&allow, 80, &proven(&cart(), "10.0.0.9")), UNMATCHED);
    let deny = mesh(vec![mk_authorization("p", Action::Deny, vec![])]);
    assert_eq!(decided(&deny, 80, &proven(&cart(), "10.0.0.9")), "allowed");
}

#[test]
fn a_rule_without_conditions_means_everybody() {
    let all = || vec![Rule::default()];
    let allow = mesh(vec![mk_authorization("p", Action::Allow, all())]);
    assert_eq!(decided(&allow, 80, &plaintext("fd00::9")), ALLOWED);
    let deny = mesh(vec![mk_authorization("p", Action::Deny, all())]);
    assert_eq!(decided(&deny, 80, &plaintext("fd00::9")), DENIED);
}

#[test]
fn allow_policies_add_up_and_deny_goes_before_them() {
    let of = |account: &str| {
        mk_rule(Source {
            principals: vec![principal(account)],
            ..Source::default()
        })
    };
    let mesh = mesh(vec![
        mk_authorization("a", Action::Allow, vec![of("shop/cart")]),
        mk_authorization("b", Action::Allow, vec![of("shop/front"), of("shop/back")]),
        mk_authorization("z", Action::Deny, vec![of("shop/back")]),
    ]);
    let decided = |account| decided(&mesh, 80, &proven(&mk_identity("shop", account), "10.0.0.9"));
    assert_eq!(decided("cart"), "allowed by default/a[0]");
    assert_eq!(decided("front"), "allowed by default/b[0]");
    assert_eq!(decided("back"), "deny_matches by default/z[0]");
    assert_eq!(decided("none"), "no_allow_matches by default/a", "the first of them");
}

#[test]
fn audit_records_and_decides_nothing() {
    let policies = vec![
        mk_authorization("audit-1", Action::Audit, vec![Rule::default()]),
        mk_authorization(
            "audit-2",
            Action::Audit,
            vec![mk_rule(Source {
                principals: vec![principal("shop/cart")],
                ..Source::default()
            })],
        ),
        mk_authorization(
            "deny",
            Action::Deny,
            vec![mk_rule(Source {
                namespaces: vec!["other".into()],
                ..Source::default()
            })],
        ),
    ];
    let mesh = mesh(policies);
    let other = mk_identity("other", "x");
    assert_eq!(
        decided(&mesh, 80, &proven(&cart(), "10.0.0.9")),
        "allowed audit default/audit-1 audit default/audit-2"
    );
    assert_eq!(
        decided(&mesh, 80, &plaintext("10.0.0.9")),
        "allowed audit default/audit-1"
    );
    assert_eq!(
        decided(&mesh, 80, &proven(&other, "10.0.0.9")),
        "deny_matches by default/deny[0] audit default/audit-1"
    );
}

#[test]
fn one_of_from_and_one_of_to_must_match() {
    let rule = Rule {
        from: vec![
            Source {
                namespaces: vec!["shop".into()],
                ..Source::default()
            },
            Source {
                ip_blocks: vec![IpBlock {
                    cidr: "192.0.2.0/24".parse().unwrap(),
                    except: Vec::new(),
                }],
                ..Source::default()
            },
        ],
        to: vec![
            Operation {
                ports: vec![80, 81],
                not_ports: vec![81],
                ..Operation::default()
            },
            Operation {
                not_ports: vec![80, 81, 82],
                ..Operation::default()
            },
        ],
    };
    let mesh = mesh(vec![mk_authorization("p", Action::Allow, vec![rule])]);
    let decided = |port, caller: &Caller<'_>| decided(&mesh, port, caller) == ALLOWED;
    assert!(decided(80, &proven(&cart(), "10.0.0.9")));
    assert!(decided(83, &plaintext("192.0.2.1")));
    assert!(!decided(81, &proven(&cart(), "10.0.0.9")));
    assert!(!decided(82, &plaintext("192.0.2.1")));
    assert!(!decided(80, &plaintext("10.0.0.9")));
}

#[test]
fn what_needs_l7_never_allows_and_always_denies() {
    let to = |needs_l7| Operation {
        ports: vec![80],
        needs_l7,
        ..Operation::default()
    };
    let policy = |action| {
        let rule = Rule {
            from: vec![],
            to: vec![to(true)],
        };
        mesh(vec![mk_authorization("p", action, vec![rule])])
    };
    let caller = plaintext("10.0.0.9");
    assert_eq!(decided(&policy(Action::Allow), 80, &caller), UNMATCHED);
    assert_eq!(decided(&policy(Action::Deny), 80, &caller), DENIED);
    assert_eq!(decided(&policy(Action::Deny), 81, &caller), "allowed");
    assert_eq!(decided(&policy(Action::Audit), 80, &caller), "allowed audit default/p");
    let both = Rule {
        from: vec![],
        to: vec![to(true), to(false)],
    };
    let mesh = mesh(vec![mk_authorization("p", Action::Allow, vec![both])]);
    assert_eq!(decided(&mesh, 80, &caller), ALLOWED);
}

#[test]
fn what_is_not_understood_denies() {
    let partial = AuthorizationPolicy {
        support: Support::Partial,
        ..mk_authorization("p", Action::Allow, vec![Rule::default()])
    };
    let caller = plaintext("10.0.0.9");
    assert_eq!(
        decided(&mesh(vec![partial]), 80, &caller),
        "not_understood by default/p"
    );
    let undecodable = |namespace: &str| {
        let policies = Policies {
            undecodable: vec![PolicyId {
                kind: PolicyKind::AuthorizationPolicy,
                name: ObjectName::new(namespace, "p"),
            }],
            ..Policies::default()
        };
        decided(&mk_guarded(vec![mk_pod("web", "10.0.0.1")], policies), 80, &caller)
    };
    assert_eq!(undecodable("default"), "not_understood by default/p");
    assert_eq!(undecodable("weft-system"), "not_understood by weft-system/p");
    assert_eq!(undecodable("other"), "allowed");
}

#[test]
fn a_pod_of_another_node_is_let_in_nowhere() {
    let mesh = mesh(vec![]);
    let decision = mesh.authorise(&mk_pod("gone", "10.0.0.2"), 80, &plaintext("10.0.0.9"));
    assert_eq!(decision.verdict, Verdict::Denied(Why::NoSuchPod));
    assert!(!mesh.admits_plaintext(&mk_pod("gone", "10.0.0.2"), 80, mk_ip("10.0.0.9")));
}
