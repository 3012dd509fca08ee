//! A CA with agents' keepers before it, over real connections within this process.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use super::*;
use crate::{
    ca::{
        self, CaServerError, change_denials, force_rotation, make_token, rotate,
        sample::{Agent, HOUR, mk_member},
        show,
    },
    model::{Pod, Roster, sample},
    tls::{
        Denial, JoinToken,
        issue::{Ca as _, CaError, Credential, Remote},
    },
};

struct Scene {
    folder: TempDir,
    address: SocketAddr,
    roster: watch::Sender<Arc<Roster>>,
    running: Vec<JoinHandle<()>>,
}

impl Scene {
    async fn new(listen: &str, life: Duration) -> Self {
        Self::patient(listen, life, HOUR).await
    }

    /// With a CA whose rotations wait for so long for agents that do not take the new root.
    async fn patient(listen: &str, life: Duration, patience: Duration) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (roster, followed) = watch::channel(Arc::default());
        let settings = Settings {
            listen: sample::mk_address(listen),
            life,
            rotation_step: Duration::ZERO,
            rotation_patience: patience,
            audit: Audit::Log,
            metrics: CaMetrics::default(),
        };
        let state = FolderSettings {
            path: folder.path().join("ca"),
            trust_domain: "cluster.local".to_owned(),
        };
        let server = Server::bind(settings, state, FollowedRoster::of_files(followed)).await;
        let server = server.expect("a CA");
        let address = server.address().expect("bound");
        let running = vec![tokio::spawn(server.run())];
        Self {
            folder,
            address,
            roster,
            running,
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    fn remote(&self, node: &str, life: Duration) -> Remote {
        let token = make_token(&self.state(), node, life).expect("a token");
        self.with_token(node, &token)
    }

    fn with_token(&self, node: &str, token: &str) -> Remote {
        let file = self.token(node);
        std::fs::write(&file, token).expect("written");
        self.with_file(node, file)
    }

    fn token(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("{node}.token"))
    }

    fn with_file(&self, node: &str, file: PathBuf) -> Remote {
        Remote::new(self.address.to_string(), Credential::Join(file), node)
    }

    /// An agent of a node with these pods.
    fn agent(&mut self, remote: Remote, pods: &[Pod]) -> Agent {
        let (agent, task) = Agent::start(remote, pods);
        self.running.push(task);
        agent
    }

    fn enrol(&self, pods: &[(&Pod, &str)]) {
        let pods = pods.iter().map(|(pod, node)| (pod.uid.clone(), mk_member(pod, node)));
        self.roster.send_replace(Arc::new(Roster {
            pods: pods.collect(),
            pod_cidrs: BTreeMap::new(),
        }));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

async fn refused(remote: &Remote) -> CaError {
    match remote.attend().await {
        Ok(_) => panic!("the CA must refuse"),
        Err(error) => error,
    }
}

async fn until(what: &str, such: impl FnMut() -> bool) {
    ca::sample::until(Duration::from_secs(20), what, such).await;
}

#[tokio::test]
async fn agents_get_certificates_for_their_own_pods_over_either_family() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let mut scene = Scene::new(listen, HOUR).await;
        let (cart, web) = (sample::mk_pod("cart", "10.0.0.1"), sample::mk_pod("web", "10.0.0.2"));
        scene.enrol(&[(&cart, "node-1"), (&web, "node-2")]);
        // The first agent claims the other's pod too.
        let (one, two) = (scene.remote("node-1", HOUR), scene.remote("node-2", HOUR));
        let mut one = scene.agent(one, &[cart.clone(), web.clone()]);
        let two = scene.agent(two, std::slice::from_ref(&web));
        let credentials = one.identities.issued(&cart.uid).await;
        assert_eq!(
            credentials.identity().to_string(),
            "spiffe://cluster.local/ns/default/sa/default"
        );
        assert_eq!(credentials.ips(), cart.ips);
        two.identities.issued(&web.uid).await;
        let status = one
            .status
            .wait_for(|status| !status.refusals.is_empty())
            .await
            .expect("a keeper");
        assert_eq!(status.refusals.keys().collect::<Vec<_>>(), [&web.uid]);
        assert_eq!(&*status.refusals[&web.uid], "the pod is not on this node");
        assert_eq!(*one.identities.mesh_id().borrow(), *two.identities.mesh_id().borrow());
    }
}

