//! What is printed, and the exit code.

use std::path::Path;

use super::*;

fn mk_problem(severity: Severity) -> Problem {
    Problem {
        file: Some(Path::new("mesh/web.yaml").into()),
        line: Some(7),
        severity,
        object: Some("Service default/web".into()),
        field: Some("spec.ports[0].port".into()),
        reason: "70000 is not a port".into(),
    }
}

fn printed(problems: Vec<Problem>, json: bool) -> String {
    let mut out = Vec::new();
    print(
        &Reviewed {
            problems,
            objects: BTreeMap::from([("Pod", 2), ("Service", 1)]),
        },
        json,
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

fn exit_code(text: &str) -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    run(&ValidateArgs {
        path: folder.path().into(),
        json: false,
    })
    .unwrap()
}

#[test]
fn a_line_tells_place_object_field_and_reason() {
    assert_eq!(
        printed(vec![mk_problem(Severity::Error), mk_problem(Severity::Notice)], false),
        "mesh/web.yaml:7: Service default/web: spec.ports[0].port: 70000 is not a port\n\
         mesh/web.yaml:7: Service default/web: spec.ports[0].port: 70000 is not a port (notice)\n\
         good: 2 Pod, 1 Service; 1 error, 1 notice\n"
    );
}

#[test]
fn nothing_wrong_is_one_line() {
    assert_eq!(
        printed(Vec::new(), false),
        "good: 2 Pod, 1 Service; 0 errors, 0 notices\n"
    );
}

#[test]
fn json_holds_the_same() {
    let json: serde_json::Value = serde_json::from_str(&printed(vec![mk_problem(Severity::Error)], true)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "valid": false,
            "objects": {"Pod": 2, "Service": 1},
            "problems": [{
                "file": "mesh/web.yaml",
                "line": 7,
                "severity": "error",
                "object": "Service default/web",
                "field": "spec.ports[0].port",
                "reason": "70000 is not a port",
            }],
        })
    );
}

#[test]
fn errors_fail_and_notices_do_not() {
    let namespace = |label: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, labels: {{weft.dev/mesh: {label}}}}}\n")
    };
    assert_eq!(exit_code(&namespace("enabled")), ExitCode::SUCCESS);
    assert_eq!(
        exit_code("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"),
        ExitCode::SUCCESS
    );
    assert_eq!(exit_code(&namespace("maybe")), ExitCode::FAILURE);
    assert_eq!(exit_code("a: [1\n"), ExitCode::FAILURE);
}

#[test]
fn a_path_that_does_not_exist_is_an_error() {
    assert!(
        run(&ValidateArgs {
            path: "/nonexistent/weft".into(),
            json: false
        })
        .is_err()
    );
}
