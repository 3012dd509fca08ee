//! What a namespace must not send, by policies of IPsec (xfrm) without any encryption.
//!
//! They are asked where a route is looked up, so that established connections do not feel them.

use std::{io, net::Ipv6Addr};

use netlink_packet_core::{
    DecodeError, NLM_F_CREATE, NLM_F_EXCL, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_XFRM;

use super::{NetError, NetNs, netlink::Netlink, rule::unless};

/// A policy for IPv6 packets that the namespace itself sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendPolicy {
    /// What becomes of them; passing comes before silence.
    pub verdict: SendVerdict,
    /// From which address; any when none.
    pub source: Option<Ipv6Addr>,
    /// To which address.
    pub destination: Ipv6Addr,
    /// What the mark must be under the mask.
    pub mark: u32,
    /// The bits of the mark that are looked at.
    pub mask: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendVerdict {
    /// It is sent.
    Pass,
    /// It is not sent, and nobody is told.
    Silence,
}

/// A message of NETLINK_XFRM.
#[derive(Clone, Debug)]
struct Message {
    kind: u16,
    bytes: Vec<u8>,
}

// === impl SendPolicy ===

impl SendPolicy {
    /// Lists the policies of this form which look at a mark in this way; a kernel built without policies has none.
    pub fn list(netns: &NetNs, mark: u32, mask: u32) -> Result<Vec<Self>, NetError> {
        let netlink = match Netlink::open(netns, NETLINK_XFRM) {
            Err(error) if error.io().and_then(io::Error::raw_os_error) == Some(libc::EPROTONOSUPPORT) => {
                return Ok(Vec::new());
            }
            opened => opened?,
        };
        let everything = Message {
            kind: GET_POLICY,
            bytes: vec![0; ID],
        };
        let messages = netlink.dump(everything).map_err(NetError::call("list policies"))?;
        Ok(messages
            .iter()
            .filter_map(|message| Self::parse(&message.bytes))
            .filter(|policy| (policy.mark, policy.mask) == (mark, mask))
            .collect())
    }

    /// Adds the policy, unless it is there.
    pub fn add(&self, netns: &NetNs) -> Result<(), NetError> {
        let mut bytes = self.selector();
        bytes.resize(SELECTOR + UNLIMITED, 0xff);
        bytes.resize(PRIORITY, 0);
        bytes.extend(self.verdict.priority().to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([OUT, self.verdict.action()]);
        bytes.resize(INFO, 0);
        self.change(netns, NEW_POLICY, bytes, NLM_F_CREATE | NLM_F_EXCL)
            .or_else(unless(&[libc::EEXIST]))
            .map_err(NetError::call("add policy"))
    }

    /// Deletes the policy, unless it is gone.
    pub fn delete(&self, netns: &NetNs) -> Result<(), NetError> {
        let mut bytes = self.selector();
        bytes.extend(0_u32.to_ne_bytes());
        bytes.push(OUT);
        bytes.resize(ID, 0);
        self.change(netns, DELETE_POLICY, bytes, 0)
            .or_else(unless(&[libc::ENOENT]))
            .map_err(NetError::call("delete policy"))
    }

    fn change(&self, netns: &NetNs, kind: u16, mut bytes: Vec<u8>, flags: u16) -> io::Result<()> {
        bytes.extend(MARK_LENGTH.to_ne_bytes());
        bytes.extend(MARK.to_ne_bytes());
        bytes.extend(self.mark.to_ne_bytes());
        bytes.extend(self.mask.to_ne_bytes());
        let netlink = Netlink::open(netns, NETLINK_XFRM).map_err(io::Error::other)?;
        netlink.change(Message { kind, bytes }, flags)
    }

    /// `struct xfrm_selector`.
    fn selector(&self) -> Vec<u8> {
        let (source, source_length) = match self.source {
            Some(source) => (source, 128),
            None => (Ipv6Addr::UNSPECIFIED, 0),
        };
        let mut bytes = Vec::with_capacity(INFO);
        bytes.extend(self.destination.octets());
        bytes.extend(source.octets());
        bytes.resize(FAMILY, 0);
        bytes.extend(INET6.to_ne_bytes());
        bytes.extend([128, source_length]);
        bytes.resize(SELECTOR, 0);
        bytes
    }

    /// Reads a policy back; none when it is of another form.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, attributes) = bytes.split_at_checked(INFO)?;
        let address = |at: usize| Some(Ipv6Addr::from(*head.get(at..)?.first_chunk::<16>()?));
        let (mark, mask) = mark(attributes)?;
        let policy = Self {
            verdict: SendVerdict::of_action(head[ACTION])?,
            source: (head[FAMILY + 3] != 0).then_some(address(16)?),
            destination: address(0)?,
            mark,
            mask,
        };
        (head[DIRECTION] == OUT && head[..SELECTOR] == policy.selector()).then_some(policy)
    }
}

// === impl SendVerdict ===

impl SendVerdict {
    /// Of two policies that match, the kernel takes the one with the lower number.
    fn priority(self) -> u32 {
        match self {
            Self::Pass => 10,
            Self::Silence => 20,
        }
    }

    fn action(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Silence => 1,
        }
    }

    fn of_action(action: u8) -> Option<Self> {
        [Self::Pass, Self::Silence]
            .into_iter()
            .find(|verdict| verdict.action() == action)
    }
}

// === impl Message ===

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self {
            kind: header.message_type,
            bytes: payload.to_vec(),
        })
    }
}

/// Finds `XFRMA_MARK` among attributes.
fn mark(mut attributes: &[u8]) -> Option<(u32, u32)> {
    loop {
        let (head, _) = attributes.split_first_chunk::<4>()?;
        let [length, kind] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_ne_bytes);
        let value = attributes.get(4..length.into())?;
        if kind == MARK {
            let (value, mask) = value.split_first_chunk::<4>()?;
            return Some((u32::from_ne_bytes(*value), u32::from_ne_bytes(*mask.first_chunk()?)));
        }
        attributes = attributes.get(usize::from(length).next_multiple_of(4)..)?;
    }
}

/// linux/xfrm.h: messages, `XFRM_POLICY_OUT`, `XFRMA_MARK` and the length of its attribute.
const NEW_POLICY: u16 = 0x13;
const DELETE_POLICY: u16 = 0x14;
const GET_POLICY: u16 = 0x15;
const OUT: u8 = 1;
const MARK: u16 = 21;
const MARK_LENGTH: u16 = 12;
const INET6: u16 = 10;

/// Offsets in `struct xfrm_userpolicy_info`, which begins with a selector; and the sizes of its parts.
const FAMILY: usize = 40;
const SELECTOR: usize = 56;
const UNLIMITED: usize = 32;
const PRIORITY: usize = 152;
const DIRECTION: usize = 160;
const ACTION: usize = 161;
const INFO: usize = 168;

/// The size of `struct xfrm_userpolicy_id`.
const ID: usize = 64;
