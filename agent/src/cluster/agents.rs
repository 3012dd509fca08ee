//! The agents of a cluster, and the taint of nodes which wait for theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::watcher,
};
use serde_json::json;

use super::{api::ApiServer, collection::Collection, shared::Written};

/// The agents' pods and the nodes, followed.
#[derive(Clone, Debug)]
pub struct FollowedAgents {
    pods: Collection<AgentPod>,
    nodes: Collection<TaintedNode>,
    api: Api<Node>,
}

/// Which nodes have agents at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agents {
    /// The nodes with an agent's pod, and whether that is ready.
    pub ready: BTreeMap<Arc<str>, bool>,
    /// All nodes.
    pub nodes: BTreeSet<Arc<str>>,
    /// The nodes that bear the taint.
    pub tainted: BTreeSet<Arc<str>>,
    /// Whether all of it is as the API server has it.
    pub fresh: bool,
}

/// A node cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot take the taint off node {node}")]
pub struct TaintError {
    node: Arc<str>,
    #[source]
    source: Box<kube::Error>,
}

/// The pod of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AgentPod {
    node: Arc<str>,
    ready: bool,
}

/// A node's taints, with the version in which they were read.
#[derive(Clone, Debug, PartialEq)]
struct TaintedNode(Option<Taints>);

#[derive(Clone, Debug, PartialEq)]
struct Taints {
    taints: Vec<Taint>,
    version: Option<String>,
}

// === impl FollowedAgents ===

impl FollowedAgents {
    /// Follows them; the agents are the pods of one service account.
    pub fn follow(server: &ApiServer, namespace: &str, service_account: &str) -> Self {
        let pods = Api::<Pod>::namespaced(server.client.clone(), namespace);
        let agents = watcher::Config::default().fields(&format!("spec.serviceAccountName={service_account}"));
        let api = Api::<Node>::all(server.client.clone());
        Self {
            pods: Collection::follow(pods, agents, agent_pod),
            nodes: Collection::follow(api.clone(), watcher::Config::default(), tainted),
            api,
        }
    }

    /// What is known at this moment; none before everything was told once.
    pub fn now(&mut self) -> Option<Agents> {
        let (pods, nodes) = (self.pods.now(), self.nodes.now());
        if !pods.complete || !nodes.complete {
            return None;
        }
        let mut ready = BTreeMap::new();
        for pod in pods.objects.values() {
            // While an agent is replaced its node has two: one that is ready is enough.
            *ready.entry(Arc::clone(&pod.node)).or_default() |= pod.ready;
        }
        let tainted = nodes.objects.iter().filter(|(_, node)| node.0.is_some());
        Some(Agents {
            ready,
            tainted: tainted.map(|(name, _)| Arc::clone(&name.name)).collect(),
            nodes: nodes.objects.keys().map(|name| Arc::clone(&name.name)).collect(),
            fresh: pods.lost.is_none() && nodes.lost.is_none(),
        })
    }

    /// Waits until something else is known.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = self.pods.changed() => {}
            () = self.nodes.changed() => {}
        }
    }

    /// Takes the taint off a node, if its taints are as they were read.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses for another reason than that somebody was faster.
    pub async fn untaint(&mut self, node: &Arc<str>) -> Result<Written, TaintError> {
        let nodes = self.nodes.now();
        let mut named = nodes.objects.iter().filter(|(name, _)| &name.name == node);
        let Some(Taints { taints, version }) = named.find_map(|(_, node)| node.0.as_ref()) else {
            return Ok(Written::Overtaken);
        };
        let others: Vec<&Taint> = taints.iter().filter(|taint| taint.key != TAINT).collect();
        let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": others } });
        match self
            .api
            .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Ok(Written::Done),
            Err(kube::Error::Api(status)) if matches!(status.code, CONFLICT | NOT_FOUND) => Ok(Written::Overtaken),
            Err(error) => Err(TaintError {
                node: Arc::clone(node),
                source: Box::new(error),
            }),
        }
    }
}

fn agent_pod(pod: Pod) -> Option<AgentPod> {
    let status = pod.status.unwrap_or_default();
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let node = pod.spec?.node_name?;
    (!has_ended).then(|| AgentPod {
        node: node.into(),
        ready: ready && pod.metadata.deletion_timestamp.is_none(),
    })
}

/// What is wanted of a node. Only one that bears the taint has a version: others would be news with each heartbeat.
fn tainted(node: Node) -> Option<TaintedNode> {
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let bears = taints.iter().any(|taint| taint.key == TAINT);
    Some(TaintedNode(bears.then_some(Taints {
        taints,
        version: node.metadata.resource_version,
    })))
}

/// The taint of a node whose agent is not ready yet.
const TAINT: &str = "weft.dev/agent-not-ready";
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
