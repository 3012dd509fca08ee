//! A TCP segment in an Ethernet frame, to be looked at and changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The part of a frame from the TCP header on.
#[derive(Debug)]
pub struct Segment<'a> {
    ends: [IpAddr; 2],
    tcp: &'a mut [u8],
}

// === impl Segment ===

impl<'a> Segment<'a> {
    /// Finds the segment in a frame; none when the frame holds something else.
    pub(crate) fn of(frame: &'a mut [u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_at_mut_checked(14)?;
        let (protocol, ends, head, total): (u8, [IpAddr; 2], usize, usize) = match ethernet[12..] {
            [0x08, 0x00] => {
                let end = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?).into());
                let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
                let head = usize::from(packet.first()? & 0x0f) * 4;
                (*packet.get(9)?, [end(12)?, end(16)?], head, total.into())
            }
            [0x86, 0xdd] => {
                let end = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?).into());
                let payload = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
                (*packet.get(6)?, [end(8)?, end(24)?], 40, usize::from(payload) + 40)
            }
            _ => return None,
        };
        let tcp = packet.get_mut(head..total)?;
        (protocol == 6 && tcp.len() >= 20 && tcp.len() >= options_end(tcp)).then_some(Self { ends, tcp })
    }

    /// The bytes of the first option of a kind, kind and length among them.
    pub fn option(&mut self, kind: u8) -> Option<&mut [u8]> {
        let end = options_end(self.tcp);
        let place = place_of(&self.tcp[20..end], kind)?;
        self.tcp[20..end].get_mut(place)
    }

    /// Writes over an option what stands for none.
    pub fn strip(&mut self, kind: u8) {
        if let Some(option) = self.option(kind) {
            option.fill(NOP);
        }
    }

    /// Writes an option over those for selective acknowledgements and timestamps, which Linux puts side by side into its
    /// handshakes; other segments stay as they are.
    pub fn forge(&mut self, option: &[u8]) {
        let end = options_end(self.tcp);
        let options = &mut self.tcp[20..end];
        let [Some(first), Some(second)] = [SACK_PERMITTED, TIMESTAMPS].map(|kind| place_of(options, kind)) else {
            return;
        };
        if first.end == second.start {
            let room = &mut options[first.start..second.end];
            room.fill(NOP);
            room[..option.len()].copy_from_slice(option);
        }
    }

    /// Writes the checksum, which the kernel leaves to the network card where there seems to be one.
    pub(crate) fn sum(&mut self) {
        self.tcp[16..18].fill(0);
        let [from, to] = self.ends.map(|end| match end {
            IpAddr::V4(end) => end.octets().to_vec(),
            IpAddr::V6(end) => end.octets().to_vec(),
        });
        let pseudo = 6 + self.tcp.len() as u64 + words(&from) + words(&to);
        let mut sum = pseudo + words(self.tcp);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        self.tcp[16..18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}

/// Where an option of a kind lies among these.
pub(crate) fn place_of(options: &[u8], kind: u8) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    loop {
        match *options.get(at)? {
            0 => return None,
            NOP => at += 1,
            found => {
                let length = usize::from(*options.get(at + 1)?).max(2);
                if found == kind {
                    return Some(at..(at + length).min(options.len()));
                }
                at += length;
            }
        }
    }
}

fn options_end(tcp: &[u8]) -> usize {
    usize::from(tcp[12] >> 4) * 4
}

fn words(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low)))
        .sum()
}

const NOP: u8 = 1;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;
