//! `cargo xtask cluster conformance`: the Gateway API's own conformance suite, its profiles for meshes, against the Weft that is
//! installed.

mod results;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{self, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use cluster::{Cluster, Module, Program, Programs};

use self::results::Results;
use super::Name;
use crate::{
    image::{Arch, Which},
    process,
    setup::{self, Need},
    timing::Timing,
    workspace,
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
        timing.step("definitions of the Gateway API", || install(&cluster))?;
        let image = timing.step("image echo", || Which::Echo.build(Arch::Amd64))?;
        timing.step("import", || cluster.load(&image))?;
        let results = timing.step("suite", || self.suite(&cluster))?;
        println!("{timing}\n{results}");
        results.verdict(self.test.as_deref())
    }

    /// Runs the suite, all of whose output goes into a file.
    fn suite(&self, cluster: &Cluster) -> Result<Results> {
        let programs = Programs::cached()?;
        let path = workspace::target().join("conformance.log");
        let mut log = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        println!("its output: {}", path.display());
        let mut suite = Command::new(programs.path(Program::Conformance)?);
        suite
            .current_dir(programs.folder(Module::Conformance)?)
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(["-test.v", "-test.run=^TestConformance$", "-test.timeout=1h"])
            .arg("-conformance-profiles=MESH-HTTP,MESH-GRPC")
            .arg("-namespace-labels=weft.dev/mesh=enabled")
            .arg(format!("-supported-features={}", FEATURES.join(",")))
            .args([
                "-organization=weft",
                "-project=weft",
                "-url=https://weft.dev",
                "-contact=https://weft.dev",
            ])
            .arg(format!("-version={}", env!("CARGO_PKG_VERSION")))
            .stdout(Stdio::piped());
        if let Some(test) = &self.test {
            suite.arg(format!("-run-test={test}"));
        }
        if let Some(report) = &self.report {
            // The suite runs in another folder.
            suite.arg(format!("-report-output={}", path::absolute(report)?.display()));
        }
        let mut child = suite
            .spawn()
            .with_context(|| format!("cannot start: {}", process::line(&suite)))?;
        let stdout = child.stdout.take().context("the standard output is a pipe")?;
        let mut results = Results::default();
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read what the suite says")?;
            writeln!(log, "{line}").with_context(|| format!("cannot write {}", path.display()))?;
            if let Some(test) = results.read(&line) {
                println!("  {test}");
            }
        }
        child.wait().context("cannot wait for the suite")?;
        Ok(results)
    }
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

/// What the suite asks for beyond the core: all that its tests of meshes name, the last five of which no profile counts.
const FEATURES: [&str; 14] = [
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteNamedRouteRule",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteParentRefPort",
    "HTTPRouteResponseHeaderModification",
];
