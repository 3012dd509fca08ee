//! What the benchmark measures by: the floor proxy, the HTTP server, and the loads that wrk does not make.
//!
//! Apart from xtask so that it is built with optimisations in seconds, and alike in all three: one thread, edge-triggered
//! epoll, no more system calls than the work needs.

mod origin;
mod proxy;
mod slab;
mod syscalls;

pub use origin::Origin;
pub use proxy::Proxy;
pub use syscalls::Syscalls;
