//! At a limit the agent refuses with a reason and goes on for all others; one slow peer slows nobody.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{Addresses, App, Family, Object, Pod, Talk, wait};

use crate::mesh::{Mesh, Single};

#[test]
fn a_pod_at_its_connection_limit_is_refused_and_others_go_on() {
    let mesh = Single::start_with(&["--max-connections-per-pod", "5"]);
    let [greedy, modest] = ["mesh/greedy", "mesh/modest"].map(|name| mesh.pod(name));
    let server = mesh.plain("server");
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        wait::until(wait::PATIENCE, "no connection left", || {
            mesh.agent
                .debug(&["conn", "show"])
                .as_array()
                .is_some_and(Vec::is_empty)
        });
        let held: Vec<_> = (0..5).map(|_| greedy.connect(to).unwrap()).collect();
        held.iter()
            .for_each(|stream| assert_eq!(Talk::ask(stream, b"x").unwrap(), b"x"));
        let refused = greedy.connect(to).and_then(|stream| Talk::ask(stream, b"x"));
        assert!(refused.is_err(), "the sixth");
        let other = modest.connect(to).unwrap();
        assert_eq!(Talk::ask(&other, b"x").unwrap(), b"x");
        drop(held);
        wait::until(wait::PATIENCE, "room again", || {
            greedy.connect(to).and_then(|stream| Talk::ask(stream, b"x")).is_ok()
        });
    }
    mesh.agent.record("the refusal", |record| {
        record["reason"] == "pod_connection_limit" && record["source_pod"] == "mesh/greedy"
    });
}

#[test]
fn a_client_without_source_ports_to_an_application_is_refused_and_others_go_on() {
    let mesh = Single::start_with(&["--leg-ports", "10000-10003"]);
    let [greedy, modest, server] = ["mesh/greedy", "mesh/modest", "mesh/server"].map(|name| mesh.pod(name));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let ask = |pod: &Pod| {
            let stream = pod.connect(to)?;
            Talk::ask(&stream, b"x").map(|_| stream)
        };
        let held: Vec<_> = (0..4).map(|_| ask(&greedy).unwrap()).collect();
        assert!(ask(&greedy).is_err(), "the fifth");
        mesh.agent.record("the refusal", |record| {
            record["reason"] == "ports_exhausted"
                && record["source_pod"] == "mesh/greedy"
                && record["original_destination"] == to.to_string().as_str()
        });
        assert!(ask(&modest).is_ok());
        assert!(held.iter().all(|stream| Talk::ask(stream, b"x").is_ok()));
        drop(held);
        wait::until(wait::PATIENCE, "ports again", || ask(&greedy).is_ok());
    }
}

#[test]
fn an_agent_without_descriptors_refuses_by_name_and_recovers() {
    let mesh = Single::start();
    let [client, other] = ["mesh/client", "mesh/other"].map(|name| mesh.pod(name));
    let server = mesh.plain("server");
    let _app = server.serve(8080, App::Echo);
    let to = server.addresses().at(Family::V4, 8080);
    // Below what the agent counted with when it started: the kernel refuses before its own bookkeeping does.
    let limit = mesh.agent.descriptors().into_values().sum::<usize>() + 12;
    let set = Command::new("prlimit")
        .args([format!("--pid={}", mesh.agent.pid()), format!("--nofile={limit}")])
        .status();
    assert!(set.unwrap().success());

    let ask = |pod: &Pod| {
        let stream = pod.dial(to).timeout(Duration::from_secs(2)).connect()?;
        Talk::ask(&stream, b"x").map(|_| stream)
    };
    let mut held = Vec::new();
    wait::until(wait::PATIENCE, "a refusal", || {
        ask(&client).map(|stream| held.push(stream)).is_err()
    });
    mesh.agent
        .record("the refusal", |record| record["reason"] == "descriptor_limit");
    assert!(spins_not(mesh.agent.pid()), "EMFILE must not spin");
    held.iter()
        .for_each(|stream| assert_eq!(Talk::ask(stream, b"x").unwrap(), b"x"));
    drop(held);
    wait::until(wait::PATIENCE, "others served again", || ask(&other).is_ok());
}

#[test]
fn ten_dials_to_a_black_hole_take_one_timeout() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let hole = mesh.nodes[1].black_hole();
    for family in Family::BOTH {
        let to = hole.at(family, 8080);
        let start = Instant::now();
        thread::scope(|scope| {
            let dials: Vec<_> = (0..10)
                .map(|_| scope.spawn(|| client.connect(to).and_then(Talk::hear)))
                .collect();
            dials
                .into_iter()
                .for_each(|dial| assert!(dial.join().unwrap().is_err()));
        });
        let took = start.elapsed();
        assert!(took < CONNECT_TIMEOUT + Duration::from_secs(2), "{took:?}");
    }
    wait::until(wait::PATIENCE, "twenty refusals", || {
        mesh.agents[0]
            .records()
            .iter()
            .filter(|record| record["reason"] == "upstream_timeout")
            .count()
            == 20
    });
}

