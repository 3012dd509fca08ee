//! Where a captured pod differs from what its capture should be: in its pins and in its network namespace.

use std::{collections::BTreeSet, net::IpAddr};

use agent_common::{PodFlags, mark::OURS};
use serde::{Deserialize, Serialize};

use super::{Life, Namespaces, PinnedPod};
use crate::{
    kernel::{Dns, Drift, drift},
    net::{
        Family, ListedSocket, Listing, LocalDefault, Mark, NetError, NetNs, Packets, Rule, SendPolicy, SendVerdict,
        own_addresses,
    },
};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// What should be; none where something is too much.
    pub expected: Option<String>,
    /// What is; none where something is missing.
    pub actual: Option<String>,
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Whether the pod is captured at all.
    Capture,
    /// The pod's network namespace.
    Namespace,
    /// The link of its kernel program.
    Link,
    /// Its cookie in the map of enrolled pods.
    Enrolment,
    /// The addresses that its kernel program takes for its own.
    Addresses,
    /// A sysctl of its namespace.
    Sysctl,
    /// A route of its namespace.
    Route,
    /// A rule of its namespace.
    Rule,
    /// A policy (xfrm) of its namespace.
    Policy,
    /// The agent's listeners in its namespace.
    Listener,
}

// === impl Finding ===

impl Finding {
    /// Something that should be and is not, or is otherwise.
    pub fn new(kind: FindingKind, expected: Option<String>, actual: Option<String>) -> Self {
        Self { kind, expected, actual }
    }

    fn missing(kind: FindingKind, expected: impl Into<String>) -> Self {
        Self::new(kind, Some(expected.into()), None)
    }

    fn foreign(kind: FindingKind, actual: impl Into<String>) -> Self {
        Self::new(kind, None, Some(actual.into()))
    }
}

impl From<Drift> for Finding {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::Sysctl { name, expected, actual } => Self::new(
                FindingKind::Sysctl,
                Some(format!("{name} = {expected}")),
                Some(format!("{name} = {actual}")),
            ),
            Drift::MissingRoute(route) => Self::missing(FindingKind::Route, route_text(&route)),
            Drift::ForeignRoute(route) => Self::foreign(FindingKind::Route, route_text(&route)),
            Drift::MissingRule(rule) => Self::missing(FindingKind::Rule, rule_text(&rule)),
            Drift::ForeignRule(rule) => Self::foreign(FindingKind::Rule, rule_text(&rule)),
            Drift::MissingPolicy(policy) => Self::missing(FindingKind::Policy, policy_text(&policy)),
            Drift::ForeignPolicy(policy) => Self::foreign(FindingKind::Policy, policy_text(&policy)),
        }
    }
}

// === impl FindingKind ===

impl FindingKind {
    /// The kind as tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Namespace => "namespace",
            Self::Link => "link",
            Self::Enrolment => "enrolment",
            Self::Addresses => "addresses",
            Self::Sysctl => "sysctl",
            Self::Route => "route",
            Self::Rule => "rule",
            Self::Policy => "policy",
            Self::Listener => "listener",
        }
    }
}

// === impl PinnedPod ===

impl PinnedPod {
    /// Compares the pod with what its capture should be; nothing is found where all is well. Listeners that are missing
    /// because no agent runs are found too: whoever connects meets nobody.
    pub fn check(&self, namespaces: &Namespaces, agent: Life) -> Result<Vec<Finding>, NetError> {
        let mut findings = Vec::new();
        if self.link_id.is_none() {
            findings.push(Finding::missing(FindingKind::Link, "sk_lookup program attached"));
        }
        if !self.marked {
            let cookie = self
                .netns_cookie
                .map_or("the pod's".to_owned(), |cookie| cookie.to_string());
            findings.push(Finding::missing(
                FindingKind::Enrolment,
                format!("netns cookie {cookie} in PODS"),
            ));
        }
        match self.namespace(namespaces) {
            Some(netns) => findings.extend(self.check_namespace(&netns, agent)?),
            None => findings.push(Finding::missing(
                FindingKind::Namespace,
                match self.netns_ino {
                    Some(inode) if inode != 0 => format!("netns {inode}"),
                    Some(_) | None => "a network namespace that lives".to_owned(),
                },
            )),
        }
        Ok(findings)
    }

    /// The pod's namespace, by the link's word, else by its cookie.
    pub fn namespace(&self, namespaces: &Namespaces) -> Option<NetNs> {
        let by_inode = self.netns_ino.and_then(|inode| namespaces.open(inode));
        by_inode.or_else(|| namespaces.with_cookie(self.netns_cookie?))
    }

    fn check_namespace(&self, netns: &NetNs, agent: Life) -> Result<Vec<Finding>, NetError> {
        let mut findings = Vec::new();
        let cookie = netns.cookie()?.0;
        if self.netns_cookie != Some(cookie) {
            findings.push(Finding::new(
                FindingKind::Namespace,
                Some(format!("cookie {cookie}")),
                self.netns_cookie.map(|cookie| format!("cookie {cookie}")),
            ));
        }
        let own = own_addresses(netns)?
            .into_iter()
            .map(|address| address.ip)
            .collect::<BTreeSet<_>>();
        let known = self.addresses.iter().copied().collect::<BTreeSet<_>>();
        findings.extend(addresses(&own, &known));
        let dns = if self.captures_dns {
            Dns::Captured
        } else {
            Dns::Untouched
        };
        let flags = match self.on_agent_failure.as_deref() {
            Some("closed") => PodFlags::FAIL_CLOSED,
            Some(_) | None => PodFlags::FAIL_OPEN,
        };
        findings.extend(drift(netns, dns, flags)?.into_iter().map(Finding::from));
        // Both families look at the same sysctl.
        findings.dedup();
        let listening = ListedSocket::list(netns, Listing::Listeners)?;
        findings.extend(listeners(&own, &listening, agent));
        Ok(findings)
    }
}

