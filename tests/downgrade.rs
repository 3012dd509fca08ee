//! What becomes of connections between nodes when the option by which agents know each other is taken away or forged, or
//! when a pod leaves the mesh: plaintext where it is permitted, never where it is not, and no agent's word to anybody.

use std::{thread, time::Duration};

use agent_common::{Direction, Hello, MeshId};
use harness::{App, Family, Fate, Object, Pod, Relay, Segment, Sniffer, Talk, Way, wait};
use serde_json::json;

use crate::{
    mesh::{Mesh, wait_released},
    mtls::{Pair, TEXT},
    policy::{is_of, strict},
    replaced::until_back,
};

#[test]
fn a_path_that_strips_the_question_gets_plaintext_from_nobody_strict() {
    Meddled::by(|way, segment| strip(way == Way::Out, segment)).check();
}

#[test]
fn a_path_that_strips_the_answer_gets_plaintext_from_nobody_strict() {
    Meddled::by(|way, segment| strip(way == Way::In, segment)).check();
}

#[test]
fn a_path_that_reflects_the_question_gets_plaintext_from_nobody_strict() {
    Meddled::by(|way, segment| {
        if let (Way::In, Some(option)) = (way, segment.option(KIND)) {
            option[DIRECTION] = Direction::Asks as u8;
        }
        Fate::Passes
    })
    .check();
}

#[test]
fn a_path_that_forges_the_mesh_gets_plaintext_from_nobody_strict() {
    Meddled::by(|_, segment| {
        if let Some(option) = segment.option(KIND) {
            option[MESH].copy_from_slice(b"else");
        }
        Fate::Passes
    })
    .check();
}

#[test]
fn a_path_that_drops_the_option_gets_plaintext_from_nobody_strict() {
    Meddled::by(|_, segment| match segment.option(KIND) {
        Some(_) => Fate::Lost,
        None => Fate::Passes,
    })
    .check();
}

#[test]
fn who_may_be_strict_by_a_selector_is_not_spoken_with_in_plaintext() {
    let meddled = Meddled::by(|way, segment| strip(way == Way::Out, segment));
    let talk = |family| meddled.pair.talk(family);
    both(|family| assert_eq!(talk(family).unwrap(), TEXT.as_bytes()));
    let other = json!({ "selector": { "matchLabels": { "app": "other" } }, "mtls": { "mode": "Strict" } });
    let other = Object::policy("AuthenticationPolicy", "mesh/other", other);
    meddled.pair.mesh.apply(&other);
    both(|family| wait::until(wait::PATIENCE, "plaintext is refused", || talk(family).is_err()));
    meddled.pair.mesh.lab.manifests().delete(&other);
    both(|family| wait::until(wait::PATIENCE, "plaintext is spoken again", || talk(family).is_ok()));
}

#[test]
fn a_server_that_speaks_first_is_heard_behind_a_path_that_strips() {
    for stripped in [Way::Out, Way::In] {
        let meddled = Meddled::by(move |way, segment| strip(way == stripped, segment));
        let _app = meddled.pair.server.serve(8081, App::Banner);
        both(|family| {
            let to = meddled.pair.server.addresses().at(family, 8081);
            let stream = meddled.pair.client.connect(to).unwrap();
            assert_eq!(Talk::line(&stream).unwrap(), "server", "{stripped:?}");
        });
    }
}

#[test]
fn a_forged_answer_gets_no_byte_of_an_application() {
    let pair = Pair::start();
    let outside = outside(&pair);
    let _app = outside.serve(8080, App::Echo);
    let talk = |family| {
        let stream = pair.client.connect(outside.addresses().at(family, 8080))?;
        Talk::ask(&stream, TEXT.as_bytes())
    };
    both(|family| assert_eq!(talk(family).unwrap(), TEXT.as_bytes(), "it is permitted"));
    let forged = Hello::new(mesh_id(&pair), Direction::Answers);
    let _path = relay(&pair.mesh, &pair.client, move |way, segment| {
        if way == Way::In && segment.option(KIND).is_none() {
            segment.forge(forged.bytes());
        }
        Fate::Passes
    });
    let sniffer = Sniffer::looking_for(outside.netns(), "eth0", TEXT);
    both(|family| {
        talk(family).unwrap_err();
        let to = outside.addresses().at(family, 8080).to_string();
        pair.record(family, |record| {
            record["reason"] == "tls_failed" && record["original_destination"] == to.as_str()
        });
    });
    assert_eq!(sniffer.told(), 0);
}

