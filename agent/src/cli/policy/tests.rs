//! Questions to a folder.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: PolicyArgs,
}

const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {weft.dev/mesh: enabled}}
---
apiVersion: v1
kind: Pod
metadata: {name: front-0, namespace: shop, labels: {app: front}}
spec: {nodeName: node-1, serviceAccountName: front, containers: []}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-0, namespace: shop, labels: {app: cart}}
spec: {nodeName: node-2, containers: []}
status: {podIP: 10.0.1.1}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: mesh.weft.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  rules: [{from: [{principals: [shop/front], podLabels: {app: front}}], to: [{ports: [8080]}]}]
";

fn exit_code(question: &str) -> Result<ExitCode, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), MESH).unwrap();
    let path = folder.path().display().to_string();
    let line = ["weft-policy", "test", "--manifests", &path]
        .into_iter()
        .chain(question.split_whitespace());
    let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
    run(&line.args).map_err(|error| error.to_string())
}

#[test]
fn the_exit_code_tells_whether_the_connection_is_let_in() {
    let denied = Ok(ExitCode::from(3));
    let allowed = Ok(ExitCode::SUCCESS);
    for (question, expected) in [
        ("--from shop/front-0 --to shop/cart --port 80", &allowed),
        ("--from shop/front-0 --to svc/cart --port 80", &allowed),
        ("--from 10.0.0.1 --to pod/shop/cart-0 --port 8080", &allowed),
        ("--from shop/front-0 --to shop/cart-0 --port 8081", &denied),
        ("--from 10.0.0.7 --to shop/cart --port 80", &denied),
        (
            "--from spiffe://cluster.local/ns/shop/sa/front --to shop/cart --port 80",
            &denied,
        ),
        (
            "--from spiffe://cluster.local/ns/shop/sa/front --label app=front --to shop/cart --port 80",
            &allowed,
        ),
    ] {
        assert_eq!(&exit_code(question), expected, "{question}");
    }
}

#[test]
fn who_is_not_there_is_an_error() {
    let error = |question| exit_code(question).unwrap_err();
    assert!(error("--from shop/none --to shop/cart --port 80").starts_with("no pod here is called shop/none"));
    assert!(error("--from 10.0.0.7 --to shop/none --port 80").ends_with("is called shop/none"));
    assert!(error("--from 10.0.0.7 --to shop/cart --port 81").ends_with("is called shop/cart"));
}

#[test]
fn wrong_names_are_usage_errors() {
    for question in [
        "--from a_b? --to c --port 80",
        "--from a --to c --port 0",
        "--from a --to c",
        "--from spiffe://x --to c --port 1",
    ] {
        assert!(exit_code(question).unwrap_err().starts_with("error:"), "{question}");
    }
}
