//! A namespace's own addresses, and when they change.

use std::{collections::BTreeMap, io, net::IpAddr, time::Duration};

use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkMessage},
};
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use tokio::time::sleep;

use super::{Family, NetError, NetNs, default_device, netlink::Netlink};

/// The index by which the kernel names a network device within its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(pub u32);

/// An address of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnAddress {
    /// The address.
    pub ip: IpAddr,
    /// The device that has it.
    pub device: DeviceIndex,
    /// That device's name.
    pub device_name: String,
}

/// Follows the addresses of a namespace, and which devices its default routes lead to.
pub struct AddressWatch {
    netns: NetNs,
    events: TokioSocket,
    state: State,
}

#[derive(PartialEq, Eq)]
struct State {
    addresses: Vec<OwnAddress>,
    default_devices: [Option<DeviceIndex>; 2],
}

// === impl AddressWatch ===

impl AddressWatch {
    /// Begins to follow; needs a tokio runtime.
    pub fn open(netns: &NetNs) -> Result<Self, NetError> {
        let mut events = netns
            .run(|| TokioSocket::new(NETLINK_ROUTE))?
            .map_err(NetError::call("netlink socket"))?;
        events
            .socket_mut()
            .bind(&SocketAddr::new(0, GROUPS))
            .map_err(NetError::call("netlink bind"))?;
        // Listed after the watch began, so that no change falls between.
        Ok(Self {
            events,
            state: State::read(netns)?,
            netns: netns.clone(),
        })
    }

    /// The addresses as they were last read, sorted.
    pub fn addresses(&self) -> &[OwnAddress] {
        &self.state.addresses
    }

    /// Waits until the addresses, the devices which have them or the default routes' devices are others than before. May
    /// be cancelled.
    pub async fn changed(&mut self) -> Result<&[OwnAddress], NetError> {
        loop {
            self.drain().await.map_err(NetError::call("netlink watch"))?;
            let state = State::read(&self.netns)?;
            if state != self.state {
                self.state = state;
                return Ok(&self.state.addresses);
            }
            // Whoever changes things back and forth all the time does not keep the agent busy.
            sleep(REST).await;
        }
    }

    /// Waits for news and forgets them: the list is read anew anyway, so it does not matter that some are lost.
    async fn drain(&self) -> io::Result<()> {
        let mut scratch = Vec::with_capacity(SCRATCH);
        let mut received = self.events.recv(&mut scratch).await;
        loop {
            match received {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            scratch.clear();
            received = self.events.socket_ref().recv(&mut scratch, 0).map(drop);
        }
    }
}

// === impl State ===

impl State {
    fn read(netns: &NetNs) -> Result<Self, NetError> {
        Ok(Self {
            addresses: own_addresses(netns)?,
            default_devices: [default_device(netns, Family::V4)?, default_device(netns, Family::V6)?],
        })
    }
}

/// Lists the addresses of a namespace, loopback's among them, sorted.
pub fn own_addresses(netns: &NetNs) -> Result<Vec<OwnAddress>, NetError> {
    let netlink = Netlink::open(netns, NETLINK_ROUTE)?;
    let names: BTreeMap<u32, String> = netlink
        .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
        .map_err(NetError::call("list links"))?
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some((link.header.index, name_of(link)?)),
            _ => None,
        })
        .collect();
    let mut addresses: Vec<OwnAddress> = netlink
        .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
        .map_err(NetError::call("list addresses"))?
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(address) => Some(OwnAddress {
                ip: ip_of(&address)?,
                device: DeviceIndex(address.header.index),
                device_name: names.get(&address.header.index).cloned().unwrap_or_default(),
            }),
            _ => None,
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// The address itself: `Address` is the peer's where the link is point-to-point, and `Local` is then told as well.
fn ip_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

fn name_of(link: LinkMessage) -> Option<String> {
    link.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })
}

/// What is told about: links, addresses and routes of both families.
const GROUPS: u32 = (libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE) as u32;

/// The least time between two readings that found nothing new.
const REST: Duration = Duration::from_millis(20);

/// News are not read, so their ends may be cut off.
const SCRATCH: usize = 512;
