//! The TCP option by which agents know each other, in SYN and SYN-ACK only: an experimental one (RFC 6994).
//!
//! ```text
//! kind 254 | length 11 | ExID "weft" (4 bytes) | id of the mesh (4 bytes) | direction (1 byte)
//! ```
//!
//! A hint that anybody can forge or strip: it says whom to speak TLS with, never whom to believe.

use crate::layout::map_value;

/// Tells meshes apart; agents that know another one's id do not greet each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct MeshId([u8; 4]);

/// Who greets: an option that comes back as it was sent is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// The client, in its SYN.
    Asks = 1,
    /// The server, in its SYN-ACK.
    Answers = 2,
}

/// The option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello([u8; Hello::LENGTH]);

map_value!(MeshId, 4);

// === impl MeshId ===

impl MeshId {
    /// Wraps an id.
    #[inline(always)]
    pub const fn new(id: [u8; 4]) -> Self {
        Self(id)
    }

    /// The id.
    #[inline(always)]
    pub const fn bytes(self) -> [u8; 4] {
        self.0
    }
}

impl core::fmt::Display for MeshId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

// === impl Hello ===

impl Hello {
    /// The option's length; on the wire one more byte pads it to words.
    pub const LENGTH: usize = 11;

    /// What `bpf_load_hdr_opt` looks for: the kind and the ExID, whose length it takes from the second byte.
    pub const SOUGHT: Self = Self(Self::head(2 + EXID.len() as u8));

    /// Writes the option.
    #[inline(always)]
    pub const fn new(mesh: MeshId, direction: Direction) -> Self {
        let mut option = Self::head(Self::LENGTH as u8);
        [option[6], option[7], option[8], option[9]] = mesh.0;
        option[10] = direction as u8;
        Self(option)
    }

    /// Takes bytes for an option.
    #[inline(always)]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The option as it stands in a segment.
    #[inline(always)]
    pub const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Whether an agent of this mesh greets in this direction. A later version may append to the option.
    #[inline(always)]
    pub const fn is(&self, mesh: MeshId, direction: Direction) -> bool {
        let [kind, length, e, x, i, d, m, e2, s, h, said] = self.0;
        kind == KIND
            && length as usize >= Self::LENGTH
            && u32::from_be_bytes([e, x, i, d]) == u32::from_be_bytes(EXID)
            && u32::from_be_bytes([m, e2, s, h]) == u32::from_be_bytes(mesh.0)
            && said == direction as u8
    }

    const fn head(length: u8) -> [u8; Self::LENGTH] {
        let [a, b, c, d] = EXID;
        [KIND, length, a, b, c, d, 0, 0, 0, 0, 0]
    }
}

/// RFC 4727: reserved for experiments.
const KIND: u8 = 254;

/// One of 32 bits, since nobody assigns it: chance collides rarely.
const EXID: [u8; 4] = *b"weft";

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: MeshId = MeshId::new([1, 2, 3, 4]);

    #[test]
    fn an_option_is_written_as_it_is_documented() {
        let asks = Hello::new(MESH, Direction::Asks);
        assert_eq!(asks.bytes(), b"\xfe\x0bweft\x01\x02\x03\x04\x01");
        assert_eq!(Hello::SOUGHT.bytes(), b"\xfe\x06weft\x00\x00\x00\x00\x00");
    }

    #[test]
    fn only_the_own_mesh_in_the_expected_direction_is_heard() {
        let asks = Hello::new(MESH, Direction::Asks);
        assert!(asks.is(MESH, Direction::Asks));
        assert!(!asks.is(MESH, Direction::Answers));
        assert!(!asks.is(MeshId::new([1, 2, 3, 5]), Direction::Asks));
        assert!(!Hello::SOUGHT.is(MeshId::new([0; 4]), Direction::Asks));
    }

    #[test]
    fn an_option_that_a_later_version_made_longer_is_heard() {
        let mut longer = *Hello::new(MESH, Direction::Asks).bytes();
        longer[1] = 14;
        assert!(Hello::from_bytes(longer).is(MESH, Direction::Asks));
        longer[1] = 10;
        assert!(!Hello::from_bytes(longer).is(MESH, Direction::Asks));
    }

    #[test]
    fn a_mesh_id_is_shown_as_it_stands_on_the_wire() {
        extern crate std;
        assert_eq!(std::format!("{MESH}"), "01020304");
    }
}
