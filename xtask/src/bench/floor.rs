//! The floor proxy, in the places where agents stand: one for two pods of a node, a pair for two of different nodes.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    process::Command,
};

use anyhow::{Context as _, Result};
use harness::Netns;

use super::{
    layer::Layer,
    program::{Cpu, Program},
    release,
    topology::{Place, Pods},
};

/// Starts what stands between the pods for one layer, and returns where the client dials.
pub(super) fn start(pods: &Pods, place: Place, layer: Layer) -> Result<(Vec<Program>, SocketAddrV4)> {
    let (client, server) = (pods.client.netns(), pods.server(place));
    let local = |first| SocketAddrV4::new(Ipv4Addr::LOCALHOST, layer.beside(first));
    match place {
        Place::SameNode => {
            let one = local(ONE);
            let floor = floor(client, one, pods.address(place, layer), server.netns())?;
            Ok((vec![floor], one))
        }
        Place::AcrossNodes => {
            let near = local(NEAR);
            let far = SocketAddrV4::new(server.addresses().v4, layer.beside(FAR));
            let floors = vec![
                floor(server.netns(), far, pods.address(place, layer), server.netns())?,
                floor(client, near, far, client)?,
            ];
            Ok((floors, near))
        }
    }
}

/// The system calls which it has made so far.
pub(super) fn syscalls(floor: &mut Program) -> Result<u64> {
    floor.ask()?.parse().context("the floor answers by a number")
}

fn floor(netns: &Netns, listen: SocketAddrV4, upstream: SocketAddrV4, dials_from: &Netns) -> Result<Program> {
    let mut command = Command::new(release("floor"));
    command
        .arg(listen.to_string())
        .arg(upstream.to_string())
        .arg(dials_from.path());
    let mut floor = Program::start(netns, Cpu::Proxy, command)?;
    floor.line()?;
    Ok(floor)
}

const ONE: u16 = 15_000;
const NEAR: u16 = 15_003;
const FAR: u16 = 15_004;
