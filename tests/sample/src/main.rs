//! A small application: what runs in the pods of tests and of the example shop. One static binary needs no shell.

mod call;
mod client;
mod grpc;
mod http;
mod me;
mod serve;
mod streams;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// A small application for tests on Kubernetes.
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Sample {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Call(call::Call),
    Probe(call::Probe),
    /// Do nothing until SIGTERM
    Pause,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Sample::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command.run())
}

// === impl Command ===

impl Command {
    async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Call(call) => call.run().await,
            Self::Probe(probe) => probe.run().await,
            Self::Pause => {
                stopped().await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Waits for SIGTERM or SIGINT, which the first process of a container gets only if it listens for them.
async fn stopped() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
