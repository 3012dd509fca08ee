//! `weft ca`: issues the certificates of pods to the agents of their nodes, and does nothing else.
//!
//! ```text
//! agent ──token──▶ Server ──ask──▶ admit (roster) ──▶ Authority ──▶ certificate, audit line
//!                     ▲
//!     weft ca token, rotate, deny, allow ──▶ Folder (state) ──followed──┘
//! ```
//!
//! Commands edit the state folder under its lock, whether or not a CA runs; a running one follows it, and pushes what has
//! changed to its agents.

mod admission;
mod admit;
mod announced;
mod attending;
mod audit;
mod book;
mod command;
mod desk;
mod error;
mod folder;
mod live;
mod replica;
mod reviews;
mod rotate;
#[cfg(test)]
mod sample;
mod secret;
mod server;
mod state;
mod told;
mod waits;

pub use announced::IssuerFiles;
pub use audit::Audit;

pub use command::{Shown, ShownToken, change_denials, force_rotation, make_token, rotate, show};
pub use error::CaServerError;
pub use replica::ReplicaSettings;
pub use server::{FolderSettings, Server, Settings};
pub use told::CaState;
