//! Tests on a real Kubernetes that is up: `cargo xtask cluster test`. One file per concern.
//!
//! The cluster is the one that `KUBECONFIG` names, else the simulated one named by `WEFT_CLUSTER`. It holds the images of
//! the checkout (`cargo xtask cluster load`), and Weft is installed in it.
#![cfg(test)]

mod bare;
mod enrolment;
mod life;
mod mesh;
mod outages;
mod probes;
mod restart;
mod services;
mod strict;
mod uninstall;
mod workload;
mod world;