#[test]
fn a_forged_question_makes_nobody_an_agent() {
    let pair = Pair::start();
    let _banner = pair.server.serve(8081, App::Banner);
    let stranger = pair.mesh.plain(0, "stranger");
    let forged = Hello::new(mesh_id(&pair), Direction::Asks);
    let _path = relay(&pair.mesh, &stranger, move |way, segment| {
        if way == Way::Out {
            segment.forge(forged.bytes());
        }
        Fate::Passes
    });
    let sniffer = Sniffer::start(pair.server.netns(), "eth0");
    let connect = |family, port| stranger.connect(pair.server.addresses().at(family, port));
    both(|family| {
        let first = connect(family, 8080).unwrap();
        assert_eq!(Talk::ask(&first, b"hello").unwrap(), b"hello");
        // A client that says nothing is waited for, and then it is an application's.
        assert_eq!(Talk::line(&connect(family, 8081).unwrap()).unwrap(), "server");
    });
    let greeted = sniffer.count(|packet| packet.is_syn() && packet.options.find(KIND).is_some());
    assert!(greeted >= 4, "{greeted} forged");
    pair.mesh.apply(&strict("mesh"));
    both(|family| {
        wait::until(wait::PATIENCE, "plaintext is refused", || {
            connect(family, 8080)
                .and_then(|stream| Talk::ask(&stream, b"hello"))
                .is_err()
        });
        pair.mesh.agents[1].record("a refusal", |record| {
            record["reason"] == "plaintext_refused" && is_of(record, family)
        });
    });
}

#[test]
fn a_pod_that_leaves_by_its_label_is_refused_by_those_who_remember_it() {
    let mut pair = Pair::start();
    pair.mesh
        .apply(&Object::headless("mesh/server", "server").port("", 8080, 8080));
    both(|family| assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes()));
    leave(&mut pair);
    both(|family| {
        wait::until(wait::PATIENCE, "its plaintext is refused", || {
            pair.talk(family).is_err()
        });
        pair.record(family, |record| record["reason"] == "peer_not_in_mesh");
    });
}

#[test]
fn a_pod_that_left_by_its_label_is_reached_in_plaintext_when_it_is_forgotten_and_never_where_it_is_strict() {
    let mut pair = Pair::of(Mesh::start_secured_with(&[], &["--peer-memory", "1s"]));
    pair.mesh
        .apply(&Object::headless("mesh/server", "server").port("", 8080, 8080));
    both(|family| {
        assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
        pair.record(family, |record| record["security"] == "mutual_tls");
    });
    leave(&mut pair);
    both(|family| {
        wait::until(wait::PATIENCE, "it is reached in plaintext", || {
            pair.talk(family).is_ok_and(|heard| heard == TEXT.as_bytes())
        });
        pair.record(family, |record| record["security"] == "plaintext");
    });
    pair.mesh.apply(&strict("mesh"));
    both(|family| {
        wait::until(wait::PATIENCE, "a strict namespace's is not", || {
            pair.talk(family).is_err()
        });
        pair.record(family, |record| record["reason"] == "peer_not_in_mesh");
    });
    let sniffer = Sniffer::looking_for(pair.client.netns(), "eth0", TEXT);
    both(|family| wait::holds(MEMORY_AND_MORE, "it stays refused", || pair.talk(family).is_err()));
    assert_eq!(sniffer.told(), 0);
}

#[test]
fn a_pod_that_is_remembered_or_strict_is_waited_for_while_its_agent_is_replaced() {
    let pair = Pair::start();
    let never_met = pair.mesh.pod(1, "closed/server");
    pair.mesh.apply(&strict("closed"));
    let _app = never_met.serve(8080, App::Echo);
    pair.mesh.wait_certified();
    for server in ["mesh/server", "closed/server"] {
        pair.mesh
            .apply(&Object::headless(server, "server").port("", 8080, 8080));
    }
    let Pair {
        client, server, mesh, ..
    } = pair;
    let Mesh {
        agents: [near, far], ..
    } = mesh;
    let talk = |server: &Pod, family| {
        let stream = client.connect(server.addresses().at(family, 8080))?;
        Talk::ask(&stream, TEXT.as_bytes())
    };
    both(|family| assert_eq!(talk(&server, family).unwrap(), TEXT.as_bytes()));
    let sniffer = Sniffer::looking_for(client.netns(), "eth0", TEXT);
    let (successor, _) = far.terminate(wait::PATIENCE);
    let talk = &talk;
    let calls = [&server, &never_met].map(|server| Family::BOTH.map(|family| move || talk(server, family)));
    let (_successor, heard) = until_back(&near, successor, calls.into_iter().flatten());
    for heard in heard {
        assert_eq!(heard.unwrap(), TEXT.as_bytes());
    }
    assert_eq!(sniffer.told(), 0, "not a byte of plaintext");
}

