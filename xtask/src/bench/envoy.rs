//! The peer: two Envoy sidecars, each a plain TCP proxy of one thread, as a mesh of sidecars would place them.
//!
//! Clients dial the first sidecar themselves: no redirection, which real sidecars pay for, is counted against it.

use std::{fs, net::SocketAddrV4, process::Command};

use anyhow::{Context as _, Result};
use harness::{Netns, wait};
use serde_json::{Value, json};

use super::{
    program::{Cpu, Program},
    topology::{PORT, Place, Pods, Topology},
};
use crate::{process, setup};

/// Starts both sidecars of a place and returns where the client's listens.
pub(super) fn start(topology: &Topology, pods: &Pods, place: Place) -> Result<(Vec<Program>, SocketAddrV4)> {
    let (server, port) = (pods.server(place), port(place));
    let inbound = SocketAddrV4::new(server.addresses().v4, INBOUND);
    let local = |port| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
    let sidecars = vec![
        sidecar(topology, server.netns(), inbound, local(PORT))?,
        sidecar(topology, pods.client.netns(), local(port), inbound)?,
    ];
    Ok((sidecars, local(port)))
}

/// What it calls itself.
pub(super) fn version() -> Result<String> {
    let printed = process::output(Command::new(setup::envoy()?).arg("--version"))?;
    let version = printed
        .lines()
        .find(|line| line.contains("version"))
        .context("Envoy has a version")?;
    Ok(version.split_whitespace().last().unwrap_or_default().to_owned())
}

/// Its configuration, but for the addresses.
pub(super) fn described() -> String {
    config(
        SocketAddrV4::new([0, 0, 0, 0].into(), 0),
        SocketAddrV4::new([0, 0, 0, 0].into(), 0),
    )
    .to_string()
}

fn sidecar(topology: &Topology, netns: &Netns, listen: SocketAddrV4, upstream: SocketAddrV4) -> Result<Program> {
    let file = topology
        .lab
        .folder()
        .join(format!("envoy-{}-{}.json", netns.name(), listen.port()));
    fs::write(&file, config(listen, upstream).to_string())?;
    let mut command = Command::new(setup::envoy()?);
    command.arg("--config-path").arg(&file).args(ARGUMENTS);
    let envoy = Program::start(netns, Cpu::Proxy, command)?;
    wait::until(wait::PATIENCE, "Envoy listens", || {
        netns.run(|| std::net::TcpStream::connect(listen)).is_ok()
    });
    Ok(envoy)
}

/// Defaults, but for the limit of 1,024 connections to a cluster, which idle connections exceed.
fn config(listen: SocketAddrV4, upstream: SocketAddrV4) -> Value {
    let address =
        |address: SocketAddrV4| json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } });
    json!({ "static_resources": {
        "listeners": [{
            "name": "listener",
            "address": address(listen),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "tcp",
                    "cluster": "server",
                },
            }] }],
        }],
        "clusters": [{
            "name": "server",
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": { "thresholds": [{ "max_connections": 1_000_000 }] },
            "load_assignment": {
                "cluster_name": "server",
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(upstream) } }] }],
            },
        }],
    } })
}

fn port(place: Place) -> u16 {
    match place {
        Place::SameNode => 15_001,
        Place::AcrossNodes => 15_002,
    }
}

/// Where the server's sidecar listens.
const INBOUND: u16 = 15_006;

/// One worker: it has one CPU.
pub(super) const ARGUMENTS: &[&str] = &["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
