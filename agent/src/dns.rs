//! Answers the pods' DNS questions about services, and passes all others on to whom they were meant for.
//!
//! ```text
//! datagram ──▶ Question ──▶ asked (which service?) ──▶ answer (from the mesh) ──▶ the resolver's name and address
//!                  └── of nobody in the mesh ──▶ forward, byte for byte ────────────┘
//! ```

mod answer;
mod asked;
mod forward;
mod question;
mod server;

pub use server::{DnsError, Door, serve};
