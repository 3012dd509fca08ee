//! Datagrams in others' names.

use std::net::{SocketAddr, UdpSocket};

use super::{super::*, namespace};

#[tokio::test]
async fn a_captured_datagram_tells_whom_it_was_meant_for() {
    let Some(netns) = namespace("a_captured_datagram_tells_whom_it_was_meant_for") else {
        return;
    };
    let ports = ListenerPorts::of(&netns, []).unwrap();
    for (family, loopback) in [(Family::V4, "127.0.0.1:0"), (Family::V6, "[::1]:0")] {
        let socket = CapturedDatagrams::open(&netns, family, &ports, Mark(1)).unwrap();
        let address = socket.local_addr().unwrap();
        let captured = CapturedDatagrams::new(socket).unwrap();
        let sender = netns.run(|| UdpSocket::bind(loopback)).unwrap().unwrap();
        sender.send_to(b"hello", address).unwrap();

        let mut buffer = [0; 16];
        let datagram = captured.receive(&mut buffer).await.unwrap();

        assert_eq!(
            datagram,
            CapturedDatagram {
                length: 5,
                source: sender.local_addr().unwrap(),
                original_destination: address,
            }
        );
    }
}

#[test]
fn a_datagram_is_sent_in_anothers_name_whoever_has_the_port() {
    let Some(netns) = namespace("a_datagram_is_sent_in_anothers_name_whoever_has_the_port") else {
        return;
    };
    for (family, any, own, other) in [
        (Family::V4, "0.0.0.0:53", "127.0.0.1:0", "10.96.0.10:53"),
        (Family::V6, "[::]:53", "[::1]:0", "[fd00::a]:53"),
    ] {
        let other: SocketAddr = other.parse().unwrap();
        let _server = netns.run(|| UdpSocket::bind(any)).unwrap().unwrap();
        let receiver = netns.run(|| UdpSocket::bind(own)).unwrap().unwrap();
        let sender = ForeignSender::open(&netns, family, Mark(1)).unwrap();

        for length in [0, 5, 500, 60_000] {
            let payload = vec![7; length];
            sender.send(other, receiver.local_addr().unwrap(), &payload).unwrap();
            let mut buffer = vec![0; 65_535];
            assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (length, other));
            assert_eq!(&buffer[..length], payload);
        }
    }
}
