//! One run of the suite: how it is called, and its output, which goes into a file.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{self, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use cluster::{Cluster, Module, Program, Programs};

use super::Results;
use crate::{process, workspace};

/// What is run of it.
#[derive(Debug)]
pub(super) struct Suite {
    /// Only this test.
    pub(super) test: Option<String>,
    /// Where it writes its report.
    pub(super) report: Option<PathBuf>,
    pub(super) patience: Patience,
}

/// How long an answer may be another than the expected one, and how often in a row it must be that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// As the suite has it: 30 s, and three times.
    Own,
    /// For a cluster that has nothing to get ready, where chance must not be taken for a route.
    None,
}

// === impl Suite ===

impl Suite {
    pub(super) fn run(&self, cluster: &Cluster) -> Result<Results> {
        let path = workspace::target().join("conformance.log");
        let mut log = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        println!("its output: {}", path.display());
        let mut suite = self.command(cluster)?;
        let mut child = suite
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start: {}", process::line(&suite)))?;
        let stdout = child.stdout.take().context("the standard output is a pipe")?;
        let mut results = Results::of(self.test.as_deref());
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

    fn command(&self, cluster: &Cluster) -> Result<Command> {
        let programs = Programs::cached()?;
        let mut suite = Command::new(programs.path(Program::Conformance)?);
        suite
            .current_dir(programs.folder(Module::Conformance)?)
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(["-test.v", "-test.run=^TestConformance$", "-test.timeout=1h"])
            .arg("-conformance-profiles=MESH-HTTP,MESH-GRPC")
            .arg("-namespace-labels=weft.dev/mesh=enabled")
            .arg(format!("-supported-features={}", FEATURES.join(",")))
            .args(["-organization=weft", "-project=weft"])
            .arg(format!("-url={}", told(env!("CARGO_PKG_REPOSITORY"))))
            .arg(format!("-contact={}", told(env!("CARGO_PKG_AUTHORS"))))
            .arg(format!("-version={}", env!("CARGO_PKG_VERSION")));
        if let Some(test) = &self.test {
            suite.arg(format!("-run-test={test}"));
        }
        if let Some(report) = &self.report {
            // The suite runs in another folder.
            suite.arg(format!("-report-output={}", path::absolute(report)?.display()));
        }
        match self.patience {
            Patience::Own => {}
            Patience::None => {
                suite.arg(format!("-timeout-config-overrides={IMPATIENT}"));
            }
        }
        Ok(suite)
    }
}

/// What Cargo.toml says, if it does: the suite takes no empty word.
fn told(word: &'static str) -> &'static str {
    if word.is_empty() { "unpublished" } else { word }
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

/// Of two backends, kube-proxy chooses the expected one fifteen times in a row in one of 32,768 tries; a second passes after each
/// that fails.
const IMPATIENT: &str = "MaxTimeToConsistency:10;RequiredConsecutiveSuccesses:15";
