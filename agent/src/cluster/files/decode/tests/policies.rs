//! Security policies: what is taken, what is refused, and what makes a policy deny.

use super::*;
use crate::model::{Support, Target};

const AUTHENTICATION: &str =
    "apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthenticationPolicy\nmetadata: {name: p, namespace: shop}\n";
const AUTHORIZATION: &str =
    "apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n";

/// The problems, without what all of them begin with.
fn short(text: &str) -> Vec<String> {
    let prefix = |kind: &str| format!("{kind}Policy shop/p: ");
    let problems = report(text).into_iter();
    problems
        .map(|problem| {
            problem
                .replace(&prefix("Authorization"), "")
                .replace(&prefix("Authentication"), "")
        })
        .collect()
}

fn object(text: &str) -> Option<Object> {
    match decode(&file(), text).pop() {
        Some(Entry {
            content: Content::Object(_, object),
            ..
        }) => object,
        other => panic!("{other:?}"),
    }
}

/// What a policy holds for, and whether all of it is understood.
fn taken(text: &str) -> Option<(Target, Support)> {
    Some(match object(text)? {
        Object::AuthenticationPolicy(policy) => (policy.target.clone(), policy.support),
        Object::AuthorizationPolicy(policy) => (policy.target.clone(), policy.support),
        other => panic!("{other:?}"),
    })
}

#[test]
fn every_field_of_an_authentication_policy_is_read() {
    let text = format!(
        "{AUTHENTICATION}spec:\n  selector: {{matchLabels: {{app: web}}}}\n  mtls:\n    mode: Strict\n    \
         plaintextFrom: [10.0.0.0/8, 'fd00::/8']\n    ports:\n    - {{port: 9443, mode: Permissive, plaintextFrom: []}}\n"
    );
    assert_eq!(short(&text), [""; 0]);
    let Some(Object::AuthenticationPolicy(policy)) = object(&text) else {
        panic!("it is taken")
    };
    let ranges = |text: &str| text.parse().map(|range: ipnet::IpNet| range).unwrap();
    assert_eq!(
        *policy,
        crate::model::AuthenticationPolicy {
            name: ObjectName::new("shop", "p"),
            created: None,
            target: Target::Selector([("app".into(), "web".into())].into()),
            mtls: crate::model::WrittenMtls {
                mode: Some(crate::model::MtlsMode::Strict),
                plaintext_from: Some([ranges("10.0.0.0/8"), ranges("fd00::/8")].into()),
                ports: [(
                    9443,
                    crate::model::PortMtls {
                        mode: Some(crate::model::MtlsMode::Permissive),
                        plaintext_from: Some([].into()),
                    }
                )]
                .into(),
            },
            support: Support::Whole,
        }
    );
}

#[test]
fn the_age_of_an_authentication_policy_is_read() {
    let text = AUTHENTICATION.replace("{name: p,", "{name: p, creationTimestamp: '1970-01-01T00:01:40Z',");
    let Some(Object::AuthenticationPolicy(policy)) = object(&text) else {
        panic!("it is taken")
    };
    assert_eq!(policy.created, Some(100));
}

