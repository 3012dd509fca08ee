//! An agent that knows more of its pods than the roster does yet, by a clock that the test drives.

use std::collections::BTreeMap;

use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::{
    ca::{
        book::Book,
        folder::Folder,
        make_token,
        sample::{HOUR, mk_member},
    },
    model::{
        Enrolment, Mesh, NotEnrolled, Pod, RosterPod,
        sample::{mk_mesh, mk_pod},
    },
    telemetry::CertificateMetrics,
    tls::{
        Identities, JoinToken,
        issue::{Attendance, Ca, CaError, IssueStatus, Keeper},
    },
};

/// A desk, and an agent that it has admitted, without a network between them.
struct Near {
    desk: Desk,
    token: JoinToken,
}

impl Ca for Near {
    async fn attend(&self) -> Result<Attendance, CaError> {
        let (say, words) = mpsc::channel(16);
        let (sender, answers) = mpsc::channel(16);
        self.desk.welcome(Attendee {
            known: Known::Join(self.token.clone()),
            words,
            answers: sender,
        });
        Ok(Attendance { say, answers })
    }
}

struct Scene {
    roster: watch::Sender<Arc<Roster>>,
    identities: Identities,
    status: watch::Receiver<IssueStatus>,
    keeper: JoinHandle<()>,
    begun: Instant,
    _mesh: watch::Sender<Arc<Mesh>>,
    _folder: TempDir,
}

impl Scene {
    /// An agent with these pods, before a CA that has heard of none but `known`.
    fn new(pods: &[Pod], known: &[(&Pod, RosterPod)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ca");
        let made = Folder::create(&path, "cluster.local").expect("a CA");
        let token = make_token(&path, NODE, HOUR).expect("a token");
        let book = Arc::new(Book::open(made).expect("a state"));
        let (roster, followed) = watch::channel(mk_roster(known));
        let desk = Desk {
            life: HOUR,
            ..Desk::new(book.live(), FollowedRoster::of_files(followed), Gate::Tokens(book))
        };
        let near = Near {
            desk,
            token: token.parse().expect("a token"),
        };
        let (mesh, followed) = watch::channel(Arc::new(mk_mesh(pods.to_vec(), Vec::new())));
        let keeper = Keeper::new(near, followed, CertificateMetrics::default());
        Self {
            roster,
            identities: keeper.identities(),
            status: keeper.status(),
            keeper: tokio::spawn(keeper.run()),
            begun: Instant::now(),
            _mesh: mesh,
            _folder: folder,
        }
    }

    /// Lets the roster hear of these pods, so long after the agent has begun.
    async fn hear(&self, after: Duration, known: &[(&Pod, RosterPod)]) {
        sleep_until(self.begun + after).await;
        self.roster.send_replace(mk_roster(known));
    }

    /// Who is refused, as soon as somebody is.
    async fn refused(&mut self) -> Vec<String> {
        let status = self.status.wait_for(|status| !status.refusals.is_empty()).await;
        let refusals = status.expect("a keeper").refusals.clone();
        refusals.values().map(ToString::to_string).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn mk_roster(known: &[(&Pod, RosterPod)]) -> Arc<Roster> {
    let pods = known.iter().map(|(pod, member)| (pod.uid.clone(), member.clone()));
    Arc::new(Roster {
        pods: pods.collect(),
        pod_cidrs: BTreeMap::new(),
    })
}

/// What the roster says of a pod before it says all.
fn stages(pod: &Pod) -> [RosterPod; 4] {
    let whole = mk_member(pod, NODE);
    let newborn = RosterPod {
        ips: Vec::new(),
        ..whole.clone()
    };
    let unlabelled = RosterPod {
        enrolment: Enrolment::Out(NotEnrolled::NoLabel),
        ..newborn.clone()
    };
    let unscheduled = RosterPod {
        node: None,
        ..unlabelled.clone()
    };
    [unscheduled, unlabelled, newborn, whole]
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_first_to_hear_of_a_pod_gets_its_whole_certificate_when_the_ca_has_heard() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let known = (&web, mk_member(&web, NODE));
    let scene = Scene::new(&[cart.clone(), web.clone()], std::slice::from_ref(&known));
    scene.identities.issued(&web.uid).await;
    assert_eq!(scene.begun.elapsed(), Duration::ZERO, "others do not wait for it");
    let news = stages(&cart).map(|stage| [(&cart, stage), known.clone()]);
    for (number, news) in (1..).zip(&news) {
        assert!(scene.identities.of(&cart.uid).is_none());
        scene.hear(number * Duration::from_millis(100), news).await;
    }
    let credentials = scene.identities.issued(&cart.uid).await;
    assert_eq!(
        scene.begun.elapsed(),
        Duration::from_millis(400),
        "the news wakes the CA"
    );
    assert_eq!(credentials.ips(), cart.ips);
}

#[tokio::test(start_paused = true)]
async fn what_the_ca_never_hears_of_is_settled_after_half_a_second_by_what_it_knows() {
    let (ghost, cart) = (mk_pod("ghost", "10.0.0.1"), mk_pod("cart", "10.0.0.2"));
    let [.., newborn, _whole] = stages(&cart);
    let mut scene = Scene::new(&[ghost, cart.clone()], &[(&cart, newborn)]);
    let credentials = scene.identities.issued(&cart.uid).await;
    assert_eq!(scene.begun.elapsed(), BEHIND);
    assert!(credentials.ips().is_empty());
    assert_eq!(scene.refused().await, ["there is no such pod"]);
    assert_eq!(scene.begun.elapsed(), BEHIND);
}

#[tokio::test(start_paused = true)]
async fn what_no_news_can_mend_is_refused_at_once() {
    let cart = mk_pod("cart", "10.0.0.1");
    let elsewhere = mk_member(&cart, "node-2");
    let mut scene = Scene::new(std::slice::from_ref(&cart), &[(&cart, elsewhere)]);
    assert_eq!(scene.refused().await, ["the pod is not on this node"]);
    assert_eq!(scene.begun.elapsed(), Duration::ZERO);
}

const NODE: &str = "node-1";
