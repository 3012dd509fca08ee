//! What the leader does, each duty for itself: one that fails does not hold up the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{pause, rotation, taints};
use crate::{
    cluster::{
        Agents, ApiServer, FollowedAgents, FollowedBoard, FollowedPolicies, RotationBoard, StatusVerdict, Written,
    },
    telemetry::{ControllerMetrics, with_causes},
};

/// What the leader follows and does.
#[derive(Clone, Debug)]
pub struct Duties {
    agents: FollowedAgents,
    board: RotationBoard,
    followed_board: FollowedBoard,
    policies: FollowedPolicies,
    metrics: ControllerMetrics,
}

// === impl Duties ===

impl Duties {
    /// Begins to follow what the duties are about.
    pub fn follow(server: &ApiServer, namespace: &str, metrics: ControllerMetrics) -> Self {
        let board = RotationBoard::new(server, namespace);
        Self {
            agents: FollowedAgents::follow(server, namespace, AGENT),
            followed_board: board.follow(),
            board,
            policies: FollowedPolicies::follow(server),
            metrics,
        }
    }

    /// Whether everything was told once, and still is as the API server has it.
    pub fn is_fresh(&mut self) -> bool {
        self.agents.now().is_some_and(|agents| agents.fresh)
    }

    /// Does what is to be done, for as long as this one leads.
    pub async fn run(&self) {
        tokio::join!(self.untaint(), self.rotate(), self.tell_policies());
    }

    async fn untaint(&self) {
        let mut agents = self.agents.clone();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut missing = Missing::default();
        loop {
            if let Some(known) = agents.now() {
                for node in taints::to_clear(&known) {
                    match agents.untaint(&node).await {
                        Ok(Written::Done) => {
                            tracing::info!(%node, "The agent is ready: the node takes pods");
                            self.metrics.untainted();
                        }
                        Ok(Written::Overtaken) => {}
                        Err(error) => {
                            tracing::warn!(error = with_causes(&error), "A taint stays");
                            pause().await;
                        }
                    }
                }
                let without = taints::without_agent(&known);
                self.metrics.without_agent(without.len());
                missing.tell(without);
            }
            tokio::select! {
                () = agents.changed() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    async fn rotate(&self) {
        let (mut agents, mut board) = (self.agents.clone(), self.followed_board.clone());
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Of agents that nobody can say, none may be passed over.
            let known = agents.now().filter(|agents| agents.fresh).zip(board.now());
            let decision =
                known.and_then(|(Agents { ready, .. }, notes)| rotation::decide(&notes, &ready, SystemTime::now()));
            if let Some(decision) = decision {
                if !decision.waits_for.is_empty() {
                    let (bundle, nodes) = (decision.bundle, &decision.waits_for);
                    let advance = decision.advance;
                    tracing::warn!(bundle, ?nodes, advance, "Agents have not taken the new root");
                }
                self.metrics.rotation_waits(decision.waits_for.len());
                if let Err(error) = self.board.decide(&decision).await {
                    tracing::warn!(error = with_causes(&error), "The rotation is not decided");
                    pause().await;
                }
            }
            tokio::select! {
                () = agents.changed() => {}
                () = board.changed() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    async fn tell_policies(&self) {
        let mut policies = self.policies.clone();
        let mut told = Refused::default();
        loop {
            let verdicts = policies.verdicts();
            let refused = verdicts.iter().filter(|verdict| !verdict.accepted);
            let policies_refused = refused.filter(|verdict| !verdict.is_about_a_route());
            self.metrics.refused_policies(policies_refused.count());
            told.tell(&verdicts);
            let mut failed = false;
            for verdict in &verdicts {
                match policies.write(verdict).await {
                    Ok(None) => {}
                    Ok(Some(Written::Done)) => self.metrics.status_written(),
                    // The newer state comes, or is there already.
                    Ok(Some(Written::Overtaken)) => {}
                    Err(error) => {
                        failed = true;
                        tracing::warn!(
                            error = with_causes(&error),
                            "The author of a policy, a route or the MeshConfig is not told"
                        );
                    }
                }
            }
            if failed {
                pause().await;
            } else {
                policies.changed().await;
                // Several changes come together: each judges all policies.
                sleep(BATCH).await;
            }
        }
    }
}

/// Says of each object that is not accepted so, once.
#[derive(Debug, Default)]
struct Refused(BTreeSet<String>);

// === impl Refused ===

impl Refused {
    fn tell(&mut self, verdicts: &[StatusVerdict]) {
        let refused = verdicts.iter().filter(|verdict| !verdict.accepted);
        let refused: BTreeSet<String> = refused.map(StatusVerdict::object).collect();
        for object in refused.difference(&self.0) {
            tracing::info!(object, "It is not accepted: its status says why");
        }
        self.0 = refused;
    }
}

/// Nodes without an agent, told once each when they have been so for long.
#[derive(Debug, Default)]
struct Missing(BTreeMap<Arc<str>, (Instant, bool)>);

// === impl Missing ===

impl Missing {
    fn tell(&mut self, without: BTreeSet<Arc<str>>) {
        self.0.retain(|node, _| without.contains(node));
        for node in without {
            let (since, told) = self.0.entry(Arc::clone(&node)).or_insert((Instant::now(), false));
            if !*told && since.elapsed() > LONG {
                *told = true;
                tracing::warn!(%node, "The node has been without a ready agent for five minutes");
            }
        }
    }
}

/// The service account of agents.
const AGENT: &str = "weft-agent";
/// How often it is looked at what time alone changes.
const LOOK: Duration = Duration::from_secs(1);
/// How long a change of policies waits for more of them.
const BATCH: Duration = Duration::from_millis(100);
/// How long a node may be without an agent before that is told.
const LONG: Duration = Duration::from_secs(300);
