//! A real Kubernetes on one Linux machine without containers around it: the programs are built from pinned Go modules.
//!
//! ```text
//! Module ── Programs          what is built, of which version, and where it lies in the cache
//! Authority ── Credentials    who is who: certificates and kubeconfigs
//! ControlPlane                etcd and kube-apiserver, alone or with what a cluster needs beside them
//! ```
//!
//! Nothing here builds anything or speaks to a person: `cargo xtask` does.

pub mod addressing;
mod control_plane;
mod daemon;
mod kubeconfig;
mod module;
mod pki;
mod programs;

pub use control_plane::{ControlPlane, Place, Scope};
pub use daemon::Daemon;
pub use kubeconfig::Kubeconfig;
pub use module::{Module, Version};
pub use pki::{Authority, Credentials, Names};
pub use programs::{Program, Programs, cache};
