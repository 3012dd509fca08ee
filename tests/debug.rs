//! `weft debug`: what it shows is what the kernel holds, with the agent alive and dead.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, BufReader, Read as _},
    process::Stdio,
    time::Duration,
};

use agent_common::mark::{RULE_PREFERENCE, TABLE};
use harness::{App, BpfIds, Family, Launch, Object, Pod, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::{Mesh, Single, has_rule, is_captured, pins, wait_captured};

#[test]
fn programs_maps_and_links_are_those_of_the_kernel_with_the_agent_alive_and_dead() {
    let mesh = Single::start();
    let _pods = [mesh.pod("mesh/open"), mesh.pod("closed/closed")];
    let pinned = BpfIds::pinned(&mesh.node.pins());
    let check = |launch: &Launch| {
        assert_eq!(ids(&launch.debug(&["prog", "show"])), pinned.programs);
        assert_eq!(ids(&launch.debug(&["map", "show"])), pinned.maps);
        assert_eq!(ids(&launch.debug(&["link", "show"])), pinned.links);
    };
    check(mesh.agent.launch());
    check(&mesh.agent.kill());
}

#[test]
fn every_object_that_the_kernel_knows_is_shown_with_the_agent_dead() {
    let mesh = Single::start();
    let _pod = mesh.pod("mesh/pod");
    let launch = mesh.agent.kill();
    for object in ["prog", "map", "link", "cgroup", "feature", "pod", "stats"] {
        for command in ["show", "list"] {
            let shown = launch.debug(&[object, command]);
            assert!(
                shown.as_array().is_some_and(|rows| !rows.is_empty()),
                "{object} {command}: {shown}"
            );
            assert_eq!(launch.weft(&["debug", object, command]).code, Some(0));
        }
    }
    assert_eq!(launch.debug(&["map", "dump", "PODS"]).as_array().map(Vec::len), Some(1));
    let connections = launch.weft(&["debug", "conn", "show"]);
    assert_eq!(connections.code, Some(0), "{connections:?}");
    assert!(connections.stderr.contains("no agent answers"), "{connections:?}");
    for object in ["service", "endpoint"] {
        let outcome = launch.weft(&["debug", object, "show"]);
        assert_eq!(outcome.code, Some(1), "only the agent knows {object}s: {outcome:?}");
        assert!(outcome.stderr.contains("agent"), "{outcome:?}");
    }
}

#[test]
fn services_and_endpoints_are_shown_as_the_agent_sees_them() {
    let mesh = Single::start();
    let _server = mesh.node.pod("plain/a").label("app", "web").start();
    mesh.apply(&Object::service("plain/web", harness::Addresses::service(10), "web").port("main", 80, 8080));
    let with = |object, key: &'static str, wanted: &'static str| {
        wait::until(wait::PATIENCE, format!("{object} {wanted}"), || {
            let shown = mesh.agent.debug(&[object, "show"]);
            shown
                .as_array()
                .is_some_and(|rows| rows.iter().any(|row| row[key] == wanted))
        });
    };
    with("service", "name", "web");
    with("endpoint", "service", "plain/web");
}

#[test]
fn pods_are_shown_enrolled_or_not_and_captured_or_not() {
    let mesh = Single::start();
    let (inside, outside) = (mesh.pod("mesh/inside"), mesh.plain("outside"));
    let shown = wait::until_some(wait::PATIENCE, "both pods", || {
        let shown = mesh.agent.debug(&["pod", "show"]);
        [&inside, &outside]
            .iter()
            .all(|pod| row_of(&shown, pod.uid()).is_some())
            .then_some(shown)
    });
    let row = row_of(&shown, inside.uid()).unwrap();
    assert_eq!((&row["enrolled"], &row["captured"]), (&true.into(), &true.into()));
    assert_eq!(row["netns_ino"], inside.netns().inode());
    let row = row_of(&shown, outside.uid()).unwrap();
    assert_eq!((&row["enrolled"], &row["captured"]), (&false.into(), &false.into()));
}

#[test]
fn pod_check_finds_each_kind_of_drift() {
    let mesh = Single::start();
    let check = |pod: &Pod| {
        mesh.agent
            .launch()
            .weft(&["debug", "pod", "check", &pod.object().full_name()])
    };
    for drift in ["rule", "route", "sysctl", "policy", "link"] {
        let pod = mesh.pod(&format!("closed/{drift}"));
        assert_eq!(check(&pod).code, Some(0), "{:?}", check(&pod));
        match drift {
            "rule" => pod.netns().ip(&format!("rule del pref {RULE_PREFERENCE}\n")),
            "route" => drop(pod.netns().sh(&format!("ip -6 route flush table {TABLE}"))),
            "policy" => drop(pod.netns().sh("ip xfrm policy flush")),
            "sysctl" => pod.netns().set("ipv4/tcp_fwmark_accept", "0"),
            _ => std::fs::remove_file(pins(&mesh.node, &pod).join("links/lookup")).unwrap(),
        }
        let outcome = check(&pod);
        assert_eq!(outcome.code, Some(3), "{drift}: {outcome:?}");
        assert!(
            outcome.stdout.contains(&pod.object().full_name()) || outcome.stdout.contains(pod.uid()),
            "{outcome:?}"
        );
    }
}

#[test]
fn pod_check_says_that_listeners_are_missing_because_no_agent_runs() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let launch = mesh.agent.kill();
    wait::until(wait::PATIENCE, "the heartbeat stops", || {
        let check = launch.weft(&["debug", "pod", "check", pod.uid()]);
        check.code == Some(3) && check.stdout.contains("0, since no agent runs")
    });
}

