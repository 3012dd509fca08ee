//! The subcommands that a person types; each tells on standard output what it found.

mod client;
pub mod crds;
pub mod debug;
mod output;
pub mod policy;
mod question;
pub mod validate;
