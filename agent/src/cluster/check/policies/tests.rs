//! What is told about policies that are each valid.

use crate::cluster::files::{Source, review};

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: []}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
";

/// What is told of policies with these specs, named `p0`, `p1` and so on, without the place.
fn told(kind: &str, specs: &[&str]) -> Vec<String> {
    let policies = specs.iter().enumerate().map(|(index, spec)| {
        format!(
            "---\napiVersion: mesh.weft.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: p{index}, namespace: shop}}\nspec: {spec}\n"
        )
    });
    let text = format!("{OBJECTS}{}", policies.collect::<String>());
    let source = Source::Text {
        name: "mesh.yaml".into(),
        text,
    };
    let problems = review(source).unwrap().problems.into_iter();
    problems
        .map(|problem| {
            let object = problem.object.unwrap_or_default();
            format!("{object}: {}: {}", problem.field.unwrap_or_default(), problem.reason)
        })
        .collect()
}

#[test]
fn a_selector_that_selects_no_pod_is_told() {
    assert_eq!(
        told("AuthorizationPolicy", &["{selector: {matchLabels: {app: web}}}"]),
        [""; 0]
    );
    assert_eq!(
        told("AuthorizationPolicy", &["{selector: {matchLabels: {app: wbe}}}"]),
        ["AuthorizationPolicy shop/p0: spec.selector: it selects no pod"]
    );
}

#[test]
fn a_target_that_is_not_there_is_told() {
    let target = |name: &str| format!("{{targetRefs: [{{kind: Service, {name}}}]}}");
    assert_eq!(
        told("AuthorizationPolicy", &[&target("name: web, sectionName: http")]),
        [""; 0]
    );
    assert_eq!(
        told("AuthorizationPolicy", &[&target("name: wbe")]),
        ["AuthorizationPolicy shop/p0: spec.targetRefs[0].name: there is no Service shop/wbe: it holds for nobody"]
    );
    assert_eq!(
        told("AuthenticationPolicy", &[&target("name: web, sectionName: htpt")]),
        [
            "AuthenticationPolicy shop/p0: spec.targetRefs[0].sectionName: Service shop/web has no port named `htpt`: it \
             holds for all ports of its pods"
        ]
    );
}

#[test]
fn the_younger_of_two_policies_for_one_value_is_told() {
    let strict = "{mtls: {mode: Strict}}";
    let loser = |what: &str| {
        vec![format!(
            "AuthenticationPolicy shop/p1: spec.mtls: AuthenticationPolicy shop/p0 is older and decides on {what} for the \
             pods of both"
        )]
    };
    assert_eq!(told("AuthenticationPolicy", &[strict, strict]), loser("the mode"));
    assert_eq!(
        told(
            "AuthenticationPolicy",
            &[strict, "{mtls: {plaintextFrom: [10.0.0.0/8]}}"]
        ),
        [""; 0]
    );
    let port = |mode: &str| {
        format!("{{selector: {{matchLabels: {{app: web}}}}, mtls: {{ports: [{{port: 80, mode: {mode}}}]}}}}")
    };
    assert_eq!(
        told("AuthenticationPolicy", &[&port("Strict"), &port("Permissive")]),
        loser("the mode of port 80")
    );
    assert_eq!(
        told("AuthenticationPolicy", &[strict, &port("Permissive")]),
        [""; 0],
        "more specific"
    );
    let service = "{targetRefs: [{kind: Service, name: web}], mtls: {ports: [{port: 80, mode: Strict}]}}";
    assert_eq!(
        told("AuthenticationPolicy", &[&port("Strict"), service]),
        loser("the mode of port 80")
    );
    let section = "{targetRefs: [{kind: Service, name: web, sectionName: http}], mtls: {mode: Strict}}";
    assert_eq!(told("AuthenticationPolicy", &[section, section]), loser("the mode"));
    assert_eq!(
        told("AuthenticationPolicy", &[service, section]),
        [""; 0],
        "more specific"
    );
    let other = "{selector: {matchLabels: {app: db}}, mtls: {mode: Strict}}";
    assert_eq!(
        told("AuthenticationPolicy", &[&port("Strict"), other]),
        ["AuthenticationPolicy shop/p1: spec.selector: it selects no pod"]
    );
}

#[test]
fn authorization_policies_add_up() {
    assert_eq!(told("AuthorizationPolicy", &["{}", "{}"]), [""; 0]);
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let page = include_str!("../../../../../deploy/docs/policies.md");
    let blocks = page.split("```yaml\n").skip(1);
    let examples: Vec<&str> = blocks.filter_map(|block| block.split("```").next()).collect();
    let reviewed = review(Source::Text {
        name: "policies.md".into(),
        text: examples.join("---\n"),
    });
    let reviewed = reviewed.unwrap();
    // The pods and services that they speak of are not there.
    let unmet = [
        "it selects no pod",
        "there is no Service shop/cart: it holds for nobody",
    ];
    let reasons: Vec<&str> = reviewed
        .problems
        .iter()
        .map(|problem| problem.reason.as_str())
        .collect();
    assert!(reasons.iter().all(|reason| unmet.contains(reason)), "{reasons:?}");
    let counts = [("AuthenticationPolicy", 2), ("AuthorizationPolicy", 3)];
    assert_eq!(reviewed.objects, counts.into());
}