#[test]
fn prefixes_that_are_unique_are_accepted_and_others_are_not() {
    let mesh = Single::start();
    let _pod = mesh.pod("mesh/pod");
    let launch = mesh.agent.launch();
    assert_eq!(launch.weft(&["debug", "po", "ch"]).code, Some(0));
    assert_eq!(launch.debug(&["pr", "sh"]), launch.debug(&["prog", "show"]));
    for usage in [
        &["debug", "p", "show"][..],
        &["debug", "nothing"],
        &["debug", "pod", "show", "--nothing"],
        &["debug"],
    ] {
        assert_eq!(launch.weft(usage).code, Some(2), "{usage:?}");
    }
}

#[test]
fn every_object_has_a_help_with_examples() {
    let mesh = Single::start();
    let launch = mesh.agent.launch();
    let objects = [
        "prog", "map", "link", "cgroup", "feature", "pod", "conn", "service", "endpoint", "stats", "dump", "trace",
        "cleanup",
    ];
    let helps = objects.map(|object| vec!["debug", object, "--help"]);
    for help in helps.into_iter().chain([
        vec!["debug", "--help"],
        vec!["agent", "--help"],
        vec!["validate", "--help"],
    ]) {
        let outcome = launch.weft(&help);
        assert_eq!(outcome.code, Some(0), "{help:?}");
        assert!(outcome.stdout.contains("Examples:\n"), "{help:?}: {}", outcome.stdout);
    }
}

