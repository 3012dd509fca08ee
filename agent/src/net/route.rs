//! Routes of a namespace: the one that delivers captured packets locally, and which device leads outside.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{DeviceIndex, Family, NetError, NetNs, netlink::Netlink, rule::unless};

/// `local default dev DEVICE [src SOURCE] table TABLE`: every destination is delivered in the namespace itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalDefault {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The device on which packets seem to arrive.
    pub device: DeviceIndex,
    /// The address that sockets without one of their own get. IPv4 needs it, else that would be the destination; IPv6
    /// does without, and refuses one whose duplicate address detection has not ended.
    pub source: Option<IpAddr>,
    /// The table which holds the route.
    pub table: u32,
}

// === impl LocalDefault ===

impl LocalDefault {
    /// Lists a namespace's routes of this form in a table.
    pub fn list(netns: &NetNs, family: Family, table: u32) -> Result<Vec<Self>, NetError> {
        Ok(routes(netns, family)?
            .iter()
            .filter(|route| route.header.kind == RouteType::Local && is_default(route) && table_of(route) == table)
            .filter_map(|route| {
                Some(Self {
                    family,
                    device: device_of(route)?,
                    source: source_of(route),
                    table,
                })
            })
            .collect())
    }

    /// Adds the route, or makes the table's local default route be this one.
    pub fn add(&self, netns: &NetNs) -> Result<(), NetError> {
        Netlink::open(netns, NETLINK_ROUTE)?
            .change(
                RouteNetlinkMessage::NewRoute(self.message()),
                NLM_F_CREATE | NLM_F_REPLACE,
            )
            .map_err(NetError::call("add route"))
    }

    /// Deletes the route, unless it is gone.
    pub fn delete(&self, netns: &NetNs) -> Result<(), NetError> {
        Netlink::open(netns, NETLINK_ROUTE)?
            .change(RouteNetlinkMessage::DelRoute(self.message()), 0)
            .or_else(unless(&[libc::ESRCH, libc::ENOENT, libc::ENODEV]))
            .map_err(NetError::call("delete route"))
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = self.family.into();
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Local;
        message.header.scope = match self.family {
            Family::V4 => RouteScope::Host,
            Family::V6 => RouteScope::Universe,
        };
        message.attributes = vec![RouteAttribute::Oif(self.device.0), RouteAttribute::Table(self.table)];
        message
            .attributes
            .extend(self.source.map(|source| RouteAttribute::PrefSource(source.into())));
        message
    }
}

/// The device of the default route which the main table prefers.
pub fn default_device(netns: &NetNs, family: Family) -> Result<Option<DeviceIndex>, NetError> {
    Ok(routes(netns, family)?
        .iter()
        .filter(|route| {
            route.header.kind == RouteType::Unicast
                && is_default(route)
                && table_of(route) == u32::from(RouteHeader::RT_TABLE_MAIN)
        })
        .filter_map(|route| Some((metric_of(route), device_of(route)?)))
        .min()
        .map(|(_, device)| device))
}

fn routes(netns: &NetNs, family: Family) -> Result<Vec<RouteMessage>, NetError> {
    let mut request = RouteMessage::default();
    request.header.address_family = family.into();
    let messages = Netlink::open(netns, NETLINK_ROUTE)?
        .dump(RouteNetlinkMessage::GetRoute(request))
        .map_err(NetError::call("list routes"))?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        })
        .collect())
}

fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0
}

fn table_of(route: &RouteMessage) -> u32 {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        })
        .unwrap_or(route.header.table.into())
}

fn metric_of(route: &RouteMessage) -> u32 {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        })
        .unwrap_or(0)
}

fn device_of(route: &RouteMessage) -> Option<DeviceIndex> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(DeviceIndex(*index)),
        RouteAttribute::MultiPath(hops) => hops.first().map(|hop| DeviceIndex(hop.interface_index)),
        _ => None,
    })
}

fn source_of(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(RouteAddress::Inet(ip)) => Some((*ip).into()),
        RouteAttribute::PrefSource(RouteAddress::Inet6(ip)) => Some((*ip).into()),
        _ => None,
    })
}
