//! An agent is replaced under traffic: whoever connects in just that moment is neither reset nor refused.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use harness::{App, Family, Pod, Talk, wait};
use nix::sys::signal::Signal;

use crate::mesh::{Mesh, Single, wait_captured};

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

/// How often an agent is replaced.
const ROUNDS: usize = 6;
