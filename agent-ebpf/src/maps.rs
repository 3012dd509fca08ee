//! Every map, and typed access to it. Names are those of `agent_common::names::map`.

use agent_common::{
    Address, Count, DropEvent, MeshId, NodeSettings, PodFlags, PodSettings, Sighting, Slot, SocketAddress, Tuple,
    time::{HEARTBEAT_LIMIT, TUPLE_LIFE, fresh},
};
use aya_ebpf::{
    Global,
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SockMap, lpm_trie::Key},
};

use crate::ctx::Lookup;

/// The record of 4-tuples that are known to the kernel.
pub(crate) struct Record(&'static LruHashMap<Tuple, Sighting>);

// === impl Record ===

impl Record {
    /// The agent's connections to applications.
    pub(crate) const LEGS: Self = Self(&LEGS);
    /// The kubelet's probes.
    pub(crate) const PROBES: Self = Self(&PROBES);

    /// Writes down that `tuple` connects now, from a namespace.
    #[inline(always)]
    pub(crate) fn insert(&self, tuple: &Tuple, cookie: u64) -> Result<(), i32> {
        self.0.insert(tuple, Sighting::new(time(), cookie), 0)
    }

    /// Whether `tuple` was written down a moment ago, from this namespace: whoever forges marks in another pod's
    /// namespace, or in its own, writes its own namespace's cookie.
    #[inline(always)]
    pub(crate) fn contains(&self, tuple: &Tuple, cookie: u64) -> bool {
        // SAFETY: the kernel gives a valid address or none; an entry that another CPU reuses meanwhile holds another
        // connection's time and namespace at worst, and an aligned u64 is never torn.
        let seen = unsafe { self.0.get(tuple) };
        seen.is_some_and(|seen| seen.cookie() == cookie && fresh(seen.time(), time(), TUPLE_LIFE))
    }

    /// As [`Self::contains`], and forgets `tuple`: whoever has it next is another connection.
    #[inline(always)]
    pub(crate) fn take(&self, tuple: &Tuple, cookie: u64) -> bool {
        let known = self.contains(tuple, cookie);
        // A tuple that is not there is what `known` says already.
        known && self.0.remove(tuple).is_ok()
    }
}

/// The time by CLOCK_MONOTONIC, in nanoseconds.
#[inline(always)]
pub(crate) fn time() -> u64 {
    // SAFETY: the helper takes nothing and reads a clock.
    unsafe { bpf_ktime_get_ns() }
}

/// Whether the agent said a moment ago that it lives.
#[inline(always)]
pub(crate) fn agent_lives() -> bool {
    HEARTBEAT
        .get(0)
        .is_some_and(|beat| fresh(*beat, time(), HEARTBEAT_LIMIT))
}

/// How the pod of a network namespace is enrolled, if it is.
#[inline(always)]
pub(crate) fn pod(cookie: u64) -> Option<PodFlags> {
    // SAFETY: the kernel gives a valid address or none; an aligned u32 is never torn.
    unsafe { PODS.get(cookie) }.copied()
}

/// Whether connections to this address are never captured.
#[inline(always)]
pub(crate) fn never_captured(address: Address) -> bool {
    NEVER.get(Key::new(128, address)).is_some()
}

/// Whether connections to this address and port are never captured.
#[inline(always)]
pub(crate) fn exempt(address: SocketAddress) -> bool {
    EXEMPT.get_ptr(address).is_some()
}

/// Whether this address is in the cluster, as far as UDP is concerned.
#[inline(always)]
pub(crate) fn inside(address: Address) -> bool {
    INSIDE.get(Key::new(128, address)).is_some()
}

/// The cookie of the namespace in which the kubelet runs.
#[inline(always)]
pub(crate) fn host_cookie() -> Option<u64> {
    NODE.get(0).map(NodeSettings::host_cookie)
}

/// The id of the mesh, once the agent knows it.
#[inline(always)]
pub(crate) fn mesh() -> Option<MeshId> {
    NODE.get(0).and_then(NodeSettings::mesh)
}

/// Whether load balancers of others change where sockets connect to.
#[inline(always)]
pub(crate) fn has_balancers() -> bool {
    NODE.get(0).is_some_and(NodeSettings::has_balancers)
}

/// Writes down where a socket connects to.
#[inline(always)]
pub(crate) fn want(socket: u64, destination: SocketAddress) -> Result<(), i32> {
    WANTED.insert(socket, destination, 0)
}

/// Where a socket connects to, if that was written down, and forgets it.
#[inline(always)]
pub(crate) fn wanted(socket: u64) -> Option<SocketAddress> {
    // SAFETY: the kernel gives a valid address or none; the entry is that of the socket in whose connect() this runs, and
    // one that another CPU reuses meanwhile holds another connection's destination at worst.
    let wanted = unsafe { WANTED.get(socket) }.copied()?;
    // What is gone already is what was to be.
    let _ = WANTED.remove(socket);
    Some(wanted)
}

/// Whether the kernel tells sockops programs in which namespace a socket is: else the verifier must not see them ask.
#[inline(always)]
pub(crate) fn tells_netns() -> bool {
    SOCKOPS_NETNS.load() != 0
}

/// Writes down in which namespace a socket is.
#[inline(always)]
pub(crate) fn own_socket(socket: u64, netns: u64) -> Result<(), i32> {
    OWNERS.insert(socket, netns, 0)
}

/// The cookie of the namespace in which a socket is, as it was written down.
#[inline(always)]
pub(crate) fn owner(socket: u64) -> Option<u64> {
    // SAFETY: the kernel gives a valid address or none; an aligned u64 is never torn, and cookies of sockets are never used
    // again: an entry that another CPU reuses meanwhile names another of the namespaces that the agent serves at worst.
    unsafe { OWNERS.get(socket) }.copied()
}

/// Whether the address is one of this pod's.
#[inline(always)]
pub(crate) fn own(address: &Address) -> bool {
    address.is_loopback() || OWN.get_ptr(address).is_some()
}

/// What the agent says about this pod.
#[inline(always)]
pub(crate) fn settings() -> PodSettings {
    // The element of an array always exists, which the verifier cannot know.
    SETTINGS.get(0).copied().unwrap_or_default()
}

/// Gives the connection to the socket in a slot; the error is the kernel's, -ENOENT when the slot is empty.
#[inline(always)]
pub(crate) fn assign(lookup: &Lookup<'_>, slot: Slot) -> Result<(), i32> {
    LISTENERS.redirect_sk_lookup(lookup.context(), slot.index(), 0)
}

/// Counts a reason.
#[inline(always)]
pub(crate) fn count(reason: Count) {
    let Some(counter) = COUNTERS.get_ptr_mut(reason.index()) else {
        return;
    };
    // SAFETY: the pointer is of this CPU's own slot, and programs of these types do not interrupt one another on a CPU
    // but for a softirq, which loses a count at worst.
    unsafe { *counter += 1 }
}

/// Counts a refusal and tells about it. Without a listener of the ring it fills up, which is no concern here.
#[inline(always)]
pub(crate) fn refuse(reason: Count, cookie: u64, tuple: Tuple) {
    count(reason);
    let _full = DROPS.output::<DropEvent>(DropEvent::new(time(), cookie, tuple, reason), 0);
}

#[map]
static HEARTBEAT: Array<u64> = Array::pinned(1, 0);
#[map]
static NODE: Array<NodeSettings> = Array::pinned(1, 0);
#[map]
static PODS: HashMap<u64, PodFlags> = HashMap::pinned(4096, 0);
#[map]
static NEVER: LpmTrie<Address, u8> = LpmTrie::pinned(64, NO_PREALLOC);
#[map]
static EXEMPT: HashMap<SocketAddress, u8> = HashMap::pinned(1024, NO_PREALLOC);
#[map]
static INSIDE: LpmTrie<Address, u8> = LpmTrie::pinned(65536, NO_PREALLOC);
#[map]
static WANTED: LruHashMap<u64, SocketAddress> = LruHashMap::pinned(1024, 0);
#[map]
static OWNERS: LruHashMap<u64, u64> = LruHashMap::pinned(4096, 0);
#[map]
static PROBES: LruHashMap<Tuple, Sighting> = LruHashMap::pinned(4096, 0);
#[map]
static LEGS: LruHashMap<Tuple, Sighting> = LruHashMap::pinned(65536, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::pinned(64, 0);
#[map]
static DROPS: RingBuf = RingBuf::pinned(1 << 16, 0);

// One of each for every pod: the agent says where they are pinned.
#[map]
static LISTENERS: SockMap = SockMap::with_max_entries(Slot::ALL.len() as u32, 0);
#[map]
static OWN: HashMap<Address, u8> = HashMap::with_max_entries(256, NO_PREALLOC);
#[map]
static SETTINGS: Array<PodSettings> = Array::with_max_entries(1, 0);

#[unsafe(no_mangle)]
static SOCKOPS_NETNS: Global<u8> = Global::new(1);

/// `BPF_F_NO_PREALLOC`: memory for what is in the map, not for what could be.
const NO_PREALLOC: u32 = 1;
