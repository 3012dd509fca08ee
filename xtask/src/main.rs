//! The commands of this repository: `cargo xtask COMMAND`, a file each.

mod bench;
mod build;
mod chart;
mod ci;
mod cluster;
mod crds;
mod demo;
mod fuzz;
mod image;
mod kernels;
mod process;
mod rooms;
mod setup;
mod test;
mod timing;
mod workspace;

use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::{Parser, Subcommand};

/// The commands of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Setup),
    Build(build::Build),
    Rooms(rooms::Rooms),
    Test(test::Test),
    Demo(demo::Demo),
    Bench(bench::Bench),
    Kernels(kernels::Kernels),
    Fuzz(fuzz::Fuzz),
    Crds(crds::Crds),
    Chart(chart::Chart),
    Image(image::Image),
    Cluster(cluster::Cluster),
    Ci(ci::Ci),
}

fn main() -> ExitCode {
    let Err(error) = Xtask::parse().command.run() else {
        return ExitCode::SUCCESS;
    };
    report(&error);
    ExitCode::FAILURE
}

// === impl Command ===

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Self::Setup(setup) => setup.run(),
            Self::Build(build) => build.run(),
            Self::Rooms(rooms) => rooms.run(),
            Self::Test(test) => test.run(),
            Self::Demo(demo) => demo.run(),
            Self::Bench(bench) => bench.run(),
            Self::Kernels(kernels) => kernels.run(),
            Self::Fuzz(fuzz) => fuzz.run(),
            Self::Crds(crds) => crds.run(),
            Self::Chart(chart) => chart.run(),
            Self::Image(image) => image.run(),
            Self::Cluster(cluster) => cluster.run(),
            Self::Ci(ci) => ci.run(),
        }
    }
}

/// Says what failed and why, without the backtrace that anyhow adds: a failed command explains itself.
#[expect(
    clippy::print_stderr,
    reason = "the one place where the program's own errors are told"
)]
fn report(error: &Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}
