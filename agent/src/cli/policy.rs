//! `weft policy test`: what policies in a folder make of a connection, told without an agent.

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    output::{Format, Output},
    question::{Asked, DENIED, all_allowed, told},
};
use crate::{
    cluster::files::{self, meshes},
    model::{Unanswerable, explain},
};

/// Try policies before an agent reads them
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PolicyCommand {
    /// Say what the policies of a folder make of a connection, and why
    ///
    /// It decides by the code that the agent of the destination's node decides by. `weft debug policy test` asks a running
    /// agent.
    #[command(after_help = EXAMPLES)]
    Test {
        /// The folder of manifests
        #[arg(long, value_name = "DIR", env = "WEFT_MANIFESTS")]
        manifests: PathBuf,

        #[command(flatten)]
        asked: Asked,

        /// Print JSON
        #[arg(short, long)]
        json: bool,
    },
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error(transparent)]
    Manifests(#[from] files::Error),
    /// Nobody is meant.
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
    /// The answer cannot be printed.
    #[error("cannot print the answer")]
    Output(#[from] io::Error),
}

/// Answers; success where the connection is let in.
pub fn run(args: &PolicyArgs) -> Result<ExitCode, Error> {
    let PolicyCommand::Test { manifests, asked, json } = &args.command;
    let explained = explain(&meshes(manifests)?, &asked.clone().question())?;
    let format = if *json { Format::Json } else { Format::Table };
    Output::new(format, io::stdout()).done(&told(&explained), &explained)?;
    Ok(if all_allowed(&explained) {
        ExitCode::SUCCESS
    } else {
        DENIED.into()
    })
}

const EXAMPLES: &str = "\
Examples:
  weft policy test --manifests ./mesh --from shop/front-0 --to shop/cart --port 80
  weft policy test --manifests ./mesh --from 192.0.2.7 --to pod/shop/cart-0 --port 8080
  weft policy test --manifests ./mesh --from spiffe://cluster.local/ns/shop/sa/front --label app=front --to shop/cart --port 80

Exit codes: 0 allowed, 1 error, 2 wrong usage, 3 denied (by one of the pods, where several are meant).";

#[cfg(test)]
mod tests;
