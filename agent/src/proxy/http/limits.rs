//! What one connection of HTTP may hold. HTTP/2's library keeps to these by itself; what it bounds without being told is
//! said here too.
//!
//! - Rapid resets (CVE-2023-44487): [`MOST_RESETS`] of either kind, then the connection ends.
//! - CONTINUATION without end: no more frames than [`LONGEST_HEAD`] needs at the least frame size; the stream or the
//!   connection ends.
//! - SETTINGS and PING without end: each is acknowledged before the next one is read, so that who reads no answers is
//!   read no more.
//! - A dead peer: probes of TCP find it, as on every other connection.

/// How long a request's or a response's head may be, in bytes.
pub(super) const LONGEST_HEAD: u32 = 64 * 1024;
/// How many requests one connection of HTTP/2 carries at once: beyond what browsers and gRPC's libraries ask for, and
/// what bounds its memory.
pub(in crate::proxy) const MOST_STREAMS: u32 = 128;
/// How many bytes may come of a stream that nobody has read: as much as is read at once under bulk.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;
/// The same of a connection: never less than what all its streams may hold together, for one slow reader would stall all.
pub(super) const CONNECTION_WINDOW: u32 = MOST_STREAMS * STREAM_WINDOW;
/// How many bytes of a stream may wait to be sent; what was read for it waits where it came from.
pub(super) const SEND_BUFFER: usize = STREAM_WINDOW as usize;
/// How many streams a client may have reset that were not served yet, or have had reset for its own errors: as many as
/// it may open at once.
pub(super) const MOST_RESETS: usize = MOST_STREAMS as usize;
