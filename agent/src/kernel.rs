//! The kernel made to be as the mesh says: programs, maps, pins, and what stands in the pods' namespaces.
//!
//! ```text
//! Mesh ──desired──▶ Plan ◀──current── pins, captured pods
//!                    │
//!                  apply ──Change──▶ proxy
//! ```
//!
//! The only room with aya. One task is the only writer of all of it.

mod change;
mod config;
pub mod feature;
mod hold;
pub mod inspect;

pub use change::{Captured, Change, Departure, Listeners, PerFamily};
pub use config::{Config, Dns, ProgramLog};
pub use hold::Hold;
