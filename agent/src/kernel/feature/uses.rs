//! The tables of what Weft uses of the kernel, and what for.

use aya::{maps::MapType, programs::ProgramType, sys::BpfHelper};

use super::Need;

/// Types of programs: type, its name, what for.
pub(super) const PROGRAMS: &[(ProgramType, &str, &str)] = &[
    (
        ProgramType::CgroupSockAddr,
        "cgroup_sock_addr",
        "capture of outgoing connections (connect4, connect6), denyUdpEgress (sendmsg4, sendmsg6)",
    ),
    (
        ProgramType::SkLookup,
        "sk_lookup",
        "giving captured connections to the agent's listeners",
    ),
    (
        ProgramType::SockOps,
        "sock_ops",
        "agents know each other; kubelet probes and the agent's own connections pass",
    ),
];

/// Helpers by the type of the program that calls them.
pub(super) const HELPERS: &[(ProgramType, BpfHelper, &str, &str, Need)] = &[
    (
        ProgramType::CgroupSockAddr,
        BpfHelper::BPF_FUNC_setsockopt,
        "cgroup_sock_addr: bpf_setsockopt",
        "SO_MARK from connect(): the capture itself",
        Need::Required,
    ),
    (
        ProgramType::CgroupSockAddr,
        BpfHelper::BPF_FUNC_getsockopt,
        "cgroup_sock_addr: bpf_getsockopt",
        "keeping the bits which the application put into its mark",
        Need::Optional,
    ),
    (
        ProgramType::CgroupSockAddr,
        BpfHelper::BPF_FUNC_get_netns_cookie,
        "cgroup_sock_addr: bpf_get_netns_cookie",
        "telling pods apart in connect()",
        Need::Required,
    ),
    (
        ProgramType::CgroupSockAddr,
        BpfHelper::BPF_FUNC_ktime_get_ns,
        "cgroup_sock_addr: bpf_ktime_get_ns",
        "failing open when the agent's heartbeat stops",
        Need::Required,
    ),
    (
        ProgramType::SockOps,
        BpfHelper::BPF_FUNC_get_netns_cookie,
        "sock_ops: bpf_get_netns_cookie",
        "telling the host's connections from the pods'; without it connect() writes down whose they are",
        Need::Optional,
    ),
    (
        ProgramType::SockOps,
        BpfHelper::BPF_FUNC_reserve_hdr_opt,
        "sock_ops: bpf_reserve_hdr_opt",
        "the TCP option by which agents know each other",
        Need::Required,
    ),
    (
        ProgramType::SockOps,
        BpfHelper::BPF_FUNC_store_hdr_opt,
        "sock_ops: bpf_store_hdr_opt",
        "the TCP option by which agents know each other",
        Need::Required,
    ),
    (
        ProgramType::SockOps,
        BpfHelper::BPF_FUNC_load_hdr_opt,
        "sock_ops: bpf_load_hdr_opt",
        "the TCP option by which agents know each other",
        Need::Required,
    ),
    (
        ProgramType::SockOps,
        BpfHelper::BPF_FUNC_setsockopt,
        "sock_ops: bpf_setsockopt",
        "telling the agent which peers are of the mesh",
        Need::Required,
    ),
    (
        ProgramType::SkLookup,
        BpfHelper::BPF_FUNC_sk_assign,
        "sk_lookup: bpf_sk_assign",
        "giving captured connections to the agent's listeners",
        Need::Required,
    ),
    (
        ProgramType::SkLookup,
        BpfHelper::BPF_FUNC_ringbuf_output,
        "sk_lookup: bpf_ringbuf_output",
        "weft debug trace drop",
        Need::Optional,
    ),
];

/// Types of maps.
pub(super) const MAPS: &[(MapType, &str, &str, Need)] = &[
    (
        MapType::Hash,
        "hash",
        "captured pods and the agent's own connections",
        Need::Required,
    ),
    (
        MapType::LruHash,
        "lru_hash",
        "4-tuples of connections that pass once",
        Need::Required,
    ),
    (MapType::Array, "array", "heartbeat and settings", Need::Required),
    (
        MapType::PerCpuArray,
        "percpu_array",
        "counters by reason",
        Need::Required,
    ),
    (
        MapType::SockMap,
        "sockmap",
        "the agent's listeners of each pod",
        Need::Required,
    ),
    (
        MapType::LpmTrie,
        "lpm_trie",
        "addresses that are never captured, and those inside the cluster",
        Need::Required,
    ),
    (MapType::RingBuf, "ringbuf", "weft debug trace drop", Need::Optional),
];

/// Capabilities by their bits, as in linux/capability.h.
pub(super) const CAPABILITIES: &[(u32, &str, &str)] = &[
    (
        12,
        "CAP_NET_ADMIN",
        "programs on cgroups and namespaces, marks, rules and routes",
    ),
    (13, "CAP_NET_RAW", "transparent sockets"),
    (19, "CAP_SYS_PTRACE", "finding pods' namespaces in /proc"),
    (
        21,
        "CAP_SYS_ADMIN",
        "entering pods' namespaces; loading programs before Linux 5.8",
    ),
    (38, "CAP_PERFMON", "loading programs that read kernel pointers"),
    (39, "CAP_BPF", "loading programs and reading their maps"),
];
