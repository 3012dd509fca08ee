//! What was said, as it is read from a socket.

use agent_common::priority::{SPEAKS, UNKNOWN};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::{super::*, namespace};

#[test]
fn what_was_said_is_read_once_and_leaves_no_priority() {
    let Some(netns) = namespace("what_was_said_is_read_once_and_leaves_no_priority") else {
        return;
    };
    let told = [(SPEAKS, Spoken::Mesh), (UNKNOWN, Spoken::Unknown)];
    for (priority, said) in told {
        let socket = socket(&netns, priority);
        assert_eq!(spoken(&socket).unwrap(), said);
        assert_eq!(spoken(&socket).unwrap(), Spoken::No);
        assert_eq!(getsockopt(&socket, sockopt::Priority).unwrap(), 0);
    }
}

#[test]
fn a_priority_that_somebody_else_set_says_nothing_and_stays() {
    let Some(netns) = namespace("a_priority_that_somebody_else_set_says_nothing_and_stays") else {
        return;
    };
    let socket = socket(&netns, 5);
    assert_eq!(spoken(&socket).unwrap(), Spoken::No);
    assert_eq!(getsockopt(&socket, sockopt::Priority).unwrap(), 5);
}

fn socket(netns: &NetNs, priority: u32) -> Socket {
    let socket = netns
        .run(|| Socket::new(Domain::IPV4, Type::STREAM, None))
        .unwrap()
        .unwrap();
    setsockopt(&socket, sockopt::Priority, &i32::try_from(priority).unwrap()).unwrap();
    socket
}
