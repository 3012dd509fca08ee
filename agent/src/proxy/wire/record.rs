//! Records what agents really say, as the seeds of the fuzz targets: `cargo test -p agent -- --ignored records_`.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{
    model::{ObjectName, sample::mk_pod},
    telemetry::Denied,
    tls::{self, Expected, Fingerprint, JoinToken, Protocol, Records, sample::SampleCa},
};

#[tokio::test]
#[ignore = "writes the seeds in tests/fuzz/corpus"]
async fn records_a_conversation_between_two_pods() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = SampleCa::new().identities(&[&cart, &web]);
    let [client, server] = [&cart, &web].map(|pod| identities.of(&pod.uid).expect("a certificate"));
    let expected = Expected {
        uid: Some(web.uid.clone()),
        ip: web.ips[0],
        namespace: None,
    };
    for (name, denied) in [
        ("full", None),
        ("resumed", None),
        ("refused", Some(Denied::PolicyDenied)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let dialled = TcpStream::connect(listener.local_addr().expect("an address"))
            .await
            .expect("a connection");
        let (accepted, _) = listener.accept().await.expect("a connection");
        let accept = async {
            let mut hello = vec![0; 16 * 1024];
            let length = accepted.peek(&mut hello).await.expect("a hello");
            keep("hello", name, &hello[..length]);
            tls::accept(&accepted, &server, Vec::new()).await.expect("a server")
        };
        let connect = async {
            let client = tls::connect(&dialled, &client, &expected, Protocol::Tcp)
                .await
                .expect("a client");
            assert_eq!(
                dialled.try_write(&client.unsent).expect("an open socket"),
                client.unsent.len()
            );
            client
        };
        let (mut client, mut server) = tokio::join!(connect, accept);

        let mut asked = Vec::new();
        header().encode(&mut asked);
        keep("header", "whole", &asked[HEAD..]);
        frame(Kind::Data, b"GET / HTTP/1.1\r\nHost: api\r\n\r\n", &mut asked);
        frame(Kind::End, b"", &mut asked);
        Header {
            service: None,
            labels: BTreeMap::new(),
            ..header()
        }
        .encode(&mut asked);
        frame(Kind::Reset, b"", &mut asked);
        keep(
            "frames-of-client",
            "whole",
            &carry(&mut client.records, &mut server.records, &[], &asked),
        );

        let mut answered = Vec::new();
        let status = denied.map_or(Status::Accepted, Status::Refused);
        frame(Kind::Status, &[status.code()], &mut answered);
        if status == Status::Accepted {
            frame(
                Kind::Data,
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                &mut answered,
            );
            frame(Kind::End, b"", &mut answered);
            frame(Kind::Status, &[Status::Accepted.code()], &mut answered);
            frame(Kind::Reset, b"", &mut answered);
        }
        let unsent = std::mem::take(&mut server.unsent);
        keep(
            "frames-of-server",
            name,
            &carry(&mut server.records, &mut client.records, &unsent, &answered),
        );
    }
    let ends = std::time::UNIX_EPOCH + Duration::from_secs(1);
    let token = JoinToken::draw("node-1", Fingerprint::of(b"root"), ends).expect("a token");
    keep("token", "over", token.reveal().as_bytes());
}

fn header() -> Header {
    Header {
        service: Some((ObjectName::new("shop", "api"), 80)),
        source: ObjectName::new("shop", "cart-7d9c"),
        labels: BTreeMap::from([
            ("app".to_owned(), "cart".to_owned()),
            ("tier".to_owned(), String::new()),
        ]),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

fn frame(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&frame_head(kind, body.len()));
    out.extend_from_slice(body);
}

/// What one end decrypts of what the other has sealed, behind what its handshake has left.
fn carry(from: &mut Records, to: &mut Records, before: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut sealed = before.to_vec();
    from.seal(plain, &mut sealed).expect("sealed");
    let mut opened = Vec::new();
    to.open(&mut sealed, |bytes| opened.extend_from_slice(bytes))
        .expect("opened");
    assert_eq!(opened, plain);
    opened
}

fn keep(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fuzz/corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("writable");
}
