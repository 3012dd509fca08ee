//! Bits of the socket mark and the numbers of Weft's rules and routes, all inside a pod's own network namespace.
//!
//! A packet's mark is scrubbed where it leaves a namespace (`skb_scrub_packet`), so the node's own users of marks never
//! meet these; what must be avoided is what else may run *inside* a pod: Istio (0x539, table 100), wg-quick (0xca6c as mark
//! and table), Tailscale (0x00ff_0000, table 52).

/// Set by the connect programs on a pod's socket, and by the agent on its legs to an application: the packet takes
/// the local route of [`TABLE`].
pub const CAPTURED: u32 = 0x1000_0000;

/// Set by the agent on each of its own sockets: never captured.
pub const OURS: u32 = 0x2000_0000;

/// Set by the agent beside [`OURS`] on connections to addresses inside the cluster: their SYN asks whether an agent answers.
pub const ASKS: u32 = 0x4000_0000;

/// The routing table which holds the local default route. "we" in ASCII, above the tables that people number by hand.
pub const TABLE: u32 = 0x7765;

/// The preference of the rule for [`CAPTURED`]; [`DNS_RULE_PREFERENCE`] follows it. Behind the `local` table (0), before
/// Tailscale's 5210-5270, wg-quick's and `main` (32766).
pub const RULE_PREFERENCE: u32 = 4100;

/// The preference of the rule for DNS.
pub const DNS_RULE_PREFERENCE: u32 = RULE_PREFERENCE + 1;