#[test]
fn every_field_of_an_authorization_policy_is_read() {
    use crate::model::{Action, IpBlock, Operation, Principal, Rule, ServiceTarget, Source};
    let text = format!(
        "{AUTHORIZATION}spec:\n  targetRefs:\n  - {{group: '', kind: Service, name: web, sectionName: http}}\n  \
         action: DENY\n  rules:\n  - from:\n    - principals: ['*', a/*, a/b, 'spiffe://x.org/ns/a/sa/*', \
         'spiffe://x.org/ns/a/sa/b']\n      notPrincipals: [a/b]\n      namespaces: [a]\n      notNamespaces: [b]\n      \
         podLabels: {{k: v}}\n      notPodLabels: {{k: w}}\n      ipBlocks: [{{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]\n      \
         notIpBlocks: [{{cidr: 'fd00::/8'}}]\n    to:\n    - {{ports: [80], notPorts: [81]}}\nstatus: {{ancestors: []}}\n"
    );
    assert_eq!(short(&text), [""; 0]);
    let Some(Object::AuthorizationPolicy(policy)) = object(&text) else {
        panic!("it is taken")
    };
    let namespace = |trust_domain: Option<&str>| Principal::Namespace {
        trust_domain: trust_domain.map(Into::into),
        namespace: "a".into(),
    };
    let account = |trust_domain: Option<&str>| Principal::Account {
        trust_domain: trust_domain.map(Into::into),
        namespace: "a".into(),
        service_account: "b".into(),
    };
    let source = Source {
        principals: vec![
            Principal::Any,
            namespace(None),
            account(None),
            namespace(Some("x.org")),
            account(Some("x.org")),
        ],
        not_principals: vec![account(None)],
        namespaces: vec!["a".into()],
        not_namespaces: vec!["b".into()],
        pod_labels: [("k".into(), "v".into())].into(),
        not_pod_labels: [("k".into(), "w".into())].into(),
        ip_blocks: vec![IpBlock {
            cidr: "10.0.0.0/8".parse().unwrap(),
            except: vec!["10.1.0.0/16".parse().unwrap()],
        }],
        not_ip_blocks: vec![IpBlock {
            cidr: "fd00::/8".parse().unwrap(),
            except: vec![],
        }],
        needs_l7: false,
    };
    assert_eq!(
        *policy,
        crate::model::AuthorizationPolicy {
            name: ObjectName::new("shop", "p"),
            target: Target::Services(vec![ServiceTarget {
                service: "web".into(),
                section: Some("http".into()),
            }]),
            action: Action::Deny,
            rules: vec![Rule {
                from: vec![source],
                to: vec![Operation {
                    ports: vec![80],
                    not_ports: vec![81],
                    needs_l7: false,
                }],
            }],
            support: Support::Whole,
        }
    );
}

#[test]
fn a_policy_without_a_spec_is_one_for_the_namespace() {
    for text in [AUTHENTICATION, AUTHORIZATION] {
        assert_eq!(short(text), [""; 0]);
        assert_eq!(taken(text), Some((Target::All, Support::Whole)));
    }
    let empty = format!("{AUTHORIZATION}spec: {{selector: {{}}}}\n");
    assert_eq!(taken(&empty), Some((Target::All, Support::Whole)));
}

#[test]
fn what_is_not_known_makes_the_policy_deny_its_targets() {
    let selected = || Target::Selector([("app".into(), "web".into())].into());
    let table: [(String, &str, Target); 8] = [
        (
            format!("{AUTHORIZATION}spec:\n  selector: {{matchLabels: {{app: web}}}}\n  action: PERMIT\n"),
            "mesh.yaml:6: spec.action: `PERMIT` is none of ALLOW, DENY, AUDIT: the policy denies its targets",
            selected(),
        ),
        (
            format!("{AUTHORIZATION}spec:\n  selector: {{matchLabels: {{app: web}}}}\n  rules:\n  - form: []\n"),
            "mesh.yaml:7: spec.rules[0].form: unknown field: the policy denies its targets",
            selected(),
        ),
        (
            format!(
                "{AUTHORIZATION}spec:\n  selector: {{matchLabels: {{app: web}}}}\n  rules:\n  - from:\n    - principals: \
                 ['*']\n      countries: [ch]\n"
            ),
            "mesh.yaml:9: spec.rules[0].from[0].countries: unknown field: the policy denies its targets",
            selected(),
        ),
        (
            format!("{AUTHENTICATION}spec:\n  selector: {{matchLabels: {{app: web}}}}\n  jwt: {{}}\n"),
            "mesh.yaml:6: spec.jwt: unknown field: the policy denies its targets",
            selected(),
        ),
        (
            format!("{AUTHENTICATION}spec:\n  mtls:\n    mode: STRICT\n"),
            "mesh.yaml:6: spec.mtls.mode: `STRICT` is neither `Permissive` nor `Strict`: the policy denies its targets",
            Target::All,
        ),
        (
            format!("{AUTHENTICATION}specs: {{}}\n"),
            "mesh.yaml:4: specs: unknown field: the policy denies its targets",
            Target::All,
        ),
        (
            format!("{AUTHORIZATION}spec:\n  selector:\n    matchLabels: {{app: web}}\n    matchExpressions: []\n"),
            "mesh.yaml:7: spec.selector.matchExpressions: unknown field: the policy denies its targets",
            Target::All,
        ),
        (
            format!(
                "{AUTHORIZATION}spec:\n  targetRefs:\n  - {{group: gateway.networking.k8s.io, kind: Gateway, name: a}}\n"
            ),
            "mesh.yaml:6: spec.targetRefs[0].kind: `gateway.networking.k8s.io/Gateway` cannot be targeted, only a Service \
             (group \"\"): the policy denies its targets",
            Target::All,
        ),
    ];
    for (text, problem, target) in table {
        assert_eq!(short(&text), [problem], "of\n{text}");
        assert_eq!(taken(&text), Some((target, Support::Partial)), "of\n{text}");
    }
}

