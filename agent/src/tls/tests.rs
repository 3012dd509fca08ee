//! Two ends within one process: what the tests of handshakes, records and tickets share.

use std::net::IpAddr;

use tokio::net::{TcpListener, TcpStream};

use super::{
    sample::{SampleCa, an_hour},
    *,
};
use crate::model::{
    Pod, PodUid,
    sample::{mk_ip, mk_pod},
};

mod forgeries;
mod handshakes;
mod records;
mod resumption;

/// A connection within this process, both ends.
async fn pair(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((mk_ip(address), 0)).await.expect("a port");
    let dialled = TcpStream::connect(listener.local_addr().expect("an address"));
    let (dialled, accepted) = tokio::join!(dialled, listener.accept());
    let (dialled, (accepted, _)) = (dialled.expect("a connection"), accepted.expect("a connection"));
    dialled.set_nodelay(true).expect("an open socket");
    (dialled, accepted)
}

/// Both ends of a handshake.
type Shaken = (Result<Established, TlsError>, Result<Established, TlsError>);

/// Lets two pods shake hands.
async fn shake(client: &Credentials, server: &Credentials, expected: &Expected) -> Shaken {
    shake_over(&pair("127.0.0.1").await, client, server, expected).await
}

async fn shake_over(
    (dialled, accepted): &(TcpStream, TcpStream),
    client: &Credentials,
    server: &Credentials,
    expected: &Expected,
) -> Shaken {
    let connect = async {
        let established = connect(dialled, client, expected, Protocol::Tcp).await;
        match &established {
            Ok(established) => send(dialled, &established.unsent).await,
            Err(_) => shut(dialled),
        }
        established
    };
    let accept = async {
        let accepting = accept(accepted, server, Vec::new()).await;
        if accepting.is_err() {
            shut(accepted);
        }
        accepting
    };
    tokio::join!(connect, accept)
}

/// Both ends of a handshake that must succeed; the server's last flight is read by the client.
async fn established(client: &Credentials, server: &Credentials, expected: &Expected) -> (Established, Established) {
    let (dialled, accepted) = shake(client, server, expected).await;
    let (mut dialled, mut accepted) = (dialled.expect("a client"), accepted.expect("a server"));
    let mut last = std::mem::take(&mut accepted.unsent);
    let opened = dialled
        .records
        .open(&mut last, |_| panic!("no data yet"))
        .expect("tickets");
    assert_eq!(opened.used, last.len());
    (dialled, accepted)
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.writable().await.expect("an open socket");
        if let Ok(sent) = stream.try_write(bytes) {
            bytes = &bytes[sent..];
        }
    }
}

fn shut(stream: &TcpStream) {
    // The other end may have gone first.
    let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Both);
}

/// Expects a pod by its UID, in its namespace.
fn expect(pod: &Pod) -> Expected {
    Expected {
        uid: Some(pod.uid.clone()),
        ip: pod.ips[0],
        namespace: Some(pod.name.namespace.clone()),
    }
}

/// The certificate of a pod.
fn of(identities: &Identities, pod: &Pod) -> std::sync::Arc<Credentials> {
    identities.of(&pod.uid).expect("a certificate")
}
