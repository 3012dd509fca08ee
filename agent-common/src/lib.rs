//! What the kernel programs and the agent agree on: mark bits, routing numbers, map layouts, names, reasons.
//!
//! No logic lives here and nothing of the standard library: the kernel programs are built from it too. What lies in a map
//! is `#[repr(C)]` without padding, addresses and ports of packets in network order, all else in the machine's.
#![no_std]

pub mod mark;
pub mod names;
pub mod priority;
pub mod time;

mod address;
mod count;
mod drop;
mod hello;
mod layout;
mod settings;
mod sighting;
mod tuple;

pub use address::{Address, SocketAddress};
pub use count::Count;
pub use drop::DropEvent;
pub use hello::{Direction, Hello, MeshId};
pub use settings::{NodeSettings, PodFlags, PodSettings, Slot};
pub use sighting::Sighting;
pub use tuple::Tuple;
