//! An agent is replaced under traffic: whoever connects in just that moment is neither reset nor refused.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use harness::{Agent, App, Family, Launch, Pod, Sniffer, Talk, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    downgrade::{both, leave},
    mesh::{Mesh, Single, wait_captured},
    mtls::{Pair, TEXT},
    policy::strict,
    silence::fails_closed,
};

#[test]
fn clients_whose_handshake_is_under_way_when_an_agent_ends_are_served() {
    let mut mesh = Single::start();
    let (client, other, server) = (mesh.plain("client"), mesh.plain("other"), mesh.pod("mesh/server"));
    let app = server.serve(8080, App::Echo);
    // The client is connected when it has the SYN-ACK; the agent's listener waits for the ACK.
    hold(&client, "tcp dport 8080 tcp flags & (syn | ack) == ack");
    let halves = Family::BOTH.map(|family| client.connect(server.addresses().at(family, 8080)).unwrap());
    mesh.agent.signal(Signal::SIGTERM);
    wait::until(wait::PATIENCE, "a connection that passes by", || {
        let Ok(stream) = other.connect(server.addresses().at(Family::V4, 8080)) else {
            return false;
        };
        Talk::ask(&stream, b"x").is_ok() && app.peers().last() == stream.local_addr().ok().as_ref()
    });
    // Long enough for an agent that looks for nobody to be gone.
    wait::holds(Duration::from_millis(400), "the agent waits for them", || {
        mesh.agent.is_running()
    });
    release(&client);
    for half in halves {
        assert_eq!(Talk::ask(&half, b"hello").unwrap(), b"hello");
    }
    assert!(mesh.agent.wait_end(wait::PATIENCE).success());
}

#[test]
fn a_request_that_comes_last_is_answered_though_its_answer_takes_longer_than_the_rest() {
    let mut mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _apps = [server.serve(8080, App::Http), server.serve(8081, App::Echo)];
    let first = client.connect(server.addresses().at(Family::V4, 8081)).unwrap();
    assert_eq!(Talk::ask(&first, b"x").unwrap(), b"x");
    // The SYNs of the agent's own leg are held.
    hold(&client, "oifname eth0 tcp dport 8080");
    mesh.agent.signal(Signal::SIGTERM);
    wait::until(wait::PATIENCE, "not ready any more", || !mesh.agent.ready());
    let late = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
    // What was open when the signal came is over: all else has a second.
    drop(first);
    wait::holds(Duration::from_millis(1500), "the agent waits for its answer", || {
        mesh.agent.is_running()
    });
    release(&client);
    let answer = Talk::ask(&late, b"GET / HTTP/1.1\r\nhost: server\r\n\r\n");
    assert!(answer.is_ok(), "{answer:?}");
    drop(late);
    assert!(mesh.agent.wait_end(wait::PATIENCE).success());
}

#[test]
fn no_connection_is_reset_or_refused_while_the_agent_of_either_end_is_replaced_again_and_again() {
    let mut mesh = Mesh::start_secured();
    let (near, far) = (mesh.pod(0, "mesh/near"), mesh.pod(1, "mesh/far"));
    let (outside, neighbour) = (mesh.plain(1, "outside"), mesh.pod(1, "mesh/neighbour"));
    let _apps = [&near, &far, &outside].map(|pod| pod.serve(8080, App::Echo));
    mesh.wait_certified();
    let at = |pod: &Pod, family| pod.addresses().at(family, 8080);
    let stop = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    let calls: Vec<(&Pod, SocketAddr)> = Family::BOTH
        .into_iter()
        .flat_map(|family| {
            [
                (&near, at(&far, family)),
                (&neighbour, at(&near, family)),
                (&neighbour, at(&far, family)),
                (&neighbour, at(&outside, family)),
                (&outside, at(&far, family)),
            ]
        })
        .collect();
    let failed = thread::scope(|scope| {
        let (stop, served) = (&stop, &served);
        let calling: Vec<_> = calls
            .iter()
            .map(|(from, to)| scope.spawn(move || until_stopped(from, *to, stop, served)))
            .collect();
        for _ in 0..ROUNDS {
            let before = served.load(Relaxed);
            wait::until(wait::PATIENCE, "calls", || served.load(Relaxed) > before + 50);
            let [_, agent] = &mut mesh.agents;
            agent.signal(Signal::SIGTERM);
            assert!(agent.wait_end(wait::PATIENCE).success());
            agent.restart();
            [&far, &neighbour]
                .into_iter()
                .for_each(|pod| wait_captured(&mesh.nodes[1], pod));
        }
        stop.store(true, Relaxed);
        calling
            .into_iter()
            .flat_map(|calls| calls.join().expect("callers do not panic"))
            .collect::<Vec<_>>()
    });
    println!(
        "{} of {} calls failed",
        failed.len(),
        served.load(Relaxed) + failed.len()
    );
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_strict_pod_that_no_service_names_is_waited_for_by_who_has_met_it_and_by_nobody_else() {
    let pair = Pair::start();
    let never_met = pair.mesh.pod(1, "mesh/other");
    let _app = never_met.serve(8080, App::Echo);
    pair.mesh.apply(&strict("mesh"));
    for pod in [&pair.server, &never_met] {
        wait::until(wait::PATIENCE, "the strict pod fails closed", || {
            fails_closed(&pair.mesh.agents[1], pod)
        });
    }
    pair.mesh.wait_certified();
    both(|family| assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes()));
    let Pair {
        client, server, mesh, ..
    } = pair;
    let Mesh {
        agents: [near, far],
        lab: _lab,
        nodes: _nodes,
        ca: _ca,
    } = mesh;
    let talk = |server: &Pod, family| {
        let stream = client.connect(server.addresses().at(family, 8080))?;
        Talk::ask(&stream, TEXT.as_bytes())
    };
    let sniffer = Sniffer::looking_for(client.netns(), "eth0", TEXT);
    let (successor, _) = far.terminate(wait::PATIENCE);
    both(|family| refused_at_once(|| talk(&never_met, family)));
    let calls = Family::BOTH.map(|family| {
        let (talk, server) = (&talk, &server);
        move || talk(server, family)
    });
    let (_successor, heard) = until_back(&near, successor, calls);
    for heard in heard {
        assert_eq!(heard.unwrap(), TEXT.as_bytes());
    }
    assert_eq!(sniffer.told(), 0, "not a byte of plaintext");
}

