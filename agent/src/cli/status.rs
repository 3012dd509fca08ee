//! `weft status`: the mesh of a cluster at a glance.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;

use super::output::{Format, Output, Row, or_dash};
use crate::{
    cluster::{
        api::{ApiServer, ApiServerError},
        survey::{NamespaceFact, NodeFact, PolicyFact, ReplicaFact, Survey},
    },
    config::PersonConfig,
};

/// Show the mesh of a cluster: nodes and agents, enrolled namespaces, the CA, the controller, policies
///
/// All of it is what the API server tells; no agent is talked to. `weft check` judges it.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Which cluster is meant.
    #[command(flatten)]
    pub cluster: PersonConfig,

    /// Print JSON
    #[arg(short, long)]
    pub json: bool,
}

/// Why nothing could be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster cannot be asked.
    #[error("cannot ask the cluster")]
    Cluster(#[from] ApiServerError),
    /// No runtime can be started.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    /// It cannot be printed.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

/// Shows it.
///
/// # Errors
///
/// When the API server cannot be asked, or nothing can be printed.
pub fn run(args: &StatusArgs) -> Result<ExitCode, Error> {
    let survey = super::runtime().map_err(Error::Runtime)?.block_on(async {
        let api = ApiServer::new(args.cluster.file().as_deref()).await?;
        Survey::take(&api, &args.cluster.system_namespace).await
    })?;
    if args.json {
        Output::new(Format::Json, io::stdout()).json(&survey)?;
    } else {
        print(&survey, &mut io::stdout().lock())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(survey: &Survey, mut out: &mut impl Write) -> io::Result<()> {
    Output::new(Format::Table, &mut out).rows(&survey.nodes)?;
    writeln!(out)?;
    Output::new(Format::Table, &mut out).rows(&survey.namespaces)?;
    writeln!(out)?;
    if !survey.policies.is_empty() {
        Output::new(Format::Table, &mut out).rows(&survey.policies)?;
        writeln!(out)?;
    }
    writeln!(out, "ca          {}", replicas(&survey.ca))?;
    writeln!(out, "controller  {}", replicas(&survey.controller))?;
    let lease = match &survey.lease {
        None => "nobody has ever led".to_owned(),
        Some(lease) if lease.holds() => format!("{} leads", lease.holder),
        Some(lease) => format!("nobody leads; {} did", lease.holder),
    };
    writeln!(out, "lease       {lease}")?;
    if !survey.unprotected.is_empty() {
        writeln!(
            out,
            "\n{} pods are not in the mesh; `weft check` names them",
            survey.unprotected.len()
        )?;
    }
    Ok(())
}

fn replicas(replicas: &[ReplicaFact]) -> String {
    let ready = replicas.iter().filter(|replica| replica.ready).count();
    format!("{ready} of {} ready", replicas.len())
}

impl Row for NodeFact {
    const COLUMNS: &'static [&'static str] = &["NODE", "AGENT", "READY", "VERSION", "ENROLLED PODS", "KERNEL"];

    fn cells(&self) -> Vec<String> {
        let agent = self.agent.as_ref();
        vec![
            self.name.clone(),
            or_dash(agent.map(|agent| &agent.pod)),
            if agent.is_some_and(|agent| agent.ready) {
                "yes"
            } else {
                "NO"
            }
            .to_owned(),
            or_dash(agent.map(|agent| &agent.version)),
            self.enrolled.to_string(),
            self.kernel.clone(),
        ]
    }
}

impl Row for NamespaceFact {
    const COLUMNS: &'static [&'static str] = &["NAMESPACE", "ENROLLED", "PODS", "IN THE MESH"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            if self.enrolled { "yes" } else { "single pods" }.to_owned(),
            self.pods.to_string(),
            self.protected.to_string(),
        ]
    }
}

impl Row for PolicyFact {
    const COLUMNS: &'static [&'static str] = &["POLICY", "NAME", "ACCEPTED", "MESSAGE"];

    fn cells(&self) -> Vec<String> {
        let accepted = match self.accepted {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        vec![
            self.kind.clone(),
            self.name.clone(),
            accepted.to_owned(),
            or_dash(self.message.as_deref()),
        ]
    }
}

const EXAMPLES: &str = "\
Examples:
  weft status
  kubectl weft status -j | jq '.nodes[] | select(.agent.ready | not)'";
