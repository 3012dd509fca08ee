//! Rotations of several replicas: who decides, who tells what is known, and what a killed replica changes.

use super::*;
use crate::cluster::{RotationBoard, RotationDecision};

#[tokio::test]
async fn a_rotation_goes_through_when_the_controller_decides_though_a_replica_is_killed() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let (cart, web) = (sample::mk_pod("cart", "10.0.0.1"), sample::mk_pod("web", "10.0.0.2"));
    cluster.put(&[(&cart, "node-1"), (&web, "node-2")]);
    let first = cluster.replica("127.0.0.1:0", None).await;
    let second = cluster.replica("[::1]:0", None).await;
    let address = cluster.service(&[&first, &second]).await;
    let remotes = [("node-1", &cart), ("node-2", &web)];
    let mut agents = Vec::new();
    for (node, pod) in remotes {
        let remote = cluster.remote(&address, node, &cluster.agent_token(node)).await;
        let agent = cluster.agent(remote, std::slice::from_ref(pod));
        let old = agent.identities.issued(&pod.uid).await;
        agents.push((agent, pod, old));
    }
    let shown = cluster.state().rotate().await.expect("begun");
    assert!(shown.contains("does not sign yet"), "{shown}");
    // A stage is not lost with the replica that has told it.
    cluster.running[0].abort();
    let board = RotationBoard::new(&cluster.server, "weft-system");
    let told = timeout(PATIENCE, async {
        loop {
            let notes = board.read().await.expect("read");
            let stage = notes.stage.filter(|stage| {
                let knows = |node: &str| notes.taken.get(node).is_some_and(|taken| *taken >= stage.bundle);
                knows("node-1") && knows("node-2")
            });
            if let Some(stage) = stage {
                return stage;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let stage = told.await.expect("both agents have taken the new root");
    let joining = cluster.state().show().await.expect("shown");
    assert_eq!(
        (joining.roots.len(), &joining.signer),
        (2, &joining.roots[0]),
        "nobody has decided"
    );
    let decision = RotationDecision {
        bundle: stage.bundle,
        advance: true,
        waits_for: ["node-9"].map(Arc::from).into(),
    };
    board.decide(&decision).await.expect("decided");
    for (agent, pod, old) in &agents {
        let renewed = || {
            let held = agent.identities.of(&pod.uid);
            held.is_some_and(|held| held.authority() != old.authority())
        };
        until("a certificate of the new root", renewed).await;
        let peer = crate::tls::Peer::of_credentials(old);
        assert!(!agent.identities.refuses(&peer), "both roots hold");
    }
    let leaving = cluster.state().show().await.expect("shown");
    assert_eq!((leaving.roots.len(), &leaving.signer), (2, &leaving.roots[1]));
    assert_eq!(leaving.waits_for, [""; 0], "the stage is over");
    assert!(cluster.bundle().await.matches("BEGIN CERTIFICATE").count() == 2);
}

#[tokio::test]
async fn who_is_waited_for_is_shown_and_an_operator_may_force_it() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    cluster.replica("127.0.0.1:0", None).await;
    let error = cluster.state().force_rotation().await.expect_err("none goes on");
    assert!(matches!(error, CaServerError::NotRotating), "{error}");
    cluster.state().rotate().await.expect("begun");
    let board = RotationBoard::new(&cluster.server, "weft-system");
    let told = timeout(PATIENCE, async {
        loop {
            if let Some(stage) = board.read().await.expect("read").stage {
                return stage;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let decision = RotationDecision {
        bundle: told.await.expect("a stage").bundle,
        advance: false,
        waits_for: ["node-1"].map(Arc::from).into(),
    };
    board.decide(&decision).await.expect("decided");
    assert_eq!(cluster.state().show().await.expect("shown").waits_for, ["node-1"]);
    cluster.state().force_rotation().await.expect("forced");
    let done = timeout(PATIENCE, async {
        while !cluster
            .state()
            .show()
            .await
            .expect("shown")
            .rotation
            .starts_with("the new root signs")
        {
            sleep(Duration::from_millis(50)).await;
        }
    });
    done.await.expect("the new root signs");
}

#[test]
fn a_controller_that_is_silent_is_not_waited_for_without_end() {
    let stage = RotationStage {
        bundle: 2,
        since: 1000,
        step: 10,
        patience: 100,
    };
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut notes = RotationNotes::default();
    let end = 1000 + 10 + 100 + SILENCE.as_secs();
    assert!(!is_decided(stage, &notes, at(end - 1)));
    assert!(is_decided(stage, &notes, at(end)));
    let mut decide = |bundle, advance| {
        notes.decision = Some(RotationDecision {
            bundle,
            advance,
            waits_for: [].into(),
        });
        is_decided(stage, &notes, at(1000))
    };
    assert!(decide(2, true));
    assert!(!decide(2, false));
    assert!(!decide(1, true), "it is about another stage");
}