#[test]
fn nobody_is_waited_for_at_an_address_where_plaintext_is_spoken() {
    let mut pair = Pair::start();
    both(|family| assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes()));
    leave(&mut pair);
    let nobody_there = |family| {
        let stream = pair.client.connect(pair.server.addresses().at(family, 8081))?;
        Talk::ask(&stream, TEXT.as_bytes())
    };
    // Its agent may be on its way back.
    both(|family| {
        let start = Instant::now();
        nobody_there(family).unwrap_err();
        assert!(start.elapsed() > WAITED, "{:?}", start.elapsed());
    });
    both(|family| {
        assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
        pair.record(family, |record| record["security"] == "plaintext");
        refused_at_once(|| nobody_there(family));
    });
}

/// Talks through the near agent to pods whose own agent is away; when all of it waits there, the successor comes. Gives that,
/// and what came of the talks.
pub(crate) fn until_back<T: Send>(
    near: &Agent,
    successor: Launch,
    talks: impl IntoIterator<Item = impl FnOnce() -> T + Send>,
) -> (Agent, Vec<T>) {
    thread::scope(|scope| {
        let talks: Vec<_> = talks.into_iter().map(|talk| scope.spawn(talk)).collect();
        wait::until(wait::PATIENCE, "all of them under way", || {
            let shown = near.debug(&["conn", "show"]);
            let outbound = |row: &&Value| row["direction"] == "outbound" && row["phase"] != "pooled";
            shown
                .as_array()
                .is_some_and(|rows| rows.iter().filter(outbound).count() >= talks.len())
        });
        let successor = successor.start();
        let talks = talks.into_iter().map(|talk| talk.join().expect("talks do not panic"));
        (successor, talks.collect())
    })
}

/// Checks that it is refused, and that nobody is waited for before.
fn refused_at_once(mut talk: impl FnMut() -> io::Result<Vec<u8>>) {
    wait::in_time(AT_ONCE, || {
        let start = Instant::now();
        talk().unwrap_err();
        start.elapsed()
    });
}

/// Keeps what a pod sends from leaving it, where it is such.
fn hold(pod: &Pod, such: &str) {
    pod.netns().sh(&format!(
        "nft add table inet weft\n\
         nft 'add chain inet weft out {{ type filter hook output priority 0; }}'\n\
         nft 'add rule inet weft out {such} drop'"
    ));
}

/// Lets all leave that comes from here on, what is sent again among it.
fn release(pod: &Pod) {
    pod.netns().sh("nft delete table inet weft");
}

/// Connects and asks until it is told to stop; gives what failed.
fn until_stopped(from: &Pod, to: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) -> Vec<(SocketAddr, io::Error)> {
    let mut failed = Vec::new();
    while !stop.load(Relaxed) {
        let asked = from.connect(to).and_then(|stream| Talk::ask(&stream, b"hello"));
        match asked {
            Ok(_) => drop(served.fetch_add(1, Relaxed)),
            Err(error) => failed.push((to, error)),
        }
    }
    failed
}

/// An agent that may come back is waited for longer, 4 s.
const AT_ONCE: Duration = Duration::from_secs(1);
const WAITED: Duration = Duration::from_secs(2);
/// How often an agent is replaced.
const ROUNDS: usize = 6;
