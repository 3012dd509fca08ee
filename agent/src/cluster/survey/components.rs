//! Weft's own pods, and who leads among the controllers.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    jiff::Timestamp,
};
use kube::Api;
use serde::Serialize;

use super::{CONTROLLER, failed};
use crate::cluster::api::{ApiServer, ApiServerError};

/// A pod of one of Weft's components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaFact {
    /// Its name.
    pub pod: String,
    /// Whether it is ready.
    pub ready: bool,
    /// What its image's tag, or digest, says.
    pub version: String,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseFact {
    /// The controller's name.
    pub holder: String,
    /// How long ago it said so, in seconds.
    pub age_seconds: i64,
    /// For how long that holds.
    pub duration_seconds: i64,
}

// === impl LeaseFact ===

impl LeaseFact {
    /// Whether it still holds.
    pub fn holds(&self) -> bool {
        self.age_seconds <= self.duration_seconds
    }
}

/// The pods of a service account, by node.
pub(super) fn replicas(pods: &[Pod], system: &str, account: &str) -> BTreeMap<String, Vec<ReplicaFact>> {
    let mut replicas: BTreeMap<String, Vec<ReplicaFact>> = BTreeMap::new();
    for pod in pods {
        let Some(spec) = &pod.spec else { continue };
        if pod.metadata.namespace.as_deref() != Some(system) || spec.service_account_name.as_deref() != Some(account) {
            continue;
        }
        let image = spec.containers.first().and_then(|container| container.image.as_deref());
        let of_node = replicas.entry(spec.node_name.clone().unwrap_or_default()).or_default();
        of_node.push(ReplicaFact {
            pod: pod.metadata.name.clone().unwrap_or_default(),
            ready: is_ready(pod),
            version: version(image.unwrap_or_default()).to_owned(),
        });
    }
    replicas
}

/// Of a node's agents, as there are two for a moment, one that is ready.
pub(super) fn best(agents: Option<&Vec<ReplicaFact>>) -> Option<ReplicaFact> {
    let agents = agents?;
    agents.iter().find(|agent| agent.ready).or(agents.first()).cloned()
}

/// Who leads, where somebody ever did.
pub(super) async fn lease(api: &ApiServer, system: &str) -> Result<Option<LeaseFact>, ApiServerError> {
    let leases = Api::<Lease>::namespaced(api.client.clone(), system);
    let spec = leases
        .get_opt(CONTROLLER)
        .await
        .map_err(failed)?
        .and_then(|lease| lease.spec);
    Ok(spec.and_then(|spec| {
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty())?;
        let renewed = spec.renew_time?.0;
        Some(LeaseFact {
            holder,
            age_seconds: Timestamp::now().as_second() - renewed.as_second(),
            duration_seconds: spec.lease_duration_seconds.unwrap_or_default().into(),
        })
    }))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What stands behind the image's name; a port of its registry is no tag.
fn version(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let separator = name.find(['@', ':']);
    separator.map_or("latest", |at| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_images_tag() {
        let versions = [
            "weft.dev/weft:0.1.0",
            "registry:5000/weft",
            "registry:5000/weft:1.2",
            "weft@sha256:00ff",
        ]
        .map(version);
        assert_eq!(versions, ["0.1.0", "latest", "1.2", "sha256:00ff"]);
    }

    #[test]
    fn a_lease_holds_as_long_as_it_says() {
        let aged = |age_seconds| LeaseFact {
            holder: "a".into(),
            age_seconds,
            duration_seconds: 15,
        };
        assert!(aged(15).holds());
        assert!(!aged(16).holds());
    }
}
