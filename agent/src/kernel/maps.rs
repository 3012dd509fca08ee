//! The maps of the node and of a pod, typed.

use std::{collections::BTreeSet, net::IpAddr, os::fd::AsRawFd};

use agent_common::{
    Address, Count, MeshId, NodeSettings, PodFlags, PodSettings, Slot, SocketAddress,
    names::map::{COUNTERS, EXEMPT, INSIDE, LISTENERS, NEVER, NODE, OWN, PODS, SETTINGS},
};
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, SockMap, lpm_trie::Key};
use ipnet::IpNet;
use nix::errno::Errno;

use super::{
    KernelError,
    pins::{NodePins, Pins, PodPins},
};
use crate::net::Cookie;

/// The maps of the node that the agent writes.
pub(super) struct NodeMaps {
    settings: Array<MapData, NodeSettings>,
    pods: HashMap<MapData, u64, PodFlags>,
    exempt: HashMap<MapData, SocketAddress, u8>,
    inside: LpmTrie<MapData, Address, u8>,
}

/// The maps of one pod, open for a moment.
pub(super) struct PodMaps {
    settings: Array<MapData, PodSettings>,
    own: HashMap<MapData, Address, u8>,
    listeners: SockMap<MapData>,
}

/// What the kernel programs counted.
pub struct Counters(PerCpuArray<MapData, u64>);

// === impl NodeMaps ===

impl NodeMaps {
    /// Opens the maps where they are pinned, and writes what is fixed.
    pub(super) fn open(pins: &NodePins) -> Result<Self, KernelError> {
        let mut never: LpmTrie<_, Address, u8> = open(pins, NEVER)?;
        for prefix in NEVER_CAPTURED {
            let prefix: IpNet = prefix.parse().expect("the list below holds prefixes");
            never
                .insert(&key(prefix), PRESENT, 0)
                .map_err(KernelError::map(NEVER))?;
        }
        Ok(Self {
            settings: open(pins, NODE)?,
            pods: open(pins, PODS)?,
            exempt: open(pins, EXEMPT)?,
            inside: open(pins, INSIDE)?,
        })
    }

    pub(super) fn settings(&self) -> Result<NodeSettings, KernelError> {
        self.settings.get(&0, 0).map_err(KernelError::map(NODE))
    }

    pub(super) fn set_settings(&mut self, settings: NodeSettings) -> Result<(), KernelError> {
        self.settings.set(0, settings, 0).map_err(KernelError::map(NODE))
    }

    /// Sets the id of the mesh.
    pub(super) fn know_mesh(&mut self, id: MeshId) -> Result<(), KernelError> {
        let settings = self.settings()?;
        self.set_settings(settings.with_mesh(Some(id)))
    }

    /// Begins to mark what a namespace connects to, or changes what happens to it while the agent is away.
    pub(super) fn enrol(&mut self, netns: Cookie, flags: PodFlags) -> Result<(), KernelError> {
        self.pods.insert(netns.0, flags, 0).map_err(KernelError::map(PODS))
    }

    /// Ends it.
    pub(super) fn leave(&mut self, netns: Cookie) -> Result<(), KernelError> {
        absent(self.pods.remove(&netns.0)).map_err(KernelError::map(PODS))
    }

    /// The namespaces whose connections are marked.
    pub(super) fn enrolled(&self) -> Result<BTreeSet<Cookie>, KernelError> {
        let cookies = self
            .pods
            .keys()
            .map(|cookie| cookie.map(Cookie))
            .collect::<Result<_, _>>();
        cookies.map_err(KernelError::map(PODS))
    }

    pub(super) fn exempt(&self) -> Result<BTreeSet<SocketAddress>, KernelError> {
        self.exempt
            .keys()
            .collect::<Result<_, _>>()
            .map_err(KernelError::map(EXEMPT))
    }

    pub(super) fn add_exemption(&mut self, address: SocketAddress) -> Result<(), KernelError> {
        self.exempt
            .insert(address, PRESENT, 0)
            .map_err(KernelError::map(EXEMPT))
    }

    pub(super) fn remove_exemption(&mut self, address: SocketAddress) -> Result<(), KernelError> {
        absent(self.exempt.remove(&address)).map_err(KernelError::map(EXEMPT))
    }

    /// The prefixes to which UDP does not leave the cluster.
    pub(super) fn inside(&self) -> Result<BTreeSet<IpNet>, KernelError> {
        let prefixes = self.inside.keys().map(|key| key.map(prefix));
        prefixes.collect::<Result<_, _>>().map_err(KernelError::map(INSIDE))
    }

    pub(super) fn include(&mut self, prefix: IpNet) -> Result<(), KernelError> {
        self.inside
            .insert(&key(prefix), PRESENT, 0)
            .map_err(KernelError::map(INSIDE))
    }

    pub(super) fn exclude(&mut self, prefix: IpNet) -> Result<(), KernelError> {
        absent(self.inside.remove(&key(prefix))).map_err(KernelError::map(INSIDE))
    }
}

// === impl PodMaps ===

