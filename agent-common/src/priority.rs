//! What the kernel programs tell about a connection by its socket's priority, until the agent has read it.
//!
//! Not by the mark: a changed mark leads an established socket another way. The numbers mean nothing to queues: below
//! 0x1_0000 they name no class of a queueing discipline, and their low four bits are those of 0, which choose the band.

/// The peer's agent greeted with the id of this mesh.
pub const SPEAKS: u32 = 0x7750;

/// The SYN is lost: the connection was made of a SYN cookie, and the peer may have greeted.
pub const UNKNOWN: u32 = 0x7760;
