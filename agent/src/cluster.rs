//! Where the mesh comes from: Kubernetes' objects, told by an API server or read from a folder of manifests.
//!
//! ```text
//! YAML (files) ──┐
//!                ├─▶ k8s-openapi ─convert─▶ objects ─assemble─▶ model::Contents ─▶ Mesh
//! API (watch) ───┘     (decode)                 └─check─▶ what does not fit together
//! ```
//!
//! The only room that knows Kubernetes' types. What is found wrong becomes a [`Problem`](crate::model::Problem), never an
//! error: one bad object must not take the others with it.

mod agents;
pub mod api;
mod assemble;
mod check;
mod collection;
mod convert;
pub mod crds;
mod decode;
mod enrolment;
pub mod events;
mod fate;
mod field;
pub mod files;
mod lease;
mod names;
mod objects;
mod policies;
mod review;
mod roster;
mod rotation;
mod shared;
mod slices;
mod status;
pub mod survey;
mod update;
pub mod watch;

pub use agents::{Agents, FollowedAgents, TaintError};
pub use api::{ApiServer, ApiServerError};
pub use lease::{FoundLease, Lease, LeaseError};
pub use review::{ReviewError, ReviewedToken, TokenReviewer};
pub use roster::FollowedRoster;
pub use rotation::{FollowedBoard, RotationBoard, RotationDecision, RotationNotes, RotationStage};
pub use shared::{Followed, Following, FoundSecret, SharedConfigMap, SharedError, SharedSecret, Written};
pub use status::{FollowedPolicies, StatusError, StatusVerdict};
pub use update::{Contact, LastKnown, Update};
