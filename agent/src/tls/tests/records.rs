//! Bytes through the records of a connection.

use super::{super::protection::Content, *};

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

#[tokio::test]
async fn keys_are_renewed_in_both_directions_when_a_peer_asks() {
    let (mut client, mut server) = two().await;
    for _again in 0..3 {
        let mut bytes = sealed(&mut client, b"old key");
        client.records.renew_writing(1, &mut bytes).expect("renewed");
        bytes.extend(sealed(&mut client, b", new key"));
        let (plain, opened) = open(&mut server, &mut bytes);
        opened.expect("opened");
        assert_eq!(plain, b"old key, new key");
        let mut answer = sealed(&mut server, b"answer");
        let (plain, opened) = open(&mut client, &mut answer);
        opened.expect("opened");
        assert_eq!(plain, b"answer");
    }
}

#[tokio::test]
async fn a_message_cut_over_two_records_may_have_our_bytes_between() {
    let (mut client, mut server) = two().await;
    let mut bytes = Vec::new();
    server.records.say(Content::Handshake, &[24, 0], &mut bytes);
    open(&mut client, &mut bytes).1.expect("the beginning of a message");
    let mut there = sealed(&mut client, b"meanwhile");
    assert_eq!(open(&mut server, &mut there).0, b"meanwhile");
    let mut rest = Vec::new();
    server.records.say(Content::Handshake, &[0, 1, 9], &mut rest);
    let (_, opened) = open(&mut client, &mut rest);
    assert!(matches!(opened, Err(TlsError::Record(BadRecord::Unreadable))));
}

#[tokio::test]
async fn what_may_not_come_after_the_handshake_ends_the_connection_with_an_alert() {
    type Says = &'static [(Content, &'static [u8])];
    let cases: [(Says, BadRecord); 4] = [
        // A ticket, from a client.
        (&[(Content::Handshake, &[4, 0, 0, 0])], BadRecord::Unexpected),
        // Data between the parts of a message.
        (
            &[(Content::Handshake, &[24, 0]), (Content::Data, b"x")],
            BadRecord::Unexpected,
        ),
        // A message of 16 MiB.
        (&[(Content::Handshake, &[4, 255, 255, 255])], BadRecord::Unreadable),
        (&[(Content::Alert, &[1])], BadRecord::Unexpected),
    ];
    for (says, reason) in cases {
        let (mut client, mut server) = two().await;
        let mut bytes = Vec::new();
        for (content, plain) in says {
            client.records.say(*content, plain, &mut bytes);
        }
        let (plain, opened) = open(&mut server, &mut bytes);
        assert!(plain.is_empty());
        assert!(
            matches!(&opened, Err(TlsError::Record(found)) if *found == reason),
            "{says:?}: {opened:?}"
        );
        let mut alert = Vec::new();
        server.records.pending(&mut alert);
        open(&mut client, &mut alert).1.expect_err("an alert");
        let (_, again) = open(&mut server, &mut sealed(&mut client, b"more"));
        again.expect_err("nothing more is read");
    }
}

#[tokio::test]
async fn bytes_that_are_no_records_are_refused_and_never_panic() {
    let (_, mut server) = two().await;
    let cases: [(&[u8], BadRecord); 3] = [
        (b"GET / HTTP/1.1", BadRecord::Plain),
        (&[22, 3, 3, 0, 1, 0], BadRecord::Plain),
        (&[23, 3, 3, 255, 255], BadRecord::TooLong),
    ];
    for (bytes, reason) in cases {
        let (_, mut fresh) = two().await;
        let (_, opened) = open(&mut fresh, &mut bytes.to_vec());
        assert!(matches!(opened, Err(TlsError::Record(found)) if found == reason));
    }
    let (_, opened) = open(&mut server, &mut [23, 3, 3, 0, 17]);
    assert_eq!(opened.expect("a record that is not whole").used, 0);
    let mut zeros = vec![0; 22];
    zeros[..5].copy_from_slice(&[23, 3, 3, 0, 17]);
    open(&mut server, &mut zeros).1.expect_err("not made with this key");
}
