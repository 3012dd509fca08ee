//! Composition: each subcommand, and the agent wired together from its rooms. Nothing imports this room.

mod agent;
mod answers;
mod ca;
mod capture;
mod certificates;
mod cni;
mod controller;
mod doors;
mod drops;
mod events;
mod keep;
mod log;
mod memory;
mod metrics;
mod settings;
mod signals;
mod source;

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    cli::{
        check::{self, CheckArgs},
        crds::{self, CrdsArgs},
        debug::{self, DebugArgs},
        policy::{self, PolicyArgs},
        status::{self, StatusArgs},
        validate::{self, ValidateArgs},
    },
    config::{AgentConfig, CaConfig, CniArgs, ControllerConfig},
};

/// Weft, a service mesh without sidecars: one agent per node.
#[derive(Debug, Parser)]
#[command(name = "weft", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agent(Box<AgentConfig>),
    Ca(Box<CaConfig>),
    Controller(Box<ControllerConfig>),
    Validate(ValidateArgs),
    Crds(CrdsArgs),
    Check(CheckArgs),
    Status(StatusArgs),
    Policy(PolicyArgs),
    Debug(DebugArgs),
    Cni(CniArgs),
}

// === impl Cli ===

impl Cli {
    /// Reads the command line of this process, and ends it where that is wrong or asks for help.
    ///
    /// Called `kubectl-weft` it is a plug-in of kubectl, which runs it as `kubectl weft`: its help then says so.
    pub fn read() -> Self {
        let called = env::args_os().next().map(PathBuf::from);
        let plugin = called.is_some_and(|path| path.file_name().is_some_and(|name| name == PLUGIN));
        let command = Self::command();
        let command = if plugin {
            command.bin_name("kubectl weft")
        } else {
            command
        };
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Runs the subcommand to its end.
    pub fn run(self) -> ExitCode {
        let ended = match self.command {
            Command::Agent(config) => agent::run(&config).map(|()| ExitCode::SUCCESS),
            Command::Ca(config) => ca::run(&config).map(|()| ExitCode::SUCCESS),
            Command::Controller(config) => controller::run(&config).map(|()| ExitCode::SUCCESS),
            Command::Validate(args) => validate::run(&args).map_err(anyhow::Error::from),
            Command::Check(args) => check::run(&args).map_err(anyhow::Error::from),
            Command::Status(args) => status::run(&args).map_err(anyhow::Error::from),
            Command::Crds(args) => crds::run(&args)
                .map(|()| ExitCode::SUCCESS)
                .map_err(anyhow::Error::from),
            Command::Policy(args) => policy::run(&args).map_err(anyhow::Error::from),
            Command::Debug(args) => Ok(debug::run(args)),
            Command::Cni(args) => cni::run(&args),
        };
        ended.unwrap_or_else(|error| {
            // Standard error being closed leaves nobody to tell.
            let _ = writeln!(io::stderr(), "weft: {error:#}");
            ExitCode::FAILURE
        })
    }
}

/// By which name kubectl finds it on the PATH.
const PLUGIN: &str = "kubectl-weft";

const EXAMPLES: &str = "\
Examples:
  weft validate ./mesh
  weft policy test --manifests ./mesh --from shop/front-0 --to shop/cart --port 80
  weft agent --manifests ./mesh --node node-1
  weft agent --kubeconfig ~/.kube/config --node node-1
  weft ca --manifests ./mesh --state ./ca
  weft ca --kubernetes
  weft controller
  weft debug conn show
  weft check; weft status

As a plug-in: ln -s $(command -v weft) /usr/local/bin/kubectl-weft, then kubectl weft status.";
