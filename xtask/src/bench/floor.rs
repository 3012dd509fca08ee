//! The floor proxy, in the place where the agent stands for two pods of one node.

use std::{net::SocketAddrV4, process::Command};

use anyhow::{Context as _, Result};

use super::{
    program::{Cpu, Program},
    release,
    topology::{Place, Pods},
};

/// Starts it between the pods and returns where it listens.
pub(super) fn start(pods: &Pods) -> Result<(Program, SocketAddrV4)> {
    let mut command = Command::new(release("floor"));
    let server = pods.server(Place::SameNode).netns().path();
    command
        .arg(LISTEN.to_string())
        .arg(pods.address(Place::SameNode).to_string())
        .arg(server);
    let mut floor = Program::start(pods.client.netns(), Cpu::Proxy, command)?;
    floor.line()?;
    Ok((floor, LISTEN))
}

/// The system calls which it has made so far.
pub(super) fn syscalls(floor: &mut Program) -> Result<u64> {
    floor.ask()?.parse().context("the floor answers by a number")
}

const LISTEN: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 15_000);