/// A client behind a path that meddles, and a server that a service names.
struct Meddled {
    _path: Relay,
    pair: Pair,
}

// === impl Meddled ===

impl Meddled {
    fn by(meddle: impl Fn(Way, &mut Segment<'_>) -> Fate + Send + Sync + 'static) -> Self {
        let pair = Pair::start();
        pair.mesh
            .apply(&Object::headless("mesh/server", "server").port("", 8080, 8080));
        Self {
            _path: relay(&pair.mesh, &pair.client, meddle),
            pair,
        }
    }

    /// Neither side hears the other: plaintext passes while both are Permissive, and no longer when the namespace is Strict.
    fn check(&self) {
        let pair = &self.pair;
        both(|family| {
            assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes(), "{family:?}");
            pair.record(family, |record| record["security"] == "plaintext");
            pair.mesh.agents[1].record("the server's", |record| {
                record["security"] == "plaintext" && is_of(record, family)
            });
        });
        pair.mesh.apply(&strict("mesh"));
        both(|family| refuses(pair, family));
        let sniffer = Sniffer::looking_for(pair.client.netns(), "eth0", TEXT);
        both(|family| drop(pair.talk(family).unwrap_err()));
        assert_eq!(sniffer.told(), 0, "not a byte of plaintext");
    }
}

pub(crate) fn relay(
    mesh: &Mesh,
    pod: &Pod,
    meddle: impl Fn(Way, &mut Segment<'_>) -> Fate + Send + Sync + 'static,
) -> Relay {
    Relay::start(&mesh.nodes[0], pod, meddle)
}

fn strip(such: bool, segment: &mut Segment<'_>) -> Fate {
    if such {
        segment.strip(KIND);
    }
    Fate::Passes
}

/// Waits until the client's agent refuses to speak plaintext.
fn refuses(pair: &Pair, family: Family) {
    wait::until(wait::PATIENCE, "the client refuses plaintext", || {
        pair.talk(family).is_err()
            && pair.mesh.agents[0]
                .records()
                .iter()
                .any(|record| record["reason"] == "peer_not_in_mesh" && is_of(record, family))
    });
}

/// A pod of the mesh's namespace that is not in the mesh.
fn outside(pair: &Pair) -> Pod {
    let pod = pair.mesh.nodes[1].pod("mesh/outside");
    pod.label(LABEL, "disabled").start()
}

/// Takes the server out of the mesh by its own label.
pub(crate) fn leave(pair: &mut Pair) {
    pair.server
        .update(|pod| pod["metadata"]["labels"][LABEL] = "disabled".into());
    wait_released(&pair.mesh.nodes[1], &pair.server);
}

/// What the agents of this mesh greet with.
pub(crate) fn mesh_id(pair: &Pair) -> MeshId {
    let sniffer = Sniffer::start(pair.client.netns(), "eth0");
    pair.talk(Family::V4).unwrap();
    wait::until_some(wait::PATIENCE, "a greeting", || {
        let packets = sniffer.packets();
        let mut greetings = packets.iter().filter_map(|packet| packet.options.find(KIND));
        Some(MeshId::new(greetings.next()?[MESH].try_into().ok()?))
    })
}

/// Does it for both families at once.
pub(crate) fn both(check: impl Fn(Family) + Sync) {
    thread::scope(|scope| {
        let threads = Family::BOTH.map(|family| {
            scope.spawn({
                let check = &check;
                move || check(family)
            })
        });
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

pub(crate) const KIND: u8 = 254;
/// Where the option has the mesh's id and the direction.
const MESH: std::ops::Range<usize> = 6..10;
const DIRECTION: usize = 10;
const LABEL: &str = "weft.dev/mesh";
const MEMORY_AND_MORE: Duration = Duration::from_millis(1_200);