#[test]
fn live_connections_are_shown_and_a_killed_one_is_reset_at_both_ends() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let agent = &mesh.agents[0];
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let listener = server.run(|| std::net::TcpListener::bind(to)).unwrap();
        let mut stream = client.connect(to).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        io::Write::write_all(&mut stream, b"hello").unwrap();
        accepted.read_exact(&mut [0; 5]).unwrap();

        let shown = wait::until_some(wait::PATIENCE, "the connection with its bytes", || {
            let shown = agent.debug(&["conn", "show", "--pod", "client"]);
            let rows = shown.as_array().cloned().unwrap_or_default();
            rows.into_iter()
                .find(|row| row["original_destination"] == to.to_string().as_str() && row["bytes_sent"] == 5)
        });
        assert_eq!(shown["source_pod"], "mesh/client");
        assert_eq!(shown["destination"], to.to_string().as_str());
        assert_eq!(shown["source"], stream.local_addr().unwrap().to_string().as_str());

        let outcome = agent
            .launch()
            .weft(&["debug", "conn", "kill", &shown["id"].to_string()]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for end in [&mut stream, &mut accepted] {
            assert_eq!(
                end.read(&mut [0; 8]).unwrap_err().kind(),
                io::ErrorKind::ConnectionReset
            );
        }
        agent.record("the cut", |record| {
            record["reason"] == "killed" && record["original_destination"] == to.to_string().as_str()
        });
    }
    assert_eq!(agent.launch().weft(&["debug", "conn", "kill", "4000000"]).code, Some(1));
}

#[test]
fn a_dump_is_read_elsewhere_as_the_machine_itself() {
    let mesh = Single::start();
    let _pod = mesh.pod("mesh/pod");
    let file = mesh.lab.folder().join("dump.json").display().to_string();
    let launch = mesh.agent.launch();
    assert_eq!(launch.weft(&["debug", "dump", "all", "--out", &file]).code, Some(0));
    for object in ["map", "link", "cgroup", "pod", "service", "endpoint"] {
        let read = launch.debug(&["-f", &file, object, "show"]);
        assert_eq!(read, launch.debug(&[object, "show"]), "{object}");
    }
    assert_eq!(
        launch.weft(&["debug", "-f", &file, "conn", "kill", "1"]).code,
        Some(1),
        "a file cannot be cut"
    );
}

#[test]
fn drops_are_traced_live_with_their_reason() {
    let mesh = Single::start();
    let (pod, client) = (mesh.pod("closed/pod"), mesh.plain("client"));
    let launch = mesh.agent.kill();
    let mut trace = launch
        .command(&["debug", "-j", "trace", "drop"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = trace.stdout.take().unwrap();
    let dialled = pod.addresses().at(Family::V4, 8080);
    let (line, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for read in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.send(read).is_err() {
                return;
            }
        }
    });
    // When the trace has begun cannot be seen from outside: dial until it says so.
    let traced = wait::until_some(wait::PATIENCE, "the drop", || {
        let _ = client.dial(dialled).timeout(Duration::from_millis(100)).connect();
        lines.try_recv().ok()
    });
    trace.kill().unwrap();
    trace.wait().unwrap();
    drop(lines);
    reader.join().unwrap();
    let traced: Value = serde_json::from_str(&traced).unwrap();
    assert_eq!(traced["reason"], "inbound_no_listener", "{traced}");
}

#[test]
fn cleanup_takes_everything_away_with_no_agent_running_and_refuses_while_one_runs() {
    let mesh = Single::start();
    let (pod, server) = (mesh.pod("closed/pod"), mesh.plain("server"));
    let app = server.serve(8080, App::Echo);
    let refused = mesh.agent.launch().weft(&["debug", "cleanup"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(is_captured(&mesh.node, &pod));

    let pinned = BpfIds::pinned(&mesh.node.pins());
    let launch = mesh.agent.kill();
    assert_eq!(launch.weft(&["debug", "cleanup"]).code, Some(0));
    assert!(!mesh.node.pins().exists());
    wait::until(wait::PATIENCE, "programs, maps and links gone", || {
        let now = BpfIds::read();
        now.programs.is_disjoint(&pinned.programs)
            && now.maps.is_disjoint(&pinned.maps)
            && now.links.is_disjoint(&pinned.links)
    });
    assert!(!has_rule(&pod), "its rules too");
    for family in Family::BOTH {
        let stream = pod.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(app.peers().last().unwrap(), &stream.local_addr().unwrap());
    }

    let _agent = launch.start();
    wait_captured(&mesh.node, &pod);
}

fn ids(rows: &Value) -> BTreeSet<u32> {
    let rows = rows.as_array().expect("a list");
    rows.iter()
        .filter_map(|row| row["id"].as_u64()?.try_into().ok())
        .collect()
}

fn row_of<'a>(rows: &'a Value, uid: &str) -> Option<&'a Value> {
    rows.as_array()?.iter().find(|row| row["uid"] == uid)
}

