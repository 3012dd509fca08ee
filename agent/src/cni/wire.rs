//! What plugin and agent say to each other: one JSON object each way, in a line of its own.
//!
//! The namespace goes along as a descriptor, since its path means another thing in the agent's mount namespace. Both ends
//! may be of different versions for a moment: what is not known is passed over, what lacks has a default.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::call::PodRef;

/// What the plugin asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub(super) enum Request {
    /// May this pod start?
    Add {
        container: String,
        pod: PodRef,
        ips: Vec<IpAddr>,
        /// How many milliseconds the plugin waits for the answer.
        patience: u64,
    },
    /// Is this pod as it should be?
    Check { container: String, pod: PodRef },
    /// This sandbox ends.
    Del { container: String },
    /// These sandboxes are left.
    Gc { containers: Vec<String> },
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(super) enum Reply {
    /// The pod is captured.
    Captured,
    /// The pod is not in the mesh.
    NotEnrolled,
    /// The pod is to be in the mesh and is not captured: it may start all the same.
    LetStart { reason: String },
    /// The pod is to be in the mesh and is not captured: it must not start.
    Wait { reason: String },
    /// It is done.
    Done,
}

/// How many milliseconds a time is.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes a line.
pub(super) fn line(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The most bytes of a line: a collection names all sandboxes of the node.
pub(super) const LONGEST: usize = 1024 * 1024;
