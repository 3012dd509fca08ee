//! The HTTP proxy: every request of a connection goes its own way.
//!
//! ```text
//! server ─▶ conversation: a client's connection
//!               │ each request
//!               ▼
//!           forward: check → identify → authorise → route → rule ─▶ ask: balance → leg → send ─▶ answer ─▶ report
//!                            └──────── way ────────┘     │          └──── find ───┘   retry
//!                                                        └▶ mirror: the same for a copy, of which nobody gets an answer
//! ```
//!
//! `server` and `leg` know how the versions of HTTP are framed; what lies between them sees requests in the form of
//! HTTP/1, and asks the conversation where the versions differ in more. All of it stays on the lane of the client's
//! connection.

mod answer;
mod ask;
mod body;
pub mod bytes;
mod check;
mod conversation;
mod discard;
mod exchange;
mod expect;
mod failure;
mod find;
mod forward;
mod forwarded;
mod frames;
mod heads;
mod hop;
mod leg;
mod legs;
mod limits;
mod mirror;
mod outlet;
mod pace;
mod pipe;
mod retry;
mod ruled;
mod server;
mod session;
mod tape;
mod tasks;
mod told;
mod upgrade;
mod way;
mod wire;

#[cfg(test)]
pub(super) use self::limits::MOST_STREAMS;
pub(super) use self::{
    legs::Legs,
    mirror::Mirrors,
    pace::Paces,
    server::{Client, RequestStream, serve_agent, serve_outbound, serve_plaintext, serve_stream},
};