#[test]
fn policy_shows_what_holds_for_the_nodes_pods_and_what_is_wrong_with_it() {
    let mesh = Single::start();
    let (_client, _server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let members = json!({ "rules": [{ "from": [{ "namespaces": ["mesh"] }] }] });
    mesh.apply(&Object::policy("AuthorizationPolicy", "mesh/members", members));
    let misspelt = json!({ "selector": { "matchLabels": { "app": "server" } }, "mtls": { "modus": "Strict" } });
    mesh.apply(&Object::policy("AuthenticationPolicy", "mesh/strict", misspelt));
    let shown = || {
        let rows = mesh.agent.debug(&["policy", "show"]);
        let row = |row: &Value| {
            let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            (
                text("pod"),
                text("name"),
                row["understood"] == true,
                row["problems"].as_array().map_or(0, Vec::len),
            )
        };
        rows.as_array().expect("rows").iter().map(row).collect::<Vec<_>>()
    };
    let expected = [
        ("mesh/client", "members", true, 0),
        ("mesh/server", "strict", false, 1),
        ("mesh/server", "members", true, 0),
    ];
    let expected =
        expected.map(|(pod, name, understood, problems)| (pod.to_owned(), name.to_owned(), understood, problems));
    wait::until(wait::PATIENCE, "both policies shown", || shown() == expected);

    let test = |from: &str, to: &str| {
        let outcome = mesh
            .agent
            .launch()
            .weft(&["debug", "policy", "test", "--from", from, "--to", to, "--port", "80"]);
        (
            outcome.code,
            outcome.stdout.lines().next().unwrap_or_default().to_owned(),
        )
    };
    let (code, told) = test("mesh/server", "mesh/client");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.ends_with("allowed (allow_matches)"), "{told}");
    let (code, told) = test("192.0.2.1", "mesh/client");
    assert_eq!(code, Some(3), "{told}");
    assert!(told.ends_with("denied (no_allow_matches)"), "{told}");
    let (code, told) = test("mesh/client", "mesh/server");
    assert_eq!(code, Some(3), "{told}");
    assert!(told.ends_with("denied (not_understood)"), "{told}");
}

#[test]
fn a_pod_of_another_node_is_asked_about_by_what_it_proves() {
    let mesh = Mesh::start();
    let (_client, _server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let members = json!({ "rules": [{ "from": [{ "namespaces": ["mesh"], "podLabels": { "app": "client" } }] }] });
    mesh.apply(&Object::policy("AuthorizationPolicy", "mesh/members", members));
    let test = |from: &[&str]| {
        let asked = [
            "debug",
            "policy",
            "test",
            "--to",
            "mesh/server",
            "--port",
            "80",
            "--from",
        ];
        mesh.agents[1].launch().weft(&[&asked, from].concat())
    };
    let unknown = test(&["mesh/client"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    for part in [
        "no pod here is called mesh/client",
        "--from spiffe://",
        "--label",
        "--address",
    ] {
        assert!(unknown.stderr.contains(part), "{part}: {}", unknown.stderr);
    }
    let proven = "spiffe://cluster.local/ns/mesh/sa/default";
    let named = [proven, "--label", "app=client"];
    wait::until(wait::PATIENCE, "the policy decides", || {
        test(&named).stdout.contains("allowed (allow_matches)")
    });
    let unnamed = test(&[proven]);
    assert_eq!(unnamed.code, Some(3), "{unnamed:?}");
    assert!(
        unnamed.stdout.contains("AuthorizationPolicy mesh/members"),
        "{}",
        unnamed.stdout
    );
}