#[test]
fn an_unknown_field_of_the_metadata_changes_nothing() {
    let text = AUTHORIZATION.replace("{name: p,", "{name: p, colour: red,");
    assert_eq!(
        short(&text),
        ["mesh.yaml:3: metadata.colour: unknown field: it has no effect"]
    );
    assert_eq!(taken(&text), Some((Target::All, Support::Whole)));
}

#[test]
fn wrong_values_are_refused() {
    let rule = |source: &str| format!("{AUTHORIZATION}spec:\n  rules:\n  - from:\n    - {source}\n");
    let table: [(String, &str); 13] = [
        (
            format!("{AUTHORIZATION}spec:\n  selector: {{}}\n  targetRefs: [{{kind: Service, name: a}}]\n"),
            "mesh.yaml:5: spec.selector: a policy has `targetRefs` or a `selector`, not both",
        ),
        (
            format!("{AUTHORIZATION}spec:\n  targetRefs: []\n"),
            "mesh.yaml:5: spec.targetRefs: an empty list is no target: leave it out to mean the whole namespace",
        ),
        (
            format!("{AUTHORIZATION}spec:\n  rules: all\n"),
            "mesh.yaml:5: spec.rules: invalid type: string \"all\", expected a sequence",
        ),
        (
            rule("principals: [cart]"),
            "mesh.yaml:7: spec.rules[0].from[0].principals[0]: `cart` is no identity: write `namespace/account`, \
             `namespace/*`, `*`, or the same as spiffe://<trust domain>/ns/<namespace>/sa/<account>",
        ),
        (
            rule("principals: [sh*p/cart]"),
            "mesh.yaml:7: spec.rules[0].from[0].principals[0]: `sh*p/cart` is no identity: write `namespace/account`, \
             `namespace/*`, `*`, or the same as spiffe://<trust domain>/ns/<namespace>/sa/<account>",
        ),
        (
            rule("namespaces: []"),
            "mesh.yaml:7: spec.rules[0].from[0].namespaces: an empty list matches nothing: leave it out to match everything",
        ),
        (
            rule("notPodLabels: {}"),
            "mesh.yaml:7: spec.rules[0].from[0].notPodLabels: no label: leave it out to match everything",
        ),
        (
            rule("ipBlocks: [{cidr: 10.0.0.0}]"),
            "mesh.yaml:7: spec.rules[0].from[0].ipBlocks[0].cidr: `10.0.0.0` is not an address range such as 10.0.0.0/8",
        ),
        (
            rule("ipBlocks: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]"),
            "mesh.yaml:7: spec.rules[0].from[0].ipBlocks[0].except[0]: 11.0.0.0/16 is not within 10.0.0.0/8",
        ),
        (
            format!("{AUTHORIZATION}spec:\n  rules:\n  - to:\n    - ports: [70000]\n"),
            "mesh.yaml:7: spec.rules[0].to[0].ports[0]: 70000 is not a port: it must be between 1 and 65535",
        ),
        (
            format!("{AUTHENTICATION}spec:\n  mtls:\n    plaintextFrom: [here]\n"),
            "mesh.yaml:6: spec.mtls.plaintextFrom[0]: `here` is not an address range such as 10.0.0.0/8",
        ),
        (
            format!("{AUTHENTICATION}spec:\n  mtls:\n    ports:\n    - port: 80\n    - port: 80\n"),
            "mesh.yaml:8: spec.mtls.ports[1].port: 80 stands already further up",
        ),
        (
            AUTHORIZATION.replace("v1alpha1", "v2"),
            "mesh.yaml:1: apiVersion: this version of the kind is not read, only `mesh.weft.dev/v1alpha1`",
        ),
    ];
    for (text, problem) in table {
        assert_eq!(short(&text), [problem], "of\n{text}");
        assert_eq!(taken(&text), None, "of\n{text}");
    }
}

