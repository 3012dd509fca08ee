//! What stands in a pod's namespace beside sockets and program: sysctls, routes, rules; policies are made in `silence`.
//!
//! [`drift`] and [`remove`] work with no agent running.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use agent_common::{
    PodFlags,
    mark::{CAPTURED, DNS_RULE_PREFERENCE, OURS, RULE_PREFERENCE, TABLE},
};

use super::{Dns, silence};
use crate::net::{
    DeviceIndex, Family, LocalDefault, NetError, NetNs, OwnAddress, Packets, Rule, SendPolicy, Sysctl, default_device,
    own_addresses,
};

/// The sysctls, routes and rules by which a pod's own packets come back to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routing {
    sysctls: Vec<(Sysctl, String)>,
    routes: Vec<LocalDefault>,
    rules: Vec<Rule>,
}

/// Something in a pod's namespace that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// A sysctl has another value.
    Sysctl {
        /// Its name below /proc/sys.
        name: String,
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A route is not there.
    MissingRoute(LocalDefault),
    /// A route is there that should not be, in the table which is ours.
    ForeignRoute(LocalDefault),
    /// A rule is not there.
    MissingRule(Rule),
    /// A rule is there that should not be, and leads to the table which is ours.
    ForeignRule(Rule),
    /// A policy which keeps the kernel from refusing for the agent is not there.
    MissingPolicy(SendPolicy),
    /// Such a policy is there that should not be.
    ForeignPolicy(SendPolicy),
}

// === impl Routing ===

impl Routing {
    /// What should be in a namespace that has these addresses, of which the pod's sockets should prefer some.
    pub(super) fn of(
        netns: &NetNs,
        addresses: &[OwnAddress],
        preferred: &[IpAddr],
        dns: Dns,
    ) -> Result<Self, NetError> {
        let routes = FAMILIES
            .into_iter()
            .map(|family| Ok(route(family, default_device(netns, family)?, addresses, preferred)))
            .collect::<Result<Vec<_>, NetError>>()?;
        Ok(Self::with_routes(routes.into_iter().flatten().collect(), dns))
    }

    /// What is in a namespace.
    pub(super) fn read(netns: &NetNs) -> Result<Self, NetError> {
        let mut found = Self::default();
        for family in FAMILIES {
            found.routes.extend(LocalDefault::list(netns, family, TABLE)?);
            found.rules.extend(
                Rule::list(netns, family)?
                    .into_iter()
                    .filter(|rule| rule.table == TABLE),
            );
            for (sysctl, _) in sysctls(family) {
                let value = sysctl.read(netns)?;
                found.sysctls.push((sysctl, value));
            }
        }
        Ok(found)
    }

    /// Makes the namespace be so. What is so already stays untouched.
    pub(super) fn apply(&self, netns: &NetNs) -> Result<(), NetError> {
        for (sysctl, value) in &self.sysctls {
            if sysctl.read(netns)? != *value {
                sysctl.write(netns, value)?;
            }
        }
        // Routes before rules: a rule that leads to an empty table captures nothing.
        self.routes.iter().try_for_each(|route| route.add(netns))?;
        self.lead(netns)
    }

    /// Adds the rules, where the rest stands.
    pub(super) fn lead(&self, netns: &NetNs) -> Result<(), NetError> {
        self.rules.iter().try_for_each(|rule| rule.add(netns))
    }

    /// Removes the rules for DNS, whether this holds them or an agent before this one added them: queries go where the
    /// pod sends them.
    pub(super) fn remove_dns(&self, netns: &NetNs) -> Result<(), NetError> {
        self.routes
            .iter()
            .flat_map(|route| rules(route.family, Dns::Captured))
            .filter(|rule| rule.preference == DNS_RULE_PREFERENCE)
            .try_for_each(|rule| rule.delete(netns))
    }

    /// The same without the rules for DNS.
    pub(super) fn without_dns(&self) -> Self {
        Self::with_routes(self.routes.clone(), Dns::Untouched)
    }

    /// Devices that have addresses and are not the route's: what the pod sends there by a device's name is not captured.
    pub(super) fn uncaptured_devices(&self, addresses: &[OwnAddress]) -> Arc<[String]> {
        let names: BTreeSet<&String> = addresses
            .iter()
            .filter(|address| is_global(address.ip) && self.routes.iter().all(|route| route.device != address.device))
            .map(|address| &address.device_name)
            .collect();
        names.into_iter().cloned().collect()
    }

