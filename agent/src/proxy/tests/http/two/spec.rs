//! h2spec: what HTTP/2 says of a server, case by case, against the proxy.

use std::{fs, process::Command};

use harness::Peer;

use super::*;

#[test]
fn what_http_2_says_of_a_server_holds_but_for_the_cases_listed() {
    let h2spec = harness::or_skip!(Peer::H2spec.program());
    let Some((world, _echo)) = two("h2 spec", Some(AppProtocol::Http2)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.xml");
    let mut suite = Command::new(h2spec);
    suite
        .args(["--strict", "--timeout", &PATIENCE.as_secs().to_string()])
        .args(["--host", API, "--port", &world.out.to_string(), "--path", "/speak"])
        .arg("--junit-report")
        .arg(&report);
    let ran = world.front.run(|| suite.output()).unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let report = fs::read_to_string(&report).unwrap();
    let exceptions = EXCEPTIONS.map(|(section, case)| (section.to_owned(), case.to_owned()));
    assert_eq!(cases(&report), (CASES, exceptions.to_vec()), "{said}");
}

/// How many cases a JUnit report tells of, and section and words of those that did not pass.
fn cases(report: &str) -> (usize, Vec<(String, String)>) {
    let begins = |line: &&str| line.starts_with("<testcase ");
    let cases: Vec<_> = report.lines().map(str::trim).filter(begins).collect();
    let attribute = |case: &str, name: &str| {
        let (_, value) = case.split_once(&format!(" {name}=\"")).unwrap();
        value.split_once('"').unwrap().0.to_owned()
    };
    // Failures, errors and skips are elements inside.
    let failed = cases.iter().filter(|case| !case.ends_with("></testcase>"));
    let failed = failed.map(|case| (attribute(case, "package"), attribute(case, "classname")));
    (cases.len(), failed.collect())
}

/// All that the suite has of HTTP/2, HPACK and servers at large, the strict ones included.
const CASES: usize = 146;

/// The cases that do not pass.
const EXCEPTIONS: [(&str, &str); 1] = [
    // The port serves HTTP/1.1, too: its line and its blank line are a request of that, and the answer is a 400, not the end.
    ("http2/3.5", "Sends invalid connection preface"),
];

#[test]
fn a_report_is_counted_and_what_did_not_pass_is_named() {
    let report = "<testsuites>\n  \
        <testcase package=\"a/1\" classname=\"Sends one\" time=\"0.1\"></testcase>\n  \
        <testcase package=\"a/1\" classname=\"Sends two\" time=\"0.1\">\n    <error>late</error>\n  </testcase>\n";
    assert_eq!(cases(report), (2, vec![("a/1".to_owned(), "Sends two".to_owned())]));
}
