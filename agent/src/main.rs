//! The binary `weft`: parses the command line and runs what it names.

use std::process::ExitCode;

use agent::app::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    Cli::parse().run()
}