    /// Tells where what is there differs from what should be.
    fn drift(&self, actual: &Self) -> Vec<Drift> {
        let sysctls = self.sysctls.iter().filter_map(|(sysctl, expected)| {
            let (_, value) = actual.sysctls.iter().find(|(other, _)| other == sysctl)?;
            (value != expected).then(|| Drift::Sysctl {
                name: sysctl.0.clone(),
                expected: expected.clone(),
                actual: value.clone(),
            })
        });
        sysctls
            .chain(missing(&self.routes, &actual.routes).map(Drift::MissingRoute))
            .chain(missing(&actual.routes, &self.routes).map(Drift::ForeignRoute))
            .chain(missing(&self.rules, &actual.rules).map(Drift::MissingRule))
            .chain(missing(&actual.rules, &self.rules).map(Drift::ForeignRule))
            .collect()
    }

    /// The rest follows from the routes: a family without an address needs nothing.
    fn with_routes(routes: Vec<LocalDefault>, dns: Dns) -> Self {
        let families = || routes.iter().map(|route| route.family);
        Self {
            sysctls: families().flat_map(sysctls).collect(),
            rules: families().flat_map(|family| rules(family, dns)).collect(),
            routes,
        }
    }
}

/// Compares what is in the namespace of a pod captured so with what should be there.
pub fn drift(netns: &NetNs, dns: Dns, flags: PodFlags) -> Result<Vec<Drift>, NetError> {
    let actual = Routing::read(netns)?;
    // Which of its addresses the pod should prefer only the mesh knows: any that is its own will do.
    let preferred: Vec<IpAddr> = actual.routes.iter().filter_map(|route| route.source).collect();
    let addresses = own_addresses(netns)?;
    let expected = Routing::of(netns, &addresses, &preferred, dns)?;
    let own: Vec<IpAddr> = addresses.iter().map(|address| address.ip).collect();
    let mut drift = expected.drift(&actual);
    drift.extend(silence::drift(netns, &own, flags)?);
    Ok(drift)
}

/// Removes all rules, routes and policies of ours, whoever put them there; the sysctls matter to nobody without them.
pub fn remove(netns: &NetNs) -> Result<(), NetError> {
    silence::remove(netns)?;
    let found = Routing::read(netns)?;
    found.rules.iter().try_for_each(|rule| rule.delete(netns))?;
    found.routes.iter().try_for_each(|route| route.delete(netns))
}

/// The route of a family, if the namespace has an address to be reached at.
///
/// Its device is that of the default route, not lo, or sockets bound to a device slip past. Of IPv4 it needs a source,
/// else sockets without an address of their own would get the destination's.
fn route(
    family: Family,
    default_device: Option<DeviceIndex>,
    addresses: &[OwnAddress],
    preferred: &[IpAddr],
) -> Option<LocalDefault> {
    let usable = || {
        addresses
            .iter()
            .filter(|address| of_family(family, address.ip) && is_global(address.ip))
    };
    let address = usable()
        .find(|address| preferred.contains(&address.ip))
        .or_else(|| usable().find(|address| Some(address.device) == default_device))
        .or_else(|| usable().next())?;
    Some(LocalDefault {
        family,
        device: default_device.unwrap_or(address.device),
        source: match family {
            Family::V4 => Some(address.ip),
            Family::V6 => None,
        },
        table: TABLE,
    })
}

fn rules(family: Family, dns: Dns) -> impl Iterator<Item = Rule> {
    let captured = Rule {
        family,
        preference: RULE_PREFERENCE,
        mask: CAPTURED,
        mark: CAPTURED,
        packets: Packets::All,
        table: TABLE,
    };
    // "Not ours" as mark 0 under the mask: `not fwmark` would invert the whole rule and cut the pod off.
    let queries = Rule {
        preference: DNS_RULE_PREFERENCE,
        mask: OURS,
        mark: 0,
        packets: Packets::UdpTo(DNS_PORT),
        ..captured
    };
    let queries = match dns {
        Dns::Captured => Some(queries),
        Dns::Untouched => None,
    };
    [captured].into_iter().chain(queries)
}

/// Sockets that the pod accepts, and resets that it sends, carry the mark of what they answer: answers come back locally.
fn sysctls(family: Family) -> Vec<(Sysctl, String)> {
    let names: &[&str] = match family {
        Family::V4 => &["net/ipv4/tcp_fwmark_accept", "net/ipv4/fwmark_reflect"],
        Family::V6 => &["net/ipv4/tcp_fwmark_accept", "net/ipv6/fwmark_reflect"],
    };
    names.iter().map(|name| (Sysctl::new(*name), "1".to_owned())).collect()
}

fn missing<'a, T: Clone + PartialEq>(from: &'a [T], other: &'a [T]) -> impl Iterator<Item = T> + 'a {
    from.iter().filter(|item| !other.contains(item)).cloned()
}

fn of_family(family: Family, ip: IpAddr) -> bool {
    match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    }
}

fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests;
