//! The HTTP proxy: every request of a connection goes its own way.
//!
//! ```text
//! server ─▶ conversation: a client's connection
//!               │ each request
//!               ▼
//!           forward: check → identify → authorise → route → rule → balance → leg → send → answer ─▶ report
//!                            └──────── way ────────┘          legs, those that wait
//! ```
//!
//! `server` and `leg` know the version of HTTP; what lies between them does not. All of it stays on the lane of the
//! client's connection.

mod answer;
mod body;
pub mod bytes;
mod check;
mod conversation;
mod exchange;
mod expect;
mod forward;
mod forwarded;
mod heads;
mod hop;
mod leg;
mod legs;
mod pace;
mod pipe;
mod ruled;
mod server;
mod told;
mod upgrade;
mod way;
mod wire;

pub(super) use self::{
    legs::Legs,
    pace::Paces,
    server::{Client, RequestStream, serve_agent, serve_outbound, serve_plaintext, serve_stream},
};
