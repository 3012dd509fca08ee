//! Names of programs, maps and pins.
//!
//! ```text
//! <bpffs>/weft/<node>/v2/maps/<map>               maps of the whole node
//!                        links/<program>          links of the whole node
//!                        pods/<uid>/maps/<map>    maps of one pod
//!                        pods/<uid>/links/<program>
//! ```
//!
//! bpffs refuses names with a dot (`bpf_lookup`, 6.18), so a node's name is written with [`DOT`] in its place.

/// The layout of the maps: part of every pin's path, so that pins of another layout are never opened.
pub const ABI: &str = "v2";

/// The folder of everything pinned, directly below the bpffs.
pub const ROOT: &str = "weft";

/// The folder of a node's or a pod's maps.
pub const MAPS: &str = "maps";

/// The folder of a node's or a pod's links.
pub const LINKS: &str = "links";

/// The folder of the pods' folders.
pub const PODS: &str = "pods";

/// What a link's pin is called until it is renamed over its predecessor.
pub const SUCCESSOR: &str = "_new";

/// What stands for a dot; no name of a Kubernetes object holds it.
pub const DOT: &str = "_";

/// Programs, by the name of their function.
pub mod program {
    /// Marks what pods connect to by IPv4, and refuses UDP out of the cluster; at the cgroup above all pods.
    pub const CONNECT4: &str = "connect4";
    /// The same for IPv6.
    pub const CONNECT6: &str = "connect6";
    /// Puts back where a pod connects to by IPv4, behind a load balancer of others; at the cgroup above all others.
    pub const KEEP4: &str = "keep4";
    /// The same for IPv6.
    pub const KEEP6: &str = "keep6";
    /// Writes down in whose namespace a socket connects by IPv4, before Linux 5.15; at the cgroup above the agent.
    pub const LEARN4: &str = "learn4";
    /// The same for IPv6.
    pub const LEARN6: &str = "learn6";
    /// Refuses what unconnected UDP sockets of pods send out of the cluster by IPv4; at the cgroup above all pods.
    pub const SENDMSG4: &str = "sendmsg4";
    /// The same for IPv6.
    pub const SENDMSG6: &str = "sendmsg6";
    /// Greets other agents and records the agent's connections to applications; at the cgroup above the agent.
    pub const OWN_SOCKETS: &str = "own_sockets";
    /// Records the kubelet's probes; at the kubelet's cgroup.
    pub const PROBES: &str = "probes";
    /// Gives connections to the agent's listeners; an instance for each pod's namespace.
    pub const LOOKUP: &str = "lookup";
}

/// Constants which the agent sets when it loads the programs, by the name of their static.
pub mod global {
    /// Whether the kernel tells sockops programs in which namespace a socket is (5.15): a `u8`, 0 or 1.
    pub const SOCKOPS_NETNS: &str = "SOCKOPS_NETNS";
}

/// Maps, by the name of their static.
pub mod map {
    /// When the agent last said that it lives: `[u64; 1]` of CLOCK_MONOTONIC in nanoseconds.
    pub const HEARTBEAT: &str = "HEARTBEAT";
    /// [`crate::NodeSettings`], one.
    pub const NODE: &str = "NODE";
    /// Network namespace cookie → [`crate::PodFlags`]; who is in it is enrolled.
    pub const PODS: &str = "PODS";
    /// Prefixes of [`crate::Address`] that are never captured.
    pub const NEVER: &str = "NEVER";
    /// [`crate::SocketAddress`]es that are never captured.
    pub const EXEMPT: &str = "EXEMPT";
    /// Prefixes of [`crate::Address`] to which UDP does not leave the cluster; empty while it may leave.
    pub const INSIDE: &str = "INSIDE";
    /// Socket cookie → the [`crate::SocketAddress`] to which it connects, until the load balancers of others have passed.
    pub const WANTED: &str = "WANTED";
    /// Socket cookie → network namespace cookie, of sockets that connect, before Linux 5.15.
    pub const OWNERS: &str = "OWNERS";
    /// [`crate::Tuple`] → [`crate::Sighting`], of the kubelet's probes.
    pub const PROBES: &str = "PROBES";
    /// [`crate::Tuple`] → [`crate::Sighting`], of the agent's connections to applications.
    pub const LEGS: &str = "LEGS";
    /// [`crate::Count`] → `u64` per CPU.
    pub const COUNTERS: &str = "COUNTERS";
    /// A ring of [`crate::DropEvent`]s.
    pub const DROPS: &str = "DROPS";
    /// A ring of log lines, written only where the agent asked for them.
    pub const LOGS: &str = "AYA_LOGS";
    /// [`crate::Slot`] → socket, of one pod.
    pub const LISTENERS: &str = "LISTENERS";
    /// The [`crate::Address`]es of one pod's namespace.
    pub const OWN: &str = "OWN";
    /// [`crate::PodSettings`] of one pod, one.
    pub const SETTINGS: &str = "SETTINGS";

    /// The maps that exist once for a node.
    pub const OF_NODE: [&str; 13] = [
        HEARTBEAT, NODE, PODS, NEVER, EXEMPT, INSIDE, WANTED, OWNERS, PROBES, LEGS, COUNTERS, DROPS, LOGS,
    ];
    /// The maps that exist for each pod.
    pub const OF_POD: [&str; 3] = [LISTENERS, OWN, SETTINGS];
}
