//! `cargo xtask cluster`: a real Kubernetes of two simulated nodes, without a container engine and without downloads of
//! anything ready-made.

mod check;
mod conformance;
mod load;
mod up;

use anyhow::Result;
use clap::{Args, Subcommand};
use cluster::Cluster as TwoNodes;

use self::conformance::Results;
use crate::{
    test::{Tally, Test},
    timing::Timing,
};

/// Run a real two-node Kubernetes on this machine, and the tests on it
///
/// Each node has network, PID, mount and cgroup namespaces of its own, with a containerd, a kubelet and a kube-proxy; pods
/// and services have IPv4 and IPv6. The programs are built from pinned Go modules: more than ten minutes the first time.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask cluster up\n  cargo xtask cluster load\n  cargo xtask cluster test\n  cargo xtask cluster down"
)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Up),
    Load(load::Load),
    Test(check::Check),
    Conformance(conformance::Conformance),
    /// End the cluster and remove all that it made
    Down(Name),
}

/// Which cluster.
#[derive(Args, Clone, Debug)]
struct Name {
    /// Several can be up at a time
    #[arg(long, default_value = "dev", env = "WEFT_CLUSTER")]
    name: String,
}

/// Brings a cluster of its own up, runs all tests on it and the Gateway API's suite, and takes it down, as before a merge.
pub(crate) fn run(timing: &mut Timing) -> Result<(Tally, Results)> {
    let name = Name { name: "ci".to_owned() };
    let cluster = name.cluster()?;
    timing.step("cluster up", || up::start(&mut Timing::default(), &cluster, false))?;
    let results = timing
        .step("cluster load", || load::load(&mut Timing::default(), &name, &load::ALL))
        .and_then(|()| timing.step("cluster test", || check::tests(&name, &Test::all())))
        .and_then(|tally| Ok((tally, conformance::check(timing, &cluster)?)));
    timing.step("cluster down", || cluster.down())?;
    results
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Up(up) => up.run(),
            Command::Load(load) => load.run(),
            Command::Test(check) => check.run(),
            Command::Conformance(conformance) => conformance.run(),
            Command::Down(name) => name.cluster()?.down(),
        }
    }
}

// === impl Name ===

impl Name {
    fn cluster(&self) -> Result<TwoNodes> {
        TwoNodes::named(&self.name)
    }
}