#[tokio::test]
async fn a_refused_pod_gets_its_certificate_once_the_manifests_say_so() {
    let mut scene = Scene::new("127.0.0.1:0", HOUR).await;
    let cart = sample::mk_pod("cart", "10.0.0.1");
    let remote = scene.remote("node-1", HOUR);
    let mut agent = scene.agent(remote, std::slice::from_ref(&cart));
    agent
        .status
        .wait_for(|status| !status.refusals.is_empty())
        .await
        .expect("a keeper");
    scene.enrol(&[(&cart, "node-1")]);
    agent.identities.issued(&cart.uid).await;
}

#[tokio::test]
async fn tokens_of_other_nodes_and_cas_expired_and_invented_ones_are_refused() {
    let scene = Scene::new("127.0.0.1:0", HOUR).await;
    let own = scene.remote("node-1", HOUR);
    own.attend().await.expect("the token is this node's");
    let foreign = scene.with_file("node-2", scene.token("node-1"));
    assert!(
        matches!(refused(&foreign).await, CaError::Token(_)),
        "the agent itself refuses it"
    );
    let expired = scene.remote("node-1", Duration::ZERO);
    assert!(matches!(refused(&expired).await, CaError::Token(_)));
    // Another CA's token names another root.
    let other = Scene::new("127.0.0.1:0", HOUR).await;
    let token = make_token(&other.state(), "node-1", HOUR).expect("a token");
    assert!(matches!(
        refused(&scene.with_token("node-1", &token)).await,
        CaError::Tls(_)
    ));
    // The right root with an invented secret.
    let state = Folder::open(&scene.state()).expect("a folder").read().expect("a state");
    let root = crate::tls::Fingerprint::of(state.endpoint().expect("a root").certificate());
    let invented = JoinToken::draw("node-1", root, SystemTime::now() + HOUR).expect("a token");
    let error = refused(&scene.with_token("node-1", &invented.reveal())).await;
    assert!(
        matches!(&error, CaError::Refused(reason) if reason.contains("does not know")),
        "{error}"
    );
}

#[tokio::test]
async fn a_running_ca_knows_a_token_from_the_moment_in_which_it_is_made() {
    let scene = Scene::new("127.0.0.1:0", HOUR).await;
    for _ in 0..20 {
        scene.remote("node-1", HOUR).attend().await.expect("its first try");
    }
}

#[tokio::test]
async fn a_rotation_goes_through_its_stages_while_agents_attend() {
    let life = Duration::from_secs(3);
    let mut scene = Scene::new("127.0.0.1:0", life).await;
    let cart = sample::mk_pod("cart", "10.0.0.1");
    scene.enrol(&[(&cart, "node-1")]);
    let remote = scene.remote("node-1", HOUR);
    let agent = scene.agent(remote, std::slice::from_ref(&cart));
    let old = agent.identities.issued(&cart.uid).await;
    let mesh_id = *agent.identities.mesh_id().borrow();
    let peer = crate::tls::Peer::of_credentials(&old);
    assert!(!agent.identities.refuses(&peer));
    assert!(rotate(&scene.state()).expect("begun").contains("does not sign yet"));
    until("a certificate of the new root", || {
        agent
            .identities
            .of(&cart.uid)
            .is_some_and(|held| held.authority() != old.authority())
    })
    .await;
    assert!(!agent.identities.refuses(&peer), "both roots hold");
    until("the old root gone", || agent.identities.refuses(&peer)).await;
    assert!(agent.identities.of(&cart.uid).is_some());
    let shown = show(&scene.state()).expect("shown");
    assert_eq!((shown.roots.len(), &*shown.rotation), (1, "none"));
    assert_eq!(*agent.identities.mesh_id().borrow(), mesh_id, "the mesh stays the same");
    // An agent with its old token comes back: the token's root is not one of those that rotate.
    let late = scene.with_file("node-1", scene.token("node-1"));
    late.attend().await.expect("the token outlives the rotation");
}

#[tokio::test]
async fn an_agent_that_does_not_take_the_new_root_is_named_and_waited_for_until_somebody_forces_it() {
    let scene = Scene::new("127.0.0.1:0", HOUR).await;
    let shown = || show(&scene.state()).expect("shown");
    let silent = scene.remote("node-1", HOUR).attend().await.expect("it attends");
    let error = force_rotation(&scene.state()).expect_err("none goes on");
    assert!(matches!(error, CaServerError::NotRotating));
    rotate(&scene.state()).expect("begun");
    until("the node named", || shown().waits_for == ["node-1"]).await;
    let waiting = shown();
    assert_eq!(waiting.signer, waiting.roots[0], "the old root signs");
    assert!(force_rotation(&scene.state()).expect("forced").contains("at once"));
    until("the new root signing", || shown().signer == waiting.roots[1]).await;
    assert_eq!(shown().waits_for, [""; 0]);
    drop(silent);
}

