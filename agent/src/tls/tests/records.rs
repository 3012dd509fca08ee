//! Bytes through the records of a connection.

use super::*;

async fn two() -> (Established, Established) {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = SampleCa::new().identities(&[&cart, &web]);
    established(&of(&identities, &cart), &of(&identities, &web), &expect(&web)).await
}

fn sealed(from: &mut Established, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    from.records.seal(plain, &mut out).expect("sealed");
    out
}

/// What arrives of these bytes, and what the records said of them.
fn open(at: &mut Established, incoming: &mut [u8]) -> (Vec<u8>, Result<Opened, TlsError>) {
    let mut plain = Vec::new();
    let opened = at.records.open(incoming, |bytes| plain.extend_from_slice(bytes));
    (plain, opened)
}

#[tokio::test]
async fn what_one_seals_the_other_opens_in_both_directions() {
    let (mut client, mut server) = two().await;
    for size in [1, 1000, LARGEST_PLAIN, LARGEST_PLAIN + 1, 200_000] {
        let message: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).expect("small")).collect();
        let mut there = sealed(&mut client, &message);
        assert_eq!(there.len(), size + size.div_ceil(LARGEST_PLAIN) * RECORD_OVERHEAD);
        let (plain, opened) = open(&mut server, &mut there);
        assert!(plain == message, "{size} bytes to the server");
        assert_eq!(opened.expect("opened").used, there.len());
        let mut back = sealed(&mut server, &message);
        assert!(open(&mut client, &mut back).0 == message, "{size} bytes to the client");
    }
}

#[tokio::test]
async fn an_incomplete_record_is_left_for_the_next_time() {
    let (mut client, mut server) = two().await;
    let mut bytes = sealed(&mut client, b"first");
    let whole = bytes.len();
    bytes.extend(sealed(&mut client, b"second"));
    let (plain, opened) = open(&mut server, &mut bytes[..whole + 1]);
    assert_eq!((plain, opened.expect("opened").used), (b"first".to_vec(), whole));
    for length in whole..bytes.len() {
        let (plain, opened) = open(&mut server, &mut bytes[whole..length]);
        assert_eq!((plain, opened.expect("opened").used), (Vec::new(), 0));
    }
    assert_eq!(open(&mut server, &mut bytes[whole..]).0, b"second");
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let (mut client, mut server) = two().await;
    let mut bytes = sealed(&mut client, b"last");
    client.records.close(&mut bytes);
    let (plain, opened) = open(&mut server, &mut bytes);
    assert_eq!(plain, b"last");
    assert!(opened.expect("opened").ended);
    let mut answer = sealed(&mut server, b"answer");
    server.records.close(&mut answer);
    let (plain, opened) = open(&mut client, &mut answer);
    assert_eq!(plain, b"answer");
    assert!(opened.expect("opened").ended);
}

#[tokio::test]
async fn a_changed_byte_is_an_error_and_an_alert_for_the_peer() {
    let (mut client, mut server) = two().await;
    let mut bytes = sealed(&mut client, b"message");
    *bytes.last_mut().expect("bytes") ^= 1;
    let (plain, opened) = open(&mut server, &mut bytes);
    assert!(plain.is_empty());
    opened.expect_err("changed");
    let mut alert = Vec::new();
    server.records.pending(&mut alert);
    assert!(!alert.is_empty());
    open(&mut client, &mut alert).1.expect_err("an alert");
}

#[tokio::test]
async fn data_right_behind_the_handshake_arrives() {
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let identities = SampleCa::new().identities(&[&cart, &web]);
    let (cart, server) = (of(&identities, &cart), of(&identities, &web));
    let (dialled, accepted) = pair("127.0.0.1").await;
    let expected = expect(&web);
    let dialling = async {
        let mut client = connect(&dialled, &cart, &expected, Protocol::Tcp)
            .await
            .expect("a client");
        let mut bytes = std::mem::take(&mut client.unsent);
        client.records.seal(b"at once", &mut bytes).expect("sealed");
        send(&dialled, &bytes).await;
        client
    };
    let (_client, server) = tokio::join!(dialling, accept(&accepted, &server, Vec::new()));
    let mut server = server.expect("a server");
    let mut unread = std::mem::take(&mut server.unread);
    assert_eq!(open(&mut server, &mut unread).0, b"at once");
}
