//! Which server a client of TLS asks for: said by its first bytes, which stay in its socket.

use std::time::Duration;

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{LONGEST_PREFACE, PATIENCE, PAUSE};
use crate::tls::{self, ServerName};

/// Listens to a client that must speak TLS until it has named its server; none where it names none in time.
pub(in crate::proxy) async fn server_name(client: &TcpStream) -> Option<Box<str>> {
    timeout(LONGEST_SILENCE, listen(client)).await.ok().flatten()
}

async fn listen(client: &TcpStream) -> Option<Box<str>> {
    let mut first = vec![0; SMALL];
    let mut known = 0;
    let mut since = Instant::now();
    loop {
        let length = client.peek(&mut first).await.ok().filter(|length| *length > 0)?;
        if length > known {
            (known, since) = (length, Instant::now());
            match tls::server_name(&first[..length]) {
                ServerName::Named(name) => return Some(name),
                ServerName::Absent => return None,
                ServerName::Incomplete if length == MOST => return None,
                ServerName::Incomplete if length == first.len() => {
                    first.resize(MOST, 0);
                    continue;
                }
                ServerName::Incomplete => {}
            }
        }
        if since.elapsed() > PATIENCE {
            return None;
        }
        // The bytes that are there make the socket readable: only time brings more.
        sleep(PAUSE).await;
    }
}

/// How long a client may take in all; no other server can be asked to speak in its place.
const LONGEST_SILENCE: Duration = LONGEST_PREFACE;
/// Enough for nearly all.
const SMALL: usize = 4 * 1024;
/// The longest hello that is understood, in more records than anybody cuts it into.
const MOST: usize = 32 * 1024;
