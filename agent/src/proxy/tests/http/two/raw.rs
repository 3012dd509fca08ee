//! A client of HTTP/2 that writes its frames by hand.

use super::*;

/// A frame (RFC 9113, 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

// === impl Frame ===

impl Frame {
    pub(super) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.to_vec(),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let [_, length @ ..] = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let head = [&length[..], &[self.kind, self.flags], &self.stream.to_be_bytes()].concat();
        [head, self.payload.clone()].concat()
    }

    /// The next one; none where the connection ends.
    pub(super) fn read(mut stream: &TcpStream) -> Option<Self> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        stream.read_exact(&mut payload).ok()?;
        Some(Self::new(kind, flags, u32::from_be_bytes(id), &payload))
    }

    /// The error that a GOAWAY tells of.
    pub(super) fn goaway(&self) -> Option<u32> {
        let told = (self.kind == GOAWAY).then(|| self.payload[4..8].try_into().unwrap());
        told.map(u32::from_be_bytes)
    }
}

/// A request for `/`, in indices of the static table (RFC 7541, appendix A) but for its authority.
pub(super) fn headers(stream: u32, flags: u8) -> Frame {
    const REQUEST: &[u8] = b"\x82\x86\x84\x01\x03api";
    Frame::new(HEADERS, flags, stream, REQUEST)
}

/// A client that has greeted, and has acknowledged what it was greeted with.
pub(super) fn greeted(world: &World) -> TcpStream {
    let mut client = world.call();
    client.write_all(PREFACE).unwrap();
    client.write_all(&Frame::new(SETTINGS, 0, 0, &[]).bytes()).unwrap();
    loop {
        let frame = Frame::read(&client).unwrap();
        if frame.kind == SETTINGS && frame.flags == 0 {
            break;
        }
    }
    client.write_all(&Frame::new(SETTINGS, ACK, 0, &[]).bytes()).unwrap();
    client
}

/// Frames until the connection ends.
pub(super) fn rest(client: &TcpStream) -> Vec<Frame> {
    std::iter::from_fn(|| Frame::read(client)).collect()
}

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