#[test]
fn a_dead_endpoint_delays_nobody_else() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let (dead, living) = (mesh.nodes[1].black_hole(), mesh.plain(1, "living"));
    let _app = living.serve(8080, App::Who);
    let service = Addresses::service(20);
    let object = Object::service("plain/web", service, "none")
        .spec("selector", serde_json::Value::Null)
        .port("main", 80, 8080);
    mesh.apply(&object);
    for family in Family::BOTH {
        let name = format!("plain/web-{family:?}").to_lowercase();
        let slice = Object::slice(&name, "web", &[("main", 8080)]).endpoint(dead.of(family));
        mesh.apply(&slice.endpoint(living.addresses().of(family)));
    }
    let to = service.at(Family::V4, 80);
    wait::until(wait::PATIENCE, "both endpoints known", || {
        mesh.agents[0]
            .debug(&["endpoint", "show"])
            .as_array()
            .is_some_and(|endpoints| endpoints.len() == 4)
    });
    // Some meet the dead one and wait for it; the others must not wait with them.
    let took = thread::scope(|scope| {
        let dials: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let start = Instant::now();
                    client.connect(to).and_then(Talk::line).map(|_| start.elapsed())
                })
            })
            .collect();
        dials.into_iter().map(|dial| dial.join().unwrap()).collect::<Vec<_>>()
    });
    let quick = took
        .iter()
        .filter(|took| took.as_ref().is_ok_and(|took| *took < CONNECT_TIMEOUT / 2))
        .count();
    assert!(quick >= 5, "{took:?}");
}

#[test]
fn four_stalled_readers_change_nothing_for_others() {
    let mesh = Single::start();
    let [stalled, busy] = ["mesh/stalled", "mesh/busy"].map(|name| mesh.pod(name));
    let server = mesh.pod("mesh/server");
    let (_stall, _echo) = (server.serve(9000, App::Source(1 << 40)), server.serve(8080, App::Echo));
    let quiet = pace(&busy, server.addresses().at(Family::V4, 8080));

    // Each reads nothing of an endless source: every buffer on its way fills.
    let readers: Vec<_> = Family::BOTH
        .into_iter()
        .cycle()
        .take(4)
        .map(|family| stalled.connect(server.addresses().at(family, 9000)).unwrap())
        .collect();
    wait::until(wait::PATIENCE, "full buffers", || readers.iter().all(full));
    let beside = pace(&busy, server.addresses().at(Family::V4, 8080));
    assert!(
        beside < quiet * 3 + Duration::from_millis(5),
        "alone {quiet:?}, beside stalled readers {beside:?}"
    );

    let memory = mesh.agent.memory();
    assert!(memory < 256 << 20, "{memory} bytes");
}

#[test]
fn a_pod_at_its_buffer_limit_slows_itself_only() {
    let mesh = Single::start_with(&["--max-buffer-per-pod", "262144"]);
    let [greedy, modest] = ["mesh/greedy", "mesh/modest"].map(|name| mesh.pod(name));
    let server = mesh.plain("server");
    let (_stall, _echo) = (server.serve(9000, App::Stall), server.serve(8080, App::Echo));
    let stalled: Vec<_> = (0..16)
        .map(|_| greedy.connect(server.addresses().at(Family::V4, 9000)).unwrap())
        .collect();
    for mut stream in &stalled {
        stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        while stream.write(Talk::PATTERN).is_ok() {}
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                stalled.iter().for_each(|mut stream| {
                    let _: io::Result<usize> = stream.write(Talk::PATTERN);
                });
            }
        });
        for family in Family::BOTH {
            let stream = modest.connect(server.addresses().at(family, 8080)).unwrap();
            for _ in 0..50 {
                assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            }
        }
        stop.store(true, Ordering::Relaxed);
        flood.join().unwrap();
    });
}

/// The median time of a question and its answer.
fn pace(client: &Pod, to: SocketAddr) -> Duration {
    let stream = client.connect(to).expect("the server is there");
    let mut times: Vec<_> = (0..201)
        .map(|_| {
            let start = Instant::now();
            Talk::ask(&stream, b"hello").expect("the server answers");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Whether more waits to be read than any small answer has.
fn full(stream: &TcpStream) -> bool {
    stream
        .peek(&mut vec![0; 64 * 1024])
        .is_ok_and(|length| length == 64 * 1024)
}

/// Whether the process uses less than half a core over some time.
fn spins_not(pid: u32) -> bool {
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields[11..13]
            .iter()
            .filter_map(|field| field.parse::<u64>().ok())
            .sum()
    };
    let (before, start) = (ticks(), Instant::now());
    wait::holds(Duration::from_secs(1), "time passes", || true);
    // A tick is 10 ms.
    (ticks() - before) * 10 < start.elapsed().as_millis() as u64 / 2
}

/// `--connect-timeout` where nothing else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
