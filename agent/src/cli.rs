//! The subcommands that a person types; each tells on standard output what it found.

pub mod check;
mod client;
pub mod crds;
pub mod debug;
mod output;
pub mod policy;
mod question;
pub mod status;
pub mod validate;

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime for a command that asks and ends.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
