//! The command line of Kubernetes, run on a cluster.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// `kubectl`, and whose it is.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

// === impl Kubectl ===

impl Kubectl {
    /// Uses a cluster by somebody's kubeconfig.
    pub fn new(program: PathBuf, kubeconfig: &Path) -> Self {
        Self {
            program,
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// The command, to be run in whatever way.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        command
    }

    /// What it prints; what it says to standard error is part of the failure.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "")
    }

    /// The same, with this as its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), said.trim_end());
        }
        String::from_utf8(output.stdout).context("kubectl prints no UTF-8")
    }

    /// Reads an object or a list of them.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let printed = self.run(&[&["get", "--output=json"], arguments].concat())?;
        serde_json::from_str(&printed).context("kubectl prints no JSON")
    }

    /// Applies objects, written as YAML or JSON.
    pub fn apply(&self, objects: &str) -> Result<()> {
        self.run_with(
            &["apply", "--server-side", "--force-conflicts", "--filename=-"],
            objects,
        )?;
        Ok(())
    }

    fn output(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut kubectl = self.command(arguments);
        kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = kubectl
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut stdin = child.stdin.take().context("the standard input is a pipe")?;
        // One that does not read has refused its arguments, and says so.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().context("cannot wait for kubectl")
    }
}
