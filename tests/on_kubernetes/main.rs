//! Tests on a real Kubernetes that is up: `cargo xtask cluster test`. One file per concern.
//!
//! The cluster is the one that `KUBECONFIG` names, else the simulated one named by `WEFT_CLUSTER`. It holds the images of
//! the checkout (`cargo xtask cluster load`).
#![cfg(test)]

mod bare;
mod probes;
mod restart;
mod workload;
mod world;
