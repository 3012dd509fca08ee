//! curl.

use std::fs;

use harness::{App, Outcome, Peer, or_skip};

use super::*;

#[test]
fn curl_gets_whole_answers_in_both_versions_and_uses_its_connection_again() {
    let curl = or_skip!(Peer::Curl.tool());
    everywhere(App::HttpEcho, echoes, |web, at| {
        let ask = |arguments: &[&str]| told(&curl, &web.client, arguments);
        let url = format!("http://{at}/words");
        for (flag, line, version) in VERSIONS {
            let told = ["--write-out", " %{http_code} %{http_version} %{num_connects}\n"];
            let answered = |connects: u8| format!("web 200 {line} {connects}\n");
            assert_eq!(ask(&[&told[..], &[flag, &url]].concat()).stdout, answered(1));
            // Older releases fail at their own second request of HTTP/2, whoever the server is (7.88 does).
            if flag == "--http1.1" {
                let thrice = ask(&[&told[..], &[flag, &url, &url, &url]].concat()).stdout;
                assert_eq!(thrice, [1, 0, 0].map(answered).concat());
            }

            let head = ask(&[flag, "--head", &url]).stdout.to_lowercase();
            assert!(head.starts_with(&format!("http/{line} 200")), "{head}");
            assert!(
                head.contains(&format!("x-asked: head {} {version}", target(version, at))),
                "{head}"
            );
            assert!(
                head.contains("content-length: 3\r\n") && head.ends_with("\r\n\r\n"),
                "{head}"
            );
        }
    });
}

#[test]
fn what_curl_uploads_comes_whole_when_it_waits_to_be_told_to_go_on_and_when_it_knows_no_length() {
    let curl = or_skip!(Peer::Curl.tool());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words");
    let words = "some words of many\n".repeat(50_000);
    fs::write(&file, &words).unwrap();
    let upload = format!("@{}", file.display());
    everywhere(App::HttpEcho, echoes, |web, at| {
        let url = format!("http://{at}/words");
        let send = |extra: &[&str]| {
            let sends = ["--verbose", "--data-binary", &upload, &url];
            let outcome = told(&curl, &web.client, &[extra, &sends].concat());
            (outcome.stdout, outcome.stderr.to_lowercase())
        };
        let waits = [
            "--http1.1",
            "--expect100-timeout",
            "20",
            "--header",
            "Expect: 100-continue",
        ];
        let (echoed, said) = send(&waits);
        assert!(
            echoed == words && said.contains("< http/1.1 100 continue\r\n"),
            "{said}"
        );
        let (echoed, said) = send(&["--http1.1", "--header", "Transfer-Encoding: chunked"]);
        assert!(
            echoed == words && said.contains("< transfer-encoding: chunked\r\n"),
            "{said}"
        );
        let (echoed, said) = send(&["--http2-prior-knowledge"]);
        assert!(echoed == words && said.contains("< http/2 200"), "{said}");

        denied(&web.mesh, || {
            let such = |said: &str| said == "weft: policy_denied\n";
            until_said(&curl, &web.client, &["--silent", &url], such);
            let sent = " %{http_code} %{size_upload}";
            let (refused, said) = send(&[&waits[..], &["--write-out", sent]].concat());
            assert_eq!(refused, "weft: policy_denied\n 403 0");
            assert!(!said.contains("100 continue"), "{said}");
            for (flag, line, _) in VERSIONS {
                let head = told(&curl, &web.client, &[flag, "--head", &url]).stdout.to_lowercase();
                assert!(head.starts_with(&format!("http/{line} 403")), "{head}");
                for field in ["x-weft-reason: policy_denied\r\n", "content-length: 20\r\n"] {
                    assert!(head.contains(field), "{head}");
                }
            }
        });
        until_said(&curl, &web.client, &["--silent", &url], |said| said == "web");
    });
}

#[test]
fn curl_is_led_where_routes_say_and_told_where_they_lead_nowhere() {
    let curl = or_skip!(Peer::Curl.tool());
    everywhere(App::HttpEcho, echoes, |web, at| {
        let prefix = |value: &str| json!([{ "path": { "type": "PathPrefix", "value": value } }]);
        let replaced = |with: &str| json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": with });
        let backend = |name: &str| json!([{ "name": name, "port": 80 }]);
        web.mesh.apply(&route_of(
            "HTTPRoute",
            "mesh/web",
            json!([
                { "matches": prefix("/old"), "filters": [
                    { "type": "RequestRedirect", "requestRedirect": { "statusCode": 301, "path": replaced("/new") } }] },
                { "matches": prefix("/new"), "backendRefs": backend("web"), "filters": [
                    { "type": "URLRewrite", "urlRewrite": { "path": replaced("/inside") } },
                    { "type": "ResponseHeaderModifier", "responseHeaderModifier": {
                        "add": [{ "name": "x-rule", "value": "new" }] } }] },
                { "matches": prefix("/nowhere"), "backendRefs": backend("nowhere") },
            ]),
        ));
        let url = |path: &str| format!("http://{}{path}", at.trim_end_matches(":80"));
        until_said(&curl, &web.client, &["--silent", &url("/else")], |said| {
            said == "weft: no_route\n"
        });
        let ask = |flag: &str, told: &str, path: &str| {
            let arguments = [
                flag,
                "--location",
                "--output",
                "/dev/null",
                "--write-out",
                told,
                &url(path),
            ];
            self::told(&curl, &web.client, &arguments).stdout
        };
        let led = "%{num_redirects} %{url_effective} %header{x-rule} %header{x-asked}";
        let inside = "new GET /inside/page?q=1 HTTP/1.1";
        // Two requests on one connection: see above for HTTP/2.
        assert_eq!(
            ask("--http1.1", led, "/old/page?q=1"),
            format!("1 {} {inside}", url("/new/page?q=1"))
        );
        for (flag, line, _) in VERSIONS {
            for (path, status) in [("/new/page", "200"), ("/else", "404"), ("/nowhere", "500")] {
                let told = ask(flag, "%{http_code} %{http_version}", path);
                assert_eq!(told, format!("{status} {line}"), "{path}");
            }
        }
        web.mesh
            .lab
            .manifests()
            .delete(&route_of("HTTPRoute", "mesh/web", json!([])));
        until_said(&curl, &web.client, &["--silent", &url("/else")], |said| said == "web");
    });
}

/// What it prints; it may have failed at nothing.
fn told(curl: &Tool, pod: &Pod, arguments: &[&str]) -> Outcome {
    let always = ["--silent", "--show-error", "--max-time", "30"];
    let outcome = curl.run(pod, &[&always[..], arguments].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
}

/// How an application is asked for `/words` in a version: with HTTP/2 the authority is a part of it.
fn target(version: &str, at: &str) -> String {
    match version {
        "http/2.0" => format!("http://{}/words", at.trim_end_matches(":80")),
        _ => "/words".to_owned(),
    }
}

/// A flag, the version that curl tells then, and the application's word for it.
const VERSIONS: [(&str, &str, &str); 2] = [
    ("--http1.1", "1.1", "http/1.1"),
    ("--http2-prior-knowledge", "2", "http/2.0"),
];