impl PodMaps {
    /// Opens them where they are pinned; none when the pod has no such pins.
    pub(super) fn open(pins: &PodPins) -> Result<Option<Self>, KernelError> {
        if [LISTENERS, OWN, SETTINGS].iter().any(|name| !pins.map(name).exists()) {
            return Ok(None);
        }
        Ok(Some(Self {
            settings: open(pins, SETTINGS)?,
            own: open(pins, OWN)?,
            listeners: open(pins, LISTENERS)?,
        }))
    }

    pub(super) fn settings(&self) -> Result<PodSettings, KernelError> {
        self.settings.get(&0, 0).map_err(KernelError::map(SETTINGS))
    }

    pub(super) fn set_settings(&mut self, settings: PodSettings) -> Result<(), KernelError> {
        self.settings.set(0, settings, 0).map_err(KernelError::map(SETTINGS))
    }

    /// Makes the set of own addresses be this one; what stays is not touched.
    pub(super) fn set_own(&mut self, addresses: &[IpAddr]) -> Result<(), KernelError> {
        let wanted: BTreeSet<Address> = addresses.iter().copied().map(Address::from).collect();
        let present = self
            .own
            .keys()
            .collect::<Result<BTreeSet<_>, _>>()
            .map_err(KernelError::map(OWN))?;
        wanted
            .difference(&present)
            .try_for_each(|address| self.own.insert(address, PRESENT, 0))
            .map_err(KernelError::map(OWN))?;
        present
            .difference(&wanted)
            .try_for_each(|address| absent(self.own.remove(address)))
            .map_err(KernelError::map(OWN))
    }

    /// Puts a socket into its slot in place of the one before, or empties the slot.
    pub(super) fn set_slot(&mut self, slot: Slot, socket: Option<&impl AsRawFd>) -> Result<(), KernelError> {
        match socket {
            Some(socket) => self.listeners.set(slot.index(), socket, 0),
            None => absent(self.listeners.clear_index(&slot.index())),
        }
        .map_err(KernelError::map(LISTENERS))
    }

    /// Empties these slots.
    pub(super) fn clear_slots(&mut self, slots: &[Slot]) -> Result<(), KernelError> {
        slots
            .iter()
            .try_for_each(|slot| absent(self.listeners.clear_index(&slot.index())))
            .map_err(KernelError::map(LISTENERS))
    }
}

// === impl Counters ===

impl Counters {
    pub(super) fn open(pins: &NodePins) -> Result<Self, KernelError> {
        open(pins, COUNTERS).map(Self)
    }

    /// The counts since the maps were made, over all processors.
    pub fn read(&self) -> Result<Vec<(Count, u64)>, KernelError> {
        Count::ALL
            .into_iter()
            .map(|count| {
                let values = self.0.get(&count.index(), 0).map_err(KernelError::map(COUNTERS))?;
                Ok((count, values.iter().sum()))
            })
            .collect()
    }
}

/// Opens a map where it is pinned.
pub(super) fn open<M>(pins: &impl Pins, name: &'static str) -> Result<M, KernelError>
where
    M: TryFrom<Map, Error = MapError>,
{
    MapData::from_pin(pins.map(name))
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .map_err(KernelError::map(name))
}

/// Makes success of the removal of what is not there.
fn absent(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if is_absent(&error.io_error) => Ok(()),
        other => other,
    }
}

/// A hash says ENOENT, a sockmap with an empty slot EINVAL (`__sock_map_delete`, 6.18).
fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOENT | Errno::EINVAL)
    )
}

fn key(prefix: IpNet) -> Key<Address> {
    let length = match prefix {
        IpNet::V4(prefix) => prefix.prefix_len() + Address::MAPPED_BITS,
        IpNet::V6(prefix) => prefix.prefix_len(),
    };
    Key::new(length.into(), prefix.network().into())
}

/// The reverse of [`key`].
fn prefix(key: Key<Address>) -> IpNet {
    let length = u8::try_from(key.prefix_len()).unwrap_or(u8::MAX);
    let ip = key.data().ip();
    let length = match ip {
        IpAddr::V4(_) => length.saturating_sub(Address::MAPPED_BITS),
        IpAddr::V6(_) => length,
    };
    IpNet::new(ip, length).unwrap_or_else(|_| ip.into())
}

/// What is never captured, wherever the mesh is: the kernel or the host answers, or nobody could.
///
/// The unspecified addresses connect to loopback (`ip_route_output_key_hash_rcu`, `tcp_v6_connect`, 6.18).
const NEVER_CAPTURED: [&str; 10] = [
    "0.0.0.0/32",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fd00:ec2::/32",
    "fe80::/10",
    "ff00::/8",
];

const PRESENT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_survive_the_way_into_a_map_and_back() {
        for text in ["10.244.0.0/16", "10.96.0.1/32", "0.0.0.0/0", "fd00:244::/64", "::/0"] {
            let given: IpNet = text.parse().unwrap();
            assert_eq!(prefix(key(given)), given);
        }
    }
}
