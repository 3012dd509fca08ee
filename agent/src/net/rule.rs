//! Routing rules for what a namespace itself sends.

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, Nla as _};
use netlink_packet_route::{
    RouteNetlinkMessage,
    rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{Family, NetError, NetNs, netlink::Netlink};

/// A rule: what the namespace itself sends (`iif lo`) and this matches, is routed by a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Its place among the rules.
    pub preference: u32,
    /// The bits of a packet's mark that it looks at.
    pub mask: u32,
    /// What these bits must be.
    pub mark: u32,
    /// Which packets it is for.
    pub packets: Packets,
    /// The table that matching packets are routed by.
    pub table: u32,
}

/// Which packets a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packets {
    /// All.
    All,
    /// UDP to a port.
    UdpTo(u16),
}

// === impl Rule ===

impl Rule {
    /// Lists a namespace's rules that are of this form and nothing else; others are somebody else's.
    pub fn list(netns: &NetNs, family: Family) -> Result<Vec<Self>, NetError> {
        let mut request = RuleMessage::default();
        request.header.family = family.into();
        let messages = Netlink::open(netns, NETLINK_ROUTE)?
            .dump(RouteNetlinkMessage::GetRule(request))
            .map_err(NetError::call("list rules"))?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewRule(rule) => Self::recognise(&rule, family),
                _ => None,
            })
            .collect())
    }

    /// Adds the rule, unless it is there.
    pub fn add(&self, netns: &NetNs) -> Result<(), NetError> {
        Netlink::open(netns, NETLINK_ROUTE)?
            .change(RouteNetlinkMessage::NewRule(self.message()), NLM_F_CREATE | NLM_F_EXCL)
            .or_else(unless(&[libc::EEXIST]))
            .map_err(NetError::call("add rule"))
    }

    /// Deletes the rule, unless it is gone.
    pub fn delete(&self, netns: &NetNs) -> Result<(), NetError> {
        Netlink::open(netns, NETLINK_ROUTE)?
            .change(RouteNetlinkMessage::DelRule(self.message()), 0)
            .or_else(unless(&[libc::ENOENT]))
            .map_err(NetError::call("delete rule"))
    }

    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = self.family.into();
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Iifname(LOOPBACK.into()),
            RuleAttribute::Priority(self.preference),
            RuleAttribute::FwMark(self.mark),
            RuleAttribute::FwMask(self.mask),
            RuleAttribute::Table(self.table),
        ];
        match self.packets {
            Packets::All => {}
            Packets::UdpTo(port) => message.attributes.extend([
                RuleAttribute::IpProtocol(libc::IPPROTO_UDP.into()),
                RuleAttribute::DestinationPortRange(RulePortRange { start: port, end: port }),
            ]),
        }
        message
    }

    /// Reads a rule back; the kernel leaves out a mark of 0.
    fn recognise(message: &RuleMessage, family: Family) -> Option<Self> {
        let mut rule = Self {
            family,
            preference: 0,
            mask: 0,
            mark: 0,
            packets: Packets::All,
            table: 0,
        };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(preference) => rule.preference = *preference,
                RuleAttribute::FwMark(mark) => rule.mark = *mark,
                RuleAttribute::FwMask(mask) => rule.mask = *mask,
                RuleAttribute::Table(table) => rule.table = *table,
                RuleAttribute::DestinationPortRange(range) if range.start == range.end => {
                    rule.packets = Packets::UdpTo(range.start);
                }
                _ => {}
            }
        }
        // What was read leads to the same message only if nothing else was in it.
        let expected = rule.message();
        let same = message.header.action == expected.header.action
            && expected
                .attributes
                .iter()
                .filter(|attribute| **attribute != RuleAttribute::FwMark(0))
                .all(|attribute| message.attributes.contains(attribute))
            && message
                .attributes
                .iter()
                .all(|attribute| expected.attributes.contains(attribute) || always_told(attribute));
        same.then_some(rule)
    }
}

/// What the kernel tells of every rule (`fib_nl_fill_rule`), whatever was asked for; since 6.15 the whole mask of a port.
fn always_told(attribute: &RuleAttribute) -> bool {
    match attribute {
        RuleAttribute::SuppressPrefixLen(length) => *length == u32::MAX,
        RuleAttribute::SuppressIfGroup(group) => *group == u32::MAX,
        RuleAttribute::Protocol(_) => true,
        RuleAttribute::Other(mask) => mask.kind() == FRA_DPORT_MASK && whole(mask),
        _ => false,
    }
}

/// Makes success of an error that says that things are already as wanted.
pub(super) fn unless(satisfied: &'static [i32]) -> impl FnOnce(io::Error) -> io::Result<()> {
    move |error| match error.raw_os_error() {
        Some(code) if satisfied.contains(&code) => Ok(()),
        _ => Err(error),
    }
}

fn whole(mask: &DefaultNla) -> bool {
    let mut value = vec![0; mask.value_len()];
    mask.emit_value(&mut value);
    value.iter().all(|byte| *byte == 0xff)
}

const LOOPBACK: &str = "lo";

/// linux/fib_rules.h, Linux 6.15.
const FRA_DPORT_MASK: u16 = 29;
