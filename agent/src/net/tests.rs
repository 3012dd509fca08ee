//! Tests against this machine's kernel, in namespaces of their own that nothing outlives.

mod datagrams;
mod greetings;
mod legs;
mod listeners;
mod namespaces;
mod pods;
mod routing;
mod silence;
mod sockets;

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    process::{self, Command},
    sync::mpsc,
    thread,
};

use nix::sched::{CloneFlags, unshare};

use super::NetNs;

/// Makes a namespace with its loopback up, which ends with the handle; none, and says so, where this user may not.
pub(crate) fn namespace(test: &str) -> Option<NetNs> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let made = unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| error.to_string())
            .and_then(|()| NetNs::current().map_err(|error| error.to_string()));
        sender.send(made).unwrap();
    });
    match receiver.recv().unwrap() {
        Ok(netns) => {
            ip(&netns, "link set lo up");
            Some(netns)
        }
        Err(reason) => {
            println!("SKIP {test}: no network namespace can be made: {reason}");
            None
        }
    }
}

/// Runs ip(8) in a namespace.
pub(crate) fn ip(netns: &NetNs, arguments: &str) -> String {
    let output = netns
        .run(|| Command::new("ip").args(arguments.split_whitespace()).output())
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Joins two namespaces by a veth pair; each calls its end `eth0`.
pub(crate) fn wire(one: &NetNs, other: &NetNs) {
    let other = format!("/proc/{}/fd/{}", process::id(), other.as_fd().as_raw_fd());
    ip(one, &format!("link add eth0 type veth peer name eth0 netns {other}"));
}