#[test]
fn what_needs_l7_is_taken_and_told() {
    let fields = "methods: [GET]\n      notPaths: [/x]\n      headers: [{name: a, values: [b]}]";
    let text =
        format!("{AUTHORIZATION}spec:\n  rules:\n  - from:\n    - claims: [{{name: iss}}]\n    to:\n    - {fields}\n");
    let allows = "needs L7, which is not read: it lets nobody in";
    assert_eq!(
        short(&text),
        [
            format!("mesh.yaml:7: spec.rules[0].from[0].claims: {allows}"),
            format!("mesh.yaml:11: spec.rules[0].to[0].headers: {allows}"),
            format!("mesh.yaml:9: spec.rules[0].to[0].methods: {allows}"),
            format!("mesh.yaml:10: spec.rules[0].to[0].notPaths: {allows}"),
        ]
    );
    let Some(Object::AuthorizationPolicy(policy)) = object(&text) else {
        panic!("it is taken")
    };
    assert_eq!(policy.support, Support::Whole);
    assert!(policy.rules[0].from[0].needs_l7 && policy.rules[0].to[0].needs_l7);
    let deny = format!("{AUTHORIZATION}spec:\n  action: DENY\n  rules:\n  - to:\n    - hosts: [a]\n");
    assert_eq!(
        short(&deny),
        [
            "mesh.yaml:8: spec.rules[0].to[0].hosts: needs L7, which is not read: the rule denies as if the field were left out"
        ]
    );
}

#[test]
fn labels_alone_let_in_pods_of_every_namespace_which_is_told() {
    let rule = |action: &str, source: &str| {
        format!(
            "{AUTHORIZATION}spec:\n  action: {action}\n  rules:\n  - from:\n    - {{podLabels: {{app: a}}{source}}}\n"
        )
    };
    assert_eq!(
        short(&rule("ALLOW", "")),
        [
            "mesh.yaml:8: spec.rules[0].from[0].podLabels: pods of every namespace can carry these labels: name \
             `namespaces` or `principals` beside them"
        ]
    );
    assert_eq!(short(&rule("ALLOW", ", namespaces: [shop]")), [""; 0]);
    assert_eq!(short(&rule("DENY", "")), [""; 0]);
}

#[test]
fn a_network_policy_is_known_by_its_content() {
    let policy = |port: u16| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec:\n  podSelector: {{}}\n  \
             ingress:\n  - ports: [{{port: {port}}}]\n"
        )
    };
    assert_eq!(report(&policy(80)), [""; 0]);
    assert_eq!(object(&policy(80)), object(&policy(80)));
    assert_ne!(object(&policy(80)), object(&policy(81)));
}

#[test]
fn policies_of_other_groups_are_not_weft_s() {
    let istio = AUTHORIZATION.replace("mesh.weft.dev/v1alpha1", "security.istio.io/v1");
    assert!(matches!(
        &decode(&file(), &istio)[..],
        [Entry {
            content: Content::Unread { .. },
            ..
        }]
    ));
}
