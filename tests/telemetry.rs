//! What is told: one record for each connection, counters that agree with the records, and whether the agent is ready.

use std::io;

use harness::{App, Family, Talk, wait};

use crate::mesh::{Mesh, Single};

#[test]
fn counters_agree_with_the_records() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let servers = [
        mesh.pod(0, "mesh/near"),
        mesh.pod(1, "mesh/far"),
        mesh.plain(1, "plain"),
    ];
    let _apps = servers.each_ref().map(|server| server.serve(8080, App::Echo));
    for server in &servers {
        for family in Family::BOTH {
            let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
            assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            assert!(
                client
                    .connect(server.addresses().at(family, 9))
                    .and_then(Talk::hear)
                    .is_err()
            );
        }
    }
    let agent = &mesh.agents[0];
    wait::until(wait::PATIENCE, "twelve records", || agent.records().len() == 12);
    for direction in ["outbound", "local", "inbound"] {
        let records: Vec<_> = agent
            .records()
            .into_iter()
            .filter(|record| record["direction"] == direction)
            .collect();
        let label = format!("direction=\"{direction}\"");
        let sum = |key| records.iter().filter_map(|record| record[key].as_f64()).sum::<f64>();
        let counted = |metric| agent.metric(metric, &[&label]);
        assert_eq!(
            counted("weft_connections_closed_total"),
            records.len() as f64,
            "{direction}"
        );
        assert_eq!(counted("weft_sent_bytes_total"), sum("bytes_sent"), "{direction}");
        assert_eq!(
            counted("weft_received_bytes_total"),
            sum("bytes_received"),
            "{direction}"
        );
        for record in records.iter().filter(|record| record["reason"].is_string()) {
            let reason = format!("reason={}", record["reason"]);
            assert!(
                agent.metric("weft_connections_closed_total", &[&label, &reason]) >= 1.0,
                "{reason}"
            );
        }
    }
}

#[test]
fn the_admin_port_serves_what_it_says_and_nothing_else() {
    let mesh = Single::start();
    for (path, status) in [
        ("/readyz", 200),
        ("/livez", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/connections", 404),
    ] {
        assert_eq!(mesh.agent.http(path).unwrap().0, status, "{path}");
    }
    let text = mesh.agent.http("/metrics").unwrap().1;
    assert!(text.contains("# TYPE weft_connections_opened counter"), "{text}");
}

#[test]
fn the_access_log_may_be_text_or_off() {
    for (form, lines) in [("text", 1), ("off", 0)] {
        let mesh = Single::start_with(&["--access-log", form]);
        let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
        let _app = server.serve(8080, App::Echo);
        let to = server.addresses().at(Family::V4, 8080);
        assert_eq!(Talk::ask(client.connect(to).unwrap(), b"hello").unwrap(), b"hello");
        wait::until(wait::PATIENCE, "the connection counted", || {
            mesh.agent.metric("weft_connections_closed_total", &[]) == 1.0
        });
        wait::until(wait::PATIENCE, format!("{lines} lines"), || {
            mesh.agent.records().len() == lines
        });
        if let [line] = mesh.agent.records().as_slice() {
            let line = line.as_str().expect("text is no JSON");
            assert!(
                line.contains(" (mesh/client) -> ") && line.contains(&to.to_string()),
                "{line}"
            );
        }
    }
}

#[test]
fn a_connection_whose_peer_is_silent_is_kept_alive() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        // The agent's two sockets, towards the client and towards the server, are those of the pod with a timer.
        let sockets = client.netns().sh("ss -Htno state established");
        assert_eq!(sockets.matches("timer:(keepalive").count(), 2, "{sockets}");
    }
}

#[test]
fn an_agent_that_cannot_read_its_folder_does_not_claim_to_be_ready() {
    let lab = harness::Lab::new();
    let node = lab.node("one");
    let agent = node.agent().manifests(std::path::Path::new("/nowhere")).spawn();
    // Either it waits for the folder or it ends aloud; a folder that is not there is no empty mesh.
    wait::until(wait::PATIENCE, "the folder named", || {
        agent.logged().contains("/nowhere")
    });
    let ready = agent.http("/readyz").map(|(status, _)| status);
    assert!(!matches!(ready, Ok(200)), "{ready:?}");
    assert!(ready.is_ok() || ready.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
}
