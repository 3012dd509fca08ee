//! What a cluster's API server tells of the mesh: nodes and their agents, namespaces and pods, the CA, the controller and
//! policies.
//!
//! Nothing is asked of the agents, so that whoever may read these kinds may take one: no exec, no proxy, no port of a node. What an
//! agent alone knows is looked at on its node (`weft check --local`, `weft debug`).

mod components;
mod pods;
mod policies;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::{ConfigMap, Namespace, Node, Pod},
};
use kube::{
    Api, Resource,
    api::{ListParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::api::{ApiServer, ApiServerError};
pub use components::{LeaseFact, ReplicaFact};
pub use pods::{NamespaceFact, Unprotected, Why};
pub use policies::PolicyFact;

/// What was found. The names of its fields are a stable interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The version of the API server.
    pub server: String,
    /// The nodes, by name.
    pub nodes: Vec<NodeFact>,
    /// The namespaces that are enrolled, and those with enrolled pods.
    pub namespaces: Vec<NamespaceFact>,
    /// Pods of enrolled namespaces, and enrolled pods of others, which no agent carries.
    pub unprotected: Vec<Unprotected>,
    /// The replicas of the CA.
    pub ca: Vec<ReplicaFact>,
    /// The replicas of the controller.
    pub controller: Vec<ReplicaFact>,
    /// Who of them leads.
    pub lease: Option<LeaseFact>,
    /// Weft's kinds that the API server does not know.
    pub missing_kinds: Vec<String>,
    /// The policies.
    pub policies: Vec<PolicyFact>,
    /// The roots that agents believe (PEM).
    #[serde(skip)]
    pub bundle: Option<String>,
}

/// A node and its agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeFact {
    /// Its name.
    pub name: String,
    /// Its kernel, such as `6.12.0-1-cloud-amd64`.
    pub kernel: String,
    /// Its operating system, such as `linux`.
    pub operating_system: String,
    /// Its container runtime, such as `containerd://2.1.0`.
    pub runtime: String,
    /// Whether it bears the taint that keeps pods away until its agent is ready.
    pub waits: bool,
    /// The pod of its agent.
    pub agent: Option<ReplicaFact>,
    /// How many enrolled pods it has.
    pub enrolled: usize,
}

/// Something an installer does, and whether this user may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// What, such as `create clusterroles`.
    pub what: String,
    /// Whether it is allowed.
    pub allowed: bool,
}

// === impl NodeFact ===

impl NodeFact {
    /// Whether it could have an agent; one that has not said what it runs is no other yet.
    pub fn may_have_agent(&self) -> bool {
        ["linux", ""].contains(&self.operating_system.as_str())
    }
}

// === impl Survey ===

impl Survey {
    /// Takes one. The kinds of Weft may be missing; all else must be there.
    ///
    /// # Errors
    ///
    /// When the API server cannot be asked, or refuses.
    pub async fn take(api: &ApiServer, system: &str) -> Result<Self, ApiServerError> {
        let nodes = list(Api::<Node>::all(api.client.clone())).await?;
        let namespaces = list(Api::<Namespace>::all(api.client.clone())).await?;
        let pods = list(Api::<Pod>::all(api.client.clone())).await?;
        let agents = components::replicas(&pods, system, AGENT);
        let sorted = pods::sort(namespaces, &pods, &agents);
        let (policies, missing_kinds) = policies::list(api).await?;
        let maps = Api::<ConfigMap>::namespaced(api.client.clone(), system);
        let bundle = maps.get_opt(BUNDLE).await.map_err(failed)?.and_then(|map| map.data);
        Ok(Self {
            server: api.version().await?,
            nodes: nodes
                .into_iter()
                .map(|node| node_fact(node, &agents, &sorted.by_node))
                .collect(),
            namespaces: sorted.namespaces,
            unprotected: sorted.unprotected,
            ca: components::replicas(&pods, system, CA)
                .into_values()
                .flatten()
                .collect(),
            controller: components::replicas(&pods, system, CONTROLLER)
                .into_values()
                .flatten()
                .collect(),
            lease: components::lease(api, system).await?,
            missing_kinds,
            policies,
            bundle: bundle.and_then(|mut data| data.remove(BUNDLE_KEY)),
        })
    }
}

/// What an installer does, and whether this user may: asked before anything is installed.
///
/// # Errors
///
/// When the API server cannot be asked.
pub async fn permissions(api: &ApiServer) -> Result<Vec<Permission>, ApiServerError> {
    let reviews = Api::<SelfSubjectAccessReview>::all(api.client.clone());
    let mut permissions = Vec::new();
    for (group, resource) in INSTALLED {
        let attributes = ResourceAttributes {
            verb: Some("create".into()),
            group: Some(group.into()),
            resource: Some(resource.into()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(failed)?;
        permissions.push(Permission {
            what: format!("create {resource}"),
            allowed: reviewed.status.is_some_and(|status| status.allowed),
        });
    }
    Ok(permissions)
}

fn node_fact(node: Node, agents: &BTreeMap<String, Vec<ReplicaFact>>, enrolled: &BTreeMap<String, usize>) -> NodeFact {
    let name = node.metadata.name.unwrap_or_default();
    let system = node.status.and_then(|status| status.node_info).unwrap_or_default();
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    NodeFact {
        kernel: system.kernel_version,
        operating_system: system.operating_system,
        runtime: system.container_runtime_version,
        waits: taints.iter().any(|taint| taint.key == TAINT),
        agent: components::best(agents.get(&name)),
        enrolled: enrolled.get(&name).copied().unwrap_or_default(),
        name,
    }
}

async fn list<K>(api: Api<K>) -> Result<Vec<K>, ApiServerError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut items = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(failed)?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(items),
            Some(token) => params = params.continue_token(&token),
        }
    }
}

fn failed(error: kube::Error) -> ApiServerError {
    ApiServerError::Request(Box::new(error))
}

/// The service accounts, by which the pods of each component are known.
const AGENT: &str = "weft-agent";
const CA: &str = "weft-ca";
const CONTROLLER: &str = "weft-controller";

const TAINT: &str = "weft.dev/agent-not-ready";

const BUNDLE: &str = "weft-ca-bundle";
const BUNDLE_KEY: &str = "bundle.pem";

/// What `kubectl apply -k deploy` creates that not everybody may.
const INSTALLED: [(&str, &str); 5] = [
    ("", "namespaces"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("apps", "daemonsets"),
];

/// Objects of one answer.
const PAGE: u32 = 500;
