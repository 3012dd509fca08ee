//! What the keeper asks a CA for, and when, by a clock that the test drives.

mod addresses;

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;
use crate::{
    model::{
        Enrolment, Mesh, NotEnrolled, Pod,
        sample::{mk_ip, mk_mesh, mk_pod},
    },
    telemetry::CertificateMetrics,
    tls::{
        Authority, Denial, Grant, Identities, ProvenKey, Validity,
        sample::{SampleCa, TRUST_DOMAIN, an_hour},
    },
};

/// A CA that does what the test says.
struct Scripted {
    streams: Mutex<mpsc::Receiver<Attendance>>,
}

impl Ca for Arc<Scripted> {
    async fn attend(&self) -> Result<Attendance, CaError> {
        let stream = self.streams.lock().expect("one task").try_recv();
        stream.map_err(|_none| CaError::Refused("the test is not ready".to_owned()))
    }
}

/// A keeper and the CA's side of its stream.
struct Scene {
    ca: SampleCa,
    identities: Identities,
    status: watch::Receiver<IssueStatus>,
    mesh: watch::Sender<Arc<Mesh>>,
    streams: mpsc::Sender<Attendance>,
    words: mpsc::Receiver<Word>,
    answers: mpsc::Sender<Answer>,
    keeper: JoinHandle<()>,
}

impl Scene {
    async fn new(pods: Vec<Pod>) -> Self {
        let (streams, offered) = mpsc::channel(4);
        let (mesh, followed) = watch::channel(Arc::new(mk_mesh(pods, Vec::new())));
        let scripted = Arc::new(Scripted {
            streams: Mutex::new(offered),
        });
        let keeper = Keeper::new(scripted, followed, CertificateMetrics::default());
        let (identities, status) = (keeper.identities(), keeper.status());
        let (words, answers) = open(&streams).await;
        Self {
            ca: SampleCa::new(),
            identities,
            status,
            mesh,
            streams,
            words,
            answers,
            keeper: tokio::spawn(keeper.run()),
        }
    }

    fn bundle(&self, version: u64) -> Bundle {
        bundle_of(version, &[&self.ca.authority])
    }

    async fn say(&self, bundle: Option<Bundle>, outcomes: Vec<Outcome>) {
        let answer = Answer {
            time: SystemTime::now(),
            bundle,
            outcomes,
        };
        self.answers.send(answer).await.expect("the keeper listens");
    }

    /// What the keeper asks for next.
    async fn asked(&mut self) -> Vec<Ask> {
        loop {
            if let Word::Asks(asks) = self.words.recv().await.expect("a keeper") {
                return asks;
            }
        }
    }

    async fn issue(&self, ask: &Ask, validity: Validity) {
        self.say(None, vec![issued(&self.ca.authority, ask, validity)]).await;
    }

