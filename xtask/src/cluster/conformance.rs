//! `cargo xtask cluster conformance`: the Gateway API's own conformance suite, its profiles for meshes, against the Weft that is
//! installed.

mod results;
mod stopped;
mod suite;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use cluster::{Cluster, Module, Programs};

pub(crate) use self::results::Results;
use self::suite::{Patience, Suite};
use super::Name;
use crate::{
    image::{Arch, Which},
    setup::{self, Need},
    timing::Timing,
};

/// Run the Gateway API's conformance suite for meshes against the Weft that `load` installed
///
/// The definitions of the Gateway API are installed first. No test of a mesh is left out: one that fails or is skipped fails the
/// command. The first time, the suite and its application are built from pinned Go modules: some minutes.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask cluster conformance\n  cargo xtask cluster conformance --test MeshTrafficSplit"
)]
pub(super) struct Conformance {
    #[command(flatten)]
    name: Name,

    /// Only this test of the suite
    #[arg(long)]
    test: Option<String>,

    /// Where the suite writes its report, as YAML
    #[arg(long)]
    report: Option<PathBuf>,

    /// Stop the agents meanwhile: does the suite tell a mesh from none? Only the tests that need no mesh may pass
    #[arg(long)]
    agents_stopped: bool,
}

// === impl Conformance ===

impl Conformance {
    pub(super) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Cluster, Need::Conformance])?;
        let cluster = self.name.cluster()?;
        if !cluster.runs()? {
            bail!("the cluster {} is not up: `cargo xtask cluster up`", self.name.name);
        }
        let mut timing = Timing::default();
        prepare(&mut timing, &cluster)?;
        let suite = Suite {
            test: self.test,
            report: self.report,
            patience: if self.agents_stopped {
                Patience::None
            } else {
                Patience::Own
            },
        };
        let results = if self.agents_stopped {
            stopped::without_agents(&mut timing, &cluster, || suite.run(&cluster))?
        } else {
            timing.step("suite", || suite.run(&cluster))?
        };
        println!("{timing}\n{results}");
        if self.agents_stopped {
            results.only_passed(&stopped::NEED_NO_MESH)
        } else {
            results.all_passed()?;
            results.are_the_known()
        }
    }
}

/// All of it, as before a merge.
pub(super) fn check(timing: &mut Timing, cluster: &Cluster) -> Result<Results> {
    prepare(timing, cluster)?;
    let suite = Suite {
        test: None,
        report: None,
        patience: Patience::Own,
    };
    let results = timing.step("conformance", || suite.run(cluster))?;
    results.all_passed().with_context(|| results.to_string())?;
    results.are_the_known()?;
    Ok(results)
}

fn prepare(timing: &mut Timing, cluster: &Cluster) -> Result<()> {
    timing.step("definitions of the Gateway API", || install(cluster))?;
    let image = timing.step("image echo", || Which::Echo.build(Arch::Amd64))?;
    timing.step("import", || cluster.load(&image))
}

/// Installs the definitions of the very version that the suite tests.
fn install(cluster: &Cluster) -> Result<()> {
    let crds = Programs::cached()?
        .kept(Module::Conformance)?
        .context("the suite comes with definitions")?;
    let crds = crds.to_str().context("the cache folder's path must be text")?;
    let kubectl = cluster.kubectl()?;
    kubectl.run(&["apply", "--server-side", "--force-conflicts", "--kustomize", crds])?;
    kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
    Ok(())
}
