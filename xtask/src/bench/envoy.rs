//! The peer: Envoy, one thread each, as a mesh would place it.
//!
//! Two sidecars, or one that a node's pods share and that passes requests in plaintext. Across nodes sidecars speak mutual
//! TLS 1.3: with a connection of their own for each of the client's where they carry bytes, as `tcp_proxy` does, and with
//! pooled ones for requests; tickets spare handshakes as they do by default.
//!
//! Clients dial the first Envoy themselves: no redirection, which real ones pay for, is counted against it.

mod config;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    process::Command,
};

use anyhow::{Context as _, Result};
use harness::{Netns, wait};

pub(super) use self::config::described;
use self::config::{Line, Tls, config};
use super::{
    credentials::Credentials,
    layer::Layer,
    metrics,
    program::{Cpu, Program},
    topology::{Place, Pods, Topology},
};
use crate::{process, setup};

/// The Envoys of a way, and where the client dials them.
pub(super) struct Envoys {
    pub(super) programs: Vec<Program>,
    first: u16,
}

// === impl Envoys ===

impl Envoys {
    /// Starts both sidecars of a place.
    pub(super) fn sidecars(topology: &Topology, pods: &Pods, place: Place) -> Result<Self> {
        let server = pods.server(place);
        let (first, admin) = match place {
            Place::SameNode => (15_001, 9901),
            Place::AcrossNodes => (15_002, 9902),
        };
        let credentials = match place {
            Place::SameNode => None,
            Place::AcrossNodes => Some(Credentials::make(&topology.lab.folder().join("envoy"))?),
        };
        let from_clients = credentials.as_ref().map_or(Tls::None, Tls::FromClients);
        let to_servers = credentials.as_ref().map_or(Tls::None, Tls::ToServers);
        let inbound = |layer: Layer| SocketAddrV4::new(server.addresses().v4, layer.beside(INBOUND));
        let theirs = Layer::ALL.map(|layer| Line {
            layer,
            listen: inbound(layer),
            upstream: local(layer.port()),
        });
        let ours = Layer::ALL.map(|layer| Line {
            layer,
            listen: local(layer.beside(first)),
            upstream: inbound(layer),
        });
        let programs = vec![
            start(topology, server.netns(), &theirs, from_clients, ADMIN)?,
            start(topology, pods.client.netns(), &ours, to_servers, admin)?,
        ];
        Ok(Self { programs, first })
    }

    /// Starts the one that a node's pods share, beside the client.
    pub(super) fn shared(topology: &Topology, pods: &Pods) -> Result<Self> {
        let lines = Layer::ALL.map(|layer| Line {
            layer,
            listen: local(layer.beside(SHARED)),
            upstream: pods.address(Place::SameNode, layer),
        });
        let envoy = start(topology, pods.client.netns(), &lines, Tls::None, 9903)?;
        Ok(Self {
            programs: vec![envoy],
            first: SHARED,
        })
    }

    /// Where the client dials.
    pub(super) fn address(&self, layer: Layer) -> SocketAddrV4 {
        local(layer.beside(self.first))
    }
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

/// The TLS handshakes of the server's sidecar across nodes: all, those by the cipher that Weft prefers, and those which a
/// ticket made short.
pub(super) fn handshakes(server: &Netns) -> Result<(f64, f64, f64)> {
    let text = metrics::get(server, local(ADMIN), "/stats/prometheus")?;
    let all = metrics::sum(&text, "envoy_listener_ssl_handshake", &[]);
    let wanted = metrics::sum(&text, "envoy_listener_ssl_ciphers", &[CIPHER]);
    let resumed = metrics::sum(&text, "envoy_listener_ssl_session_reused", &[]);
    Ok((all, wanted, resumed))
}

fn start(topology: &Topology, netns: &Netns, lines: &[Line], tls: Tls<'_>, admin: u16) -> Result<Program> {
    let file = topology
        .lab
        .folder()
        .join(format!("envoy-{}-{admin}.json", netns.name()));
    fs::write(&file, config(lines, tls, local(admin)).to_string())?;
    let mut command = Command::new(setup::envoy()?);
    command.arg("--config-path").arg(&file).args(ARGUMENTS);
    let envoy = Program::start(netns, Cpu::Proxy, command)?;
    for line in lines {
        wait::until(wait::PATIENCE, "Envoy listens", || {
            netns.run(|| std::net::TcpStream::connect(line.listen)).is_ok()
        });
    }
    Ok(envoy)
}

fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// Where a server's sidecar tells its statistics.
const ADMIN: u16 = 9901;

/// Where a server's sidecar begins to listen.
const INBOUND: u16 = 15_006;

/// Where the shared one begins to listen.
const SHARED: u16 = 15_005;

/// One worker: it has one CPU.
pub(super) const ARGUMENTS: &[&str] = &["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