#[tokio::test]
async fn an_agent_that_attends_and_does_not_take_the_new_root_is_waited_for_no_longer_than_the_patience() {
    let patience = Duration::from_secs(2);
    let scene = Scene::patient("127.0.0.1:0", HOUR, patience).await;
    let shown = || show(&scene.state()).expect("shown");
    let silent = scene.remote("node-1", HOUR).attend().await.expect("it attends");
    rotate(&scene.state()).expect("begun");
    let begun = Instant::now();
    let roots = shown().roots;
    until("the new root signing", || shown().signer == roots[1]).await;
    // The state counts whole seconds.
    let waited = begun.elapsed() + Duration::from_secs(1);
    assert!(waited >= patience, "{waited:?}");
    assert!(shown().rotation.starts_with("the new root signs"));
    drop(silent);
}

#[tokio::test]
async fn an_agent_that_has_gone_is_not_waited_for() {
    let scene = Scene::new("127.0.0.1:0", HOUR).await;
    let shown = || show(&scene.state()).expect("shown");
    let silent = scene.remote("node-1", HOUR).attend().await.expect("it attends");
    rotate(&scene.state()).expect("begun");
    until("the node named", || shown().waits_for == ["node-1"]).await;
    drop(silent);
    until("the new root signing", || {
        shown().rotation.starts_with("the new root signs")
    })
    .await;
}

#[tokio::test]
async fn denials_reach_agents_that_attend_and_are_taken_back() {
    let mut scene = Scene::new("127.0.0.1:0", HOUR).await;
    let (cart, web) = (sample::mk_pod("cart", "10.0.0.1"), sample::mk_pod("web", "10.0.0.2"));
    scene.enrol(&[(&cart, "node-1"), (&web, "node-2")]);
    let (one, two) = (scene.remote("node-1", HOUR), scene.remote("node-2", HOUR));
    let one = scene.agent(one, std::slice::from_ref(&cart));
    let two = scene.agent(two.clone(), std::slice::from_ref(&web));
    let web_peer = crate::tls::Peer::of_credentials(&*two.identities.issued(&web.uid).await);
    one.identities.issued(&cart.uid).await;
    let node = Denial::Node("node-2".into());
    change_denials(&scene.state(), &node, true).expect("denied");
    until("the denial", || one.identities.refuses(&web_peer)).await;
    until("the denied agent sent away", || !two.status.borrow().attended).await;
    change_denials(&scene.state(), &node, false).expect("allowed");
    until("the denial gone", || !one.identities.refuses(&web_peer)).await;
    // What is denied gets no new certificate either: the agent that comes now is told so for its one pod.
    change_denials(&scene.state(), &Denial::Pod(cart.uid.clone()), true).expect("denied");
    let remote = scene.remote("node-1", HOUR);
    let late = scene.agent(remote, std::slice::from_ref(&cart));
    until("the refusal", || late.status.borrow().refusals.contains_key(&cart.uid)).await;
    let reason = format!("the deny-list has pod {}", cart.uid);
    assert_eq!(*late.status.borrow().refusals[&cart.uid], *reason);
    let nobody = Denial::Pod(crate::model::PodUid::new("uid-nobody"));
    let error = change_denials(&scene.state(), &nobody, false).expect_err("nobody is not denied");
    assert!(matches!(error, CaServerError::NotDenied(_)));
}

#[tokio::test]
async fn a_state_into_which_others_may_look_is_refused() {
    let scene = Scene::new("127.0.0.1:0", HOUR).await;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    };
    for (path, good, loose) in [
        (scene.state(), 0o700, 0o750),
        (scene.state().join("state.json"), 0o600, 0o604),
    ] {
        show(&scene.state()).expect("shown");
        set(&path, loose);
        let error = show(&scene.state()).expect_err("loose");
        assert!(matches!(error, CaServerError::Loose { .. }), "{error}");
        assert!(make_token(&scene.state(), "node-1", HOUR).is_err());
        set(&path, good);
    }
}

#[tokio::test]
async fn a_ca_that_starts_again_is_the_same_ca() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("ca");
    assert!(matches!(show(&state), Err(CaServerError::Absent { .. })));
    Folder::create(&state, "cluster.local").expect("made");
    let first = show(&state).expect("shown");
    Folder::create(&state, "other.example").expect("taken");
    assert_eq!(show(&state).expect("shown"), first);
}