    fn change(&self, pods: Vec<Pod>) {
        self.mesh.send_replace(Arc::new(mk_mesh(pods, Vec::new())));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn open(streams: &mpsc::Sender<Attendance>) -> (mpsc::Receiver<Word>, mpsc::Sender<Answer>) {
    let (say, words) = mpsc::channel(AHEAD);
    let (sender, answers) = mpsc::channel(AHEAD);
    streams.send(Attendance { say, answers }).await.expect("a keeper");
    (words, sender)
}

fn bundle_of(version: u64, roots: &[&Authority]) -> Bundle {
    Bundle {
        version,
        trust_domain: TRUST_DOMAIN.into(),
        mesh: *b"mesh of the test",
        roots: roots.iter().map(|root| root.certificate().to_vec()).collect(),
        intermediates: Vec::new(),
        signer: roots.last().expect("a root").id().clone(),
        denied: DenyList::default(),
    }
}

fn issued(authority: &Authority, ask: &Ask, validity: Validity) -> Outcome {
    let grant = Grant {
        identity: crate::model::Identity::new(TRUST_DOMAIN, &ask.pod.namespace, &ask.service_account),
        uid: ask.uid.clone(),
        ips: ask.ips.clone(),
        node: None,
    };
    let key = ProvenKey::of_request(&ask.request).expect("proven");
    let signed = authority.sign(&grant, &key, validity).expect("signed");
    Outcome {
        uid: ask.uid.clone(),
        issued: Ok(signed.chain),
    }
}

fn refused(ask: &Ask, reason: &str) -> Outcome {
    Outcome {
        uid: ask.uid.clone(),
        issued: Err(reason.to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn enrolled_pods_and_no_others_get_certificates_once_the_bundle_is_there() {
    let out = Pod {
        enrolment: Enrolment::Out(NotEnrolled::NoLabel),
        ..mk_pod("out", "10.0.0.9")
    };
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "fd00::2"));
    let mut scene = Scene::new(vec![cart.clone(), web.clone(), out.clone()]).await;
    assert!(
        timeout(Duration::from_secs(5), scene.words.recv()).await.is_err(),
        "no bundle yet"
    );
    scene.say(Some(scene.bundle(3)), Vec::new()).await;
    assert_eq!(scene.words.recv().await, Some(Word::Known(3)));
    let asks = scene.asked().await;
    assert_eq!(
        asks.iter().map(|ask| &ask.uid).collect::<Vec<_>>(),
        [&cart.uid, &web.uid]
    );
    assert_eq!(asks[1].ips, web.ips);
    for ask in &asks {
        scene.issue(ask, an_hour()).await;
    }
    assert_eq!(scene.identities.issued(&web.uid).await.ips(), web.ips);
    assert_eq!(
        scene.identities.issued(&cart.uid).await.identity().namespace,
        cart.name.namespace
    );
    assert!(scene.identities.of(&out.uid).is_none());
    let mesh_id = *scene.identities.mesh_id().borrow();
    assert_eq!(mesh_id.map(agent_common::MeshId::bytes), Some(*b"mesh"));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_around_half_life_with_another_key() {
    let cart = mk_pod("cart", "10.0.0.1");
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let first = scene.asked().await.remove(0);
    let (asked_at, life) = (Instant::now(), Duration::from_secs(3600));
    scene.issue(&first, an_hour()).await;
    let second = scene.asked().await.remove(0);
    let waited = asked_at.elapsed();
    assert!((life * 39 / 100..=life / 2).contains(&waited), "{waited:?}");
    assert_ne!(first.request, second.request);
    assert!(
        scene.identities.of(&cart.uid).is_some(),
        "the old one is kept until its end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_pod_is_told_and_tried_again_and_hinders_nobody() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let mut scene = Scene::new(vec![cart.clone(), web.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let asks = scene.asked().await;
    let outcomes = vec![
        refused(&asks[0], "no such pod"),
        issued(&scene.ca.authority, &asks[1], an_hour()),
    ];
    scene.say(None, outcomes).await;
    scene.identities.issued(&web.uid).await;
    scene
        .status
        .wait_for(|status| !status.refusals.is_empty())
        .await
        .expect("a keeper");
    let refusals = scene.status.borrow().refusals.clone();
    assert_eq!(refusals, BTreeMap::from([(cart.uid.clone(), "no such pod".into())]));
    let mut pauses = Vec::new();
    for _again in 0..8 {
        let refused_at = Instant::now();
        let again = scene.asked().await;
        assert_eq!(again.iter().map(|ask| &ask.uid).collect::<Vec<_>>(), [&cart.uid]);
        pauses.push(refused_at.elapsed());
        scene.say(None, vec![refused(&again[0], "no such pod")]).await;
    }
    assert!(
        pauses[0] <= Duration::from_secs(1) && pauses[7] >= Duration::from_secs(30),
        "{pauses:?}"
    );
    assert!(pauses[7] <= Duration::from_secs(61), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_loses_its_certificate() {
    let cart = mk_pod("cart", "10.0.0.1");
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let ask = scene.asked().await.remove(0);
    scene.issue(&ask, an_hour()).await;
    scene.identities.issued(&cart.uid).await;
    scene.change(Vec::new());
    while scene.identities.of(&cart.uid).is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_pod_is_not_taken() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let ask = scene.asked().await.remove(0);
    let foreign = Ask {
        uid: web.uid.clone(),
        ..ask.clone()
    };
    let outcome = Outcome {
        uid: cart.uid.clone(),
        ..issued(&scene.ca.authority, &foreign, an_hour())
    };
    scene.say(None, vec![outcome]).await;
    scene
        .status
        .wait_for(|status| !status.refusals.is_empty())
        .await
        .expect("a keeper");
    assert!(scene.identities.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ca_whose_clock_is_hours_away_is_not_asked_without_a_pause() {
    let cart = mk_pod("cart", "10.0.0.1");
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let started = Instant::now();
    for _again in 0..5 {
        let ask = scene.asked().await.remove(0);
        let over = Validity::starting(SystemTime::now() - Duration::from_secs(7200), Duration::from_secs(3600));
        scene.issue(&ask, over).await;
    }
    assert!(started.elapsed() >= Duration::from_secs(7), "{:?}", started.elapsed());
    assert!(scene.identities.of(&cart.uid).is_none());
    assert!(scene.status.borrow().refusals[&cart.uid].contains("clock"));
}

#[tokio::test(start_paused = true)]
async fn another_signing_root_renews_at_once_and_both_roots_hold_meanwhile() {
    let cart = mk_pod("cart", "10.0.0.1");
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let ask = scene.asked().await.remove(0);
    scene.issue(&ask, an_hour()).await;
    let old = scene.identities.issued(&cart.uid).await;
    let next = SampleCa::new();
    let started = Instant::now();
    scene
        .say(Some(bundle_of(2, &[&scene.ca.authority, &next.authority])), Vec::new())
        .await;
    let ask = scene.asked().await.remove(0);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(scene.identities.issued(&cart.uid).await.authority(), old.authority());
    scene.say(None, vec![issued(&next.authority, &ask, an_hour())]).await;
    while scene.identities.issued(&cart.uid).await.authority() == old.authority() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_stream_is_opened_again_and_what_was_open_is_asked_again() {
    let cart = mk_pod("cart", "10.0.0.1");
    let mut scene = Scene::new(vec![cart.clone()]).await;
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    scene.asked().await;
    let (words, answers) = open(&scene.streams).await;
    (scene.words, scene.answers) = (words, answers);
    scene.say(Some(scene.bundle(1)), Vec::new()).await;
    let ask = scene.asked().await.remove(0);
    assert_eq!(ask.uid, cart.uid);
    scene.issue(&ask, an_hour()).await;
    scene.identities.issued(&cart.uid).await;
    assert!(scene.status.borrow().attended);
}

#[tokio::test(start_paused = true)]
async fn denials_and_the_clock_of_the_ca_arrive_with_the_stream() {
    let mut scene = Scene::new(vec![mk_pod("cart", "10.0.0.1")]).await;
    let mut changes = scene.identities.changes();
    let denied = DenyList::from_iter([Denial::Node("node-9".into())]);
    let answer = Answer {
        time: SystemTime::now() + Duration::from_secs(120),
        bundle: Some(Bundle {
            denied,
            ..scene.bundle(1)
        }),
        outcomes: Vec::new(),
    };
    scene.answers.send(answer).await.expect("a keeper");
    changes.changed().await.expect("a keeper");
    let status = scene.status.wait_for(|status| status.attended).await.expect("a keeper");
    assert!((110.0..=121.0).contains(&status.skew), "{}", status.skew);
}

#[tokio::test(start_paused = true)]
async fn the_ca_within_the_agent_serves_its_pods_in_the_trust_domain_of_the_mesh() {
    let cart = mk_pod("cart", "10.0.0.1");
    let in_domain = |trust_domain: &str| {
        let mut mesh = mk_mesh(vec![cart.clone()], Vec::new());
        mesh.config.trust_domain = trust_domain.to_owned();
        Arc::new(mesh)
    };
    let (mesh, followed) = watch::channel(in_domain("example.org"));
    let embedded = Embedded::create(followed.clone(), "node-7", Duration::from_secs(3600)).expect("a root");
    let keeper = Keeper::new(embedded, followed, CertificateMetrics::default());
    let identities = keeper.identities();
    let keeper = tokio::spawn(keeper.run());
    let credentials = identities.issued(&cart.uid).await;
    let of = |trust_domain| format!("spiffe://{trust_domain}/ns/default/sa/default");
    assert_eq!(credentials.identity().to_string(), of("example.org"));
    assert_eq!(credentials.ips(), cart.ips);
    let mesh_id = *identities.mesh_id().borrow();
    assert!(mesh_id.is_some());
    // Another trust domain has another root, and is served as soon as the mesh says so.
    mesh.send_replace(in_domain("example.net"));
    let renewed = timeout(Duration::from_secs(20), async {
        loop {
            let held = identities
                .of(&cart.uid)
                .filter(|held| held.authority() != credentials.authority());
            match held {
                Some(held) => break held,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    let renewed = renewed.await.expect("a certificate of the new trust domain");
    assert_eq!(renewed.identity().to_string(), of("example.net"));
    assert_eq!(*identities.mesh_id().borrow(), mesh_id, "the mesh stays the same");
    keeper.abort();
}
