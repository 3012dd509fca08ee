//! A Kubernetes API server as the source of the mesh: each kind is followed for itself, all of them make one world.
//!
//! ```text
//! list, watch ─▶ lines ─▶ entries ─▶ News ─▶ World ─▶ Objects ─▶ Update
//! (subject, follow, pace)  (decode)           (batches)          (node)
//! ```

mod answer;
mod broken;
mod entry;
mod follow;
mod lines;
mod node;
mod pace;
mod subject;
mod world;

pub use node::{Error, follow};
pub(crate) use pace::Pace;
pub(crate) use subject::Subject;
pub(crate) use world::World;

#[cfg(test)]
mod tests;
