//! What the MeshConfig is to be told: whether it holds.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::json;

use super::{
    super::{
        convert::status::{Condition, MeshConfigStatus},
        field::Finding,
        objects::{Key, Kind},
    },
    StatusVerdict,
    judge::{accepted, as_written, found_of, refuses, transition},
};
use crate::model::ObjectName;

/// A MeshConfig as it was written, with what stands in its status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WrittenMeshConfig {
    findings: Vec<Finding>,
    generation: Option<i64>,
    version: Option<String>,
    status: MeshConfigStatus,
}

// === impl WrittenMeshConfig ===

impl WrittenMeshConfig {
    pub(super) fn new(object: DynamicObject) -> Self {
        let (generation, version) = (object.metadata.generation, object.metadata.resource_version.clone());
        let (_, findings, status) = found_of(Kind::MeshConfig, object);
        Self {
            findings,
            generation,
            version,
            status: as_written(status),
        }
    }

    /// What its status is to be; conditions that others have written stay.
    fn wanted(&self, now: Timestamp) -> MeshConfigStatus {
        let found: Vec<&Finding> = self.findings.iter().collect();
        let own = accepted(&found, self.generation);
        let own = Condition {
            last_transition_time: transition(&own, &self.status.conditions, now),
            ..own
        };
        let others = self.status.conditions.iter();
        let others = others.filter(|condition| condition.kind != own.kind).cloned();
        let mut conditions: Vec<Condition> = others.take(MOST_CONDITIONS - 1).collect();
        conditions.push(own);
        MeshConfigStatus { conditions }
    }
}

/// Judges all of them: the API server takes one only, but may hold more from before it knew that.
pub(super) fn judge_mesh_configs(
    written: &BTreeMap<ObjectName, WrittenMeshConfig>,
    now: Timestamp,
) -> Vec<StatusVerdict> {
    let verdict = |(name, config): (&ObjectName, &WrittenMeshConfig)| {
        let wanted = config.wanted(now);
        StatusVerdict {
            key: Key {
                kind: Kind::MeshConfig,
                name: name.clone(),
            },
            version: config.version.clone(),
            accepted: !refuses(&wanted.conditions),
            wanted: (wanted != config.status).then(|| json!(wanted)),
        }
    };
    written.iter().map(verdict).collect()
}

/// As many as the kind permits.
const MOST_CONDITIONS: usize = 8;

#[cfg(test)]
mod tests;
