//! What is told about each connection: one [`Report`] at its end, from which log line and metrics both come.

mod denied;
mod report;

pub use denied::{Denied, Fault};
pub use report::{Direction, Peer, Report};