fn addresses(own: &BTreeSet<IpAddr>, known: &BTreeSet<IpAddr>) -> Option<Finding> {
    (own != known).then(|| Finding::new(FindingKind::Addresses, Some(joined(own)), Some(joined(known))))
}

/// The agent listens twice for each family of which the namespace has an address: for what goes out and what comes in.
///
/// It looks for sockets with the agent's mark, since what is in a slot the kernel does not tell
/// (`sock_map_lookup_sys`, ENOSPC for 4-byte values). A closed listener leaves its slot by itself.
fn listeners(own: &BTreeSet<IpAddr>, listening: &[ListedSocket], agent: Life) -> Vec<Finding> {
    let of_family = |ip: IpAddr| if ip.is_ipv4() { Family::V4 } else { Family::V6 };
    let is_ours = |socket: &&ListedSocket| socket.mark.is_some_and(|Mark(mark)| mark & OURS != 0);
    let families = own.iter().map(|ip| of_family(*ip)).collect::<BTreeSet<_>>();
    families
        .into_iter()
        .filter_map(|family| {
            let ours = listening
                .iter()
                .filter(|socket| of_family(socket.local.ip()) == family)
                .filter(is_ours)
                .count();
            (ours < LISTENERS_OF_FAMILY).then(|| {
                Finding::new(
                    FindingKind::Listener,
                    Some(format!(
                        "{LISTENERS_OF_FAMILY} listeners of the agent for {}",
                        family_text(family)
                    )),
                    Some(match agent {
                        Life::Alive => ours.to_string(),
                        Life::Away => format!("{ours}, since no agent runs"),
                    }),
                )
            })
        })
        .collect()
}

/// A rule as `ip rule` writes it.
fn rule_text(rule: &Rule) -> String {
    let Rule {
        family,
        preference,
        mask,
        mark,
        packets,
        table,
    } = rule;
    let packets = match packets {
        Packets::All => String::new(),
        Packets::UdpTo(port) => format!(" ipproto udp dport {port}"),
    };
    format!(
        "{} rule {preference}: iif lo{packets} fwmark {mark:#x}/{mask:#x} lookup {table}",
        family_text(*family)
    )
}

/// A policy as `ip xfrm policy` writes it.
fn policy_text(policy: &SendPolicy) -> String {
    let SendPolicy {
        verdict,
        source,
        destination,
        mark,
        mask,
    } = policy;
    let action = match verdict {
        SendVerdict::Pass => "allow",
        SendVerdict::Silence => "block",
    };
    let source = source.map_or("::/0".to_owned(), |source| format!("{source}/128"));
    format!("IPv6 policy src {source} dst {destination}/128 dir out action {action} mark {mark:#x}/{mask:#x}")
}

/// A route as `ip route` writes it.
fn route_text(route: &LocalDefault) -> String {
    let LocalDefault {
        family,
        device,
        source,
        table,
    } = route;
    let source = source.map(|source| format!(" src {source}")).unwrap_or_default();
    format!(
        "{} local default dev if{}{source} table {table}",
        family_text(*family),
        device.0
    )
}

fn family_text(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn joined(addresses: &BTreeSet<IpAddr>) -> String {
    let texts = addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    texts.join(" ")
}

/// One for connections that the pod opens, one for those that it gets.
const LISTENERS_OF_FAMILY: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::DeviceIndex;

    #[test]
    fn rules_and_routes_are_written_as_ip_writes_them() {
        let rule = Rule {
            family: Family::V4,
            preference: 4101,
            mask: 0x2000_0000,
            mark: 0,
            packets: Packets::UdpTo(53),
            table: 30565,
        };
        assert_eq!(
            rule_text(&rule),
            "IPv4 rule 4101: iif lo ipproto udp dport 53 fwmark 0x0/0x20000000 lookup 30565"
        );
        let route = LocalDefault {
            family: Family::V4,
            device: DeviceIndex(2),
            source: Some("10.0.0.1".parse().unwrap()),
            table: 30565,
        };
        assert_eq!(
            Finding::from(Drift::MissingRoute(route)),
            Finding {
                kind: FindingKind::Route,
                expected: Some("IPv4 local default dev if2 src 10.0.0.1 table 30565".to_owned()),
                actual: None,
            }
        );
    }

    #[test]
    fn an_address_that_the_program_does_not_know_is_drift() {
        let own = BTreeSet::from(["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
        let known = BTreeSet::from(["10.0.0.1".parse().unwrap()]);
        assert_eq!(
            addresses(&own, &known),
            Some(Finding {
                kind: FindingKind::Addresses,
                expected: Some("10.0.0.1 10.0.0.2".to_owned()),
                actual: Some("10.0.0.1".to_owned()),
            })
        );
        assert_eq!(addresses(&own, &own), None);
    }

    #[test]
    fn a_family_without_listeners_is_drift_only_where_the_pod_has_the_family() {
        let own = BTreeSet::from(["10.0.0.1".parse().unwrap()]);
        let findings = listeners(&own, &[], Life::Alive);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].kind, FindingKind::Listener);
        assert_eq!(findings[0].actual.as_deref(), Some("0"));
        let findings = listeners(&own, &[], Life::Away);
        assert_eq!(findings[0].actual.as_deref(), Some("0, since no agent runs"));
    }
}
