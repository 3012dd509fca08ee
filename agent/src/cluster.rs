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

pub mod api;
mod assemble;
mod check;
mod convert;
pub mod crds;
mod decode;
mod enrolment;
pub mod events;
mod fate;
mod field;
pub mod files;
mod names;
mod objects;
mod policies;
mod slices;
pub mod survey;
mod update;
pub mod watch;

pub use update::{Contact, LastKnown, Update};
