//! What Strict pods begin while their agent is dead waits for the next one, and nobody reads a byte of it.

use std::{thread, time::Duration};

use harness::{Agent, App, Family, Pod, Sniffer, Talk, wait};
use nix::sys::signal::Signal;

use crate::{
    failure::{SYN_SENT, states},
    mtls::{Pair, TEXT},
    policy::strict,
};

#[test]
fn a_hundred_connections_of_a_strict_pod_wait_for_the_next_agent_and_no_interface_sees_plaintext() {
    let mut pair = Pair::start();
    pair.mesh.apply(&strict("mesh"));
    wait::until(wait::PATIENCE, "the strict pod fails closed", || {
        fails_closed(&pair.mesh.agents[0], &pair.client)
    });
    let (nodes, underlay) = (&pair.mesh.nodes, pair.mesh.lab.underlay());
    let places = [
        pair.client.netns(),
        pair.server.netns(),
        nodes[0].netns(),
        nodes[1].netns(),
        underlay,
    ];
    let sniffers: Vec<(String, Sniffer)> = places
        .iter()
        .flat_map(|netns| netns.interfaces().into_iter().map(move |interface| (netns, interface)))
        .map(|(netns, interface)| {
            let sniffer = Sniffer::looking_for(netns, &interface, TEXT);
            (format!("{} {interface}", netns.name()), sniffer)
        })
        .collect();
    let told = || sniffers.iter().map(|(_, sniffer)| sniffer.told()).collect::<Vec<_>>();

    pair.mesh.agents[0].signal(Signal::SIGKILL);
    pair.mesh.agents[0].wait_end(wait::PATIENCE);
    let to = Family::BOTH.map(|family| pair.to(family));
    let client = &pair.client;
    let agent = &mut pair.mesh.agents[0];
    thread::scope(|scope| {
        let waiting: Vec<_> = to
            .into_iter()
            .cycle()
            .take(CONNECTIONS)
            .map(|to| {
                scope.spawn(move || {
                    let stream = client.dial(to).timeout(PATIENCE).connect()?;
                    Talk::ask(&stream, TEXT.as_bytes())
                })
            })
            .collect();
        wait::until(wait::PATIENCE, "all of them begun", || {
            states(client, SYN_SENT) >= CONNECTIONS
        });
        agent.restart();
        for connection in waiting {
            let answer = connection.join().expect("no panic");
            assert_eq!(answer.expect("it is served"), TEXT.as_bytes());
        }
    });
    assert_eq!(told(), vec![0; sniffers.len()]);

    // The same sniffers read what is not in the mesh.
    let (one, other) = (pair.mesh.plain(0, "one"), pair.mesh.plain(1, "other"));
    let _app = other.serve(8080, App::Echo);
    for family in Family::BOTH {
        let stream = one.connect(other.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, TEXT.as_bytes()).unwrap(), TEXT.as_bytes());
    }
    let between = |name: &str| name.ends_with(" eth0") && !name.contains(".client") && !name.contains(".server");
    for (name, sniffer) in sniffers.iter().filter(|(name, _)| between(name)) {
        wait::until(wait::PATIENCE, format!("plaintext at {name}"), || sniffer.told() > 0);
    }
}

/// Whether the agent holds new connections of the pod back while it is away.
pub(crate) fn fails_closed(agent: &Agent, pod: &Pod) -> bool {
    let pods = agent.debug(&["pod", "show"]);
    let rows = pods.as_array().cloned().unwrap_or_default();
    rows.iter()
        .any(|row| row["uid"] == pod.uid() && row["on_agent_failure"] == "closed")
}

const CONNECTIONS: usize = 120;
/// SYNs come again after 1, 3 and 7 seconds.
const PATIENCE: Duration = Duration::from_secs(30);
