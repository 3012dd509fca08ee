//! `weft check`: is everything there that the mesh needs, and is it as it should be?
//!
//! A cluster is judged by what its API server tells, a node by what its kernel and its agent do.

mod cluster;
mod local;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use super::output::{Format, Output, Row};
use crate::{cluster::api::ApiServerError, config::PersonConfig};

/// Look for what the mesh lacks, in a cluster or on this node
///
/// Of a cluster it asks the API server alone: no agent is talked to, and whoever may read nodes, namespaces, pods, policies
/// and weft-system's ConfigMap and Lease may check it. With --local it looks at this machine, as root: its kernel, by
/// loading, and its agent.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Look only for what an installation needs
    #[arg(long)]
    pub pre: bool,

    /// Look at this machine, as a node, and at no cluster
    #[arg(long)]
    pub local: bool,

    /// Which cluster is meant.
    #[command(flatten)]
    pub cluster: PersonConfig,

    /// The folder of the container runtime's CNI configurations, with --local
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/etc/cni/net.d",
        env = "WEFT_CNI_CONF_DIR"
    )]
    pub cni_conf_dir: PathBuf,

    /// The BPF file system that holds the agent's pins, with --local
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf", env = "WEFT_BPFFS")]
    pub bpffs: PathBuf,

    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster cannot be asked.
    #[error("cannot ask the cluster")]
    Cluster(#[from] ApiServerError),
    /// No runtime can be started.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    /// What was found cannot be printed.
    #[error("cannot print what was found")]
    Print(#[source] io::Error),
}

/// One thing that was looked at. The names of its fields are a stable interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Checked {
    /// What was looked for.
    check: &'static str,
    /// At which object.
    about: String,
    /// What was found.
    outcome: Found,
    /// More about it.
    detail: String,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Not as it must be.
    Bad,
}

// === impl Checked ===

impl Checked {
    fn new(check: &'static str, about: impl Into<String>, outcome: Found, detail: impl Into<String>) -> Self {
        Self {
            check,
            about: about.into(),
            outcome,
            detail: detail.into(),
        }
    }

    /// Good or bad.
    fn must(check: &'static str, about: impl Into<String>, good: bool, detail: impl Into<String>) -> Self {
        Self::new(check, about, if good { Found::Good } else { Found::Bad }, detail)
    }
}

impl Row for Checked {
    const COLUMNS: &'static [&'static str] = &["FOUND", "CHECK", "ABOUT", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        let outcome = match self.outcome {
            Found::Good => "ok",
            Found::Warning => "warning",
            Found::Bad => "BAD",
        };
        vec![
            outcome.to_owned(),
            self.check.to_owned(),
            self.about.clone(),
            self.detail.clone(),
        ]
    }
}

/// Checks, prints, and gives the exit code: 0 good (with warnings too), 3 something is bad.
///
/// # Errors
///
/// When nothing could be checked, or printed.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Error> {
    let checked = if args.local {
        local::check(args)
    } else {
        super::runtime()
            .map_err(Error::Runtime)?
            .block_on(cluster::check(args))?
    };
    let format = if args.json { Format::Json } else { Format::Table };
    Output::new(format, io::stdout()).rows(&checked).map_err(Error::Print)?;
    if !args.json {
        let count = |outcome| checked.iter().filter(|row| row.outcome == outcome).count();
        let (bad, warnings) = (count(Found::Bad), count(Found::Warning));
        writeln!(io::stdout(), "{bad} bad, {warnings} warnings").map_err(Error::Print)?;
    }
    Ok(outcome(&checked))
}

fn outcome(checked: &[Checked]) -> ExitCode {
    if checked.iter().any(|row| row.outcome == Found::Bad) {
        ExitCode::from(BAD)
    } else {
        ExitCode::SUCCESS
    }
}

/// The exit code when something is bad, as for drift in `weft debug`.
const BAD: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  weft check --pre                      # may the mesh be installed in this cluster?
  weft check                            # is what is installed as it should be?
  kubectl weft check -j                 # the same, of a link to weft that is called kubectl-weft
  weft check --local --pre              # on a node, as root: can its kernel do it?
  kubectl exec -n weft-system ds/weft-agent -- /weft check --local

Exit codes: 0 good, 1 error, 2 wrong usage, 3 something is bad.";
