//! Sockets as the kernel lists them.

use std::{
    io::{self, Read as _},
    net::{TcpListener, TcpStream},
};

use super::{super::*, namespace};

#[test]
fn sockets_are_listed_with_their_marks() {
    let Some(netns) = namespace("sockets_are_listed_with_their_marks") else {
        return;
    };
    for family in [Family::V4, Family::V6] {
        let ports = ListenerPorts::of(&netns, []).unwrap();
        let queue = Backlog::Namespace.queue(&netns).unwrap();
        let listener = listen(&netns, family, &ports, Mark(7), queue).unwrap();
        let address = listener.local_addr().unwrap();
        let connection = netns.run(|| TcpStream::connect(address)).unwrap().unwrap();

        let listed = ListedSocket::list(&netns, Listing::Listeners)
            .unwrap()
            .into_iter()
            .find(|socket| socket.local == address)
            .unwrap();
        let ours = find(&netns, &connection).unwrap();

        assert_eq!(
            (listed.mark, listed.state, listed.receive_queue),
            (Some(Mark(7)), TcpState::Listen, 1)
        );
        assert_eq!((ours.peer, ours.state, ours.uid), (address, TcpState::Established, 0));
    }
}

#[test]
fn a_destroyed_connection_ends_for_both() {
    let Some(netns) = namespace("a_destroyed_connection_ends_for_both") else {
        return;
    };
    let (_listener, mut ours, mut theirs) = connection(&netns, "[::]:80", "127.0.0.1:80");

    find(&netns, &theirs).unwrap().destroy(&netns).unwrap();

    assert_eq!(
        theirs.read(&mut [0]).unwrap_err().kind(),
        io::ErrorKind::ConnectionAborted
    );
    assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn to_destroy_what_is_gone_spares_the_listener() {
    let Some(netns) = namespace("to_destroy_what_is_gone_spares_the_listener") else {
        return;
    };
    let (_listener, ours, theirs) = connection(&netns, "127.0.0.1:80", "127.0.0.1:80");
    reset_on_close(&theirs).unwrap();
    let listed = find(&netns, &theirs).unwrap();
    drop((theirs, ours));

    listed.destroy(&netns).unwrap();
    listed.destroy(&netns).unwrap();

    assert!(netns.run(|| TcpStream::connect("127.0.0.1:80")).unwrap().is_ok());
}

#[test]
fn the_owner_of_a_port_is_found_with_its_cgroup() {
    let Some(netns) = namespace("the_owner_of_a_port_is_found_with_its_cgroup") else {
        return;
    };
    let _listener = netns.run(|| TcpListener::bind("127.0.0.1:10250")).unwrap().unwrap();

    let owner = PortOwner::find(&netns, 10250).unwrap();

    assert_eq!(owner.map(|owner| owner.pid), Some(std::process::id()));
    assert_eq!(PortOwner::find(&netns, 10251).unwrap(), None);
}

#[test]
fn connections_beyond_the_backlog_are_counted() {
    let Some(netns) = namespace("connections_beyond_the_backlog_are_counted") else {
        return;
    };
    Sysctl::new("net/core/somaxconn").write(&netns, "1").unwrap();
    let ports = ListenerPorts::of(&netns, []).unwrap();
    let queue = Backlog::Namespace.queue(&netns).unwrap();
    let listener = listen(&netns, Family::V4, &ports, Mark(0), queue).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(listen_overflows(&netns).unwrap(), 0);

    let waiting: Vec<_> = (0..4)
        .map(|_| netns.run(|| socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)))
        .map(|socket| socket.unwrap().unwrap())
        .inspect(|socket| {
            socket.set_nonblocking(true).unwrap();
            socket.connect(&address.into()).unwrap_err();
        })
        .collect();

    assert!(listen_overflows(&netns).unwrap() > 0);
    drop(waiting);
}

fn connection(netns: &NetNs, at: &str, to: &str) -> (TcpListener, TcpStream, TcpStream) {
    netns
        .run(|| {
            let listener = TcpListener::bind(at).unwrap();
            let ours = TcpStream::connect(to).unwrap();
            let (theirs, _) = listener.accept().unwrap();
            (listener, ours, theirs)
        })
        .unwrap()
}

/// The listing's entry of a socket.
fn find(netns: &NetNs, socket: &TcpStream) -> Option<ListedSocket> {
    let canonical = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
    let (local, peer) = (
        canonical(socket.local_addr().unwrap()),
        canonical(socket.peer_addr().unwrap()),
    );
    ListedSocket::list(netns, Listing::Connections)
        .unwrap()
        .into_iter()
        .find(|listed| canonical(listed.local) == local && canonical(listed.peer) == peer)
}
