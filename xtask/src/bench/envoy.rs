//! The peer: two Envoy sidecars, each a TCP proxy of one thread, as a mesh of sidecars would place them.
//!
//! Across nodes they speak mutual TLS 1.3, with a connection of their own for each of the client's, as `tcp_proxy` does;
//! tickets spare handshakes as they do by default.
//!
//! Clients dial the first sidecar themselves: no redirection, which real sidecars pay for, is counted against it.

use std::{fs, net::SocketAddrV4, process::Command};

use anyhow::{Context as _, Result};
use harness::{Netns, wait};
use serde_json::{Value, json};

use super::{
    credentials::{Credentials, IDENTITY},
    metrics,
    program::{Cpu, Program},
    topology::{PORT, Place, Pods, Topology},
};
use crate::{process, setup};

/// Whose sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Starts both sidecars of a place and returns where the client's listens.
pub(super) fn start(topology: &Topology, pods: &Pods, place: Place) -> Result<(Vec<Program>, SocketAddrV4)> {
    let (server, port) = (pods.server(place), port(place));
    let inbound = SocketAddrV4::new(server.addresses().v4, INBOUND);
    let local = |port| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
    let credentials = match place {
        Place::SameNode => None,
        Place::AcrossNodes => Some(Credentials::make(&topology.lab.folder().join("envoy"))?),
    };
    let credentials = credentials.as_ref();
    let sidecars = vec![
        sidecar(
            topology,
            server.netns(),
            &config(inbound, local(PORT), Side::Server, credentials),
            inbound,
        )?,
        sidecar(
            topology,
            pods.client.netns(),
            &config(local(port), inbound, Side::Client, credentials),
            local(port),
        )?,
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

/// The configurations of the client's and the server's sidecar across nodes, but for addresses and files.
pub(super) fn described() -> [String; 2] {
    let any = SocketAddrV4::new([0, 0, 0, 0].into(), 0);
    let credentials = Credentials {
        root: "root.pem".into(),
        chain: "chain.pem".into(),
        key: "key.pem".into(),
    };
    [Side::Client, Side::Server].map(|side| config(any, any, side, Some(&credentials)).to_string())
}

/// The TLS handshakes of the server's sidecar across nodes: all, those by the cipher that Weft prefers, and those which a
/// ticket made short.
pub(super) fn handshakes(server: &Netns) -> Result<(f64, f64, f64)> {
    let text = metrics::get(server, ADMIN, "/stats/prometheus")?;
    let all = metrics::sum(&text, "envoy_listener_ssl_handshake", &[]);
    let wanted = metrics::sum(&text, "envoy_listener_ssl_ciphers", &[CIPHER]);
    let resumed = metrics::sum(&text, "envoy_listener_ssl_session_reused", &[]);
    Ok((all, wanted, resumed))
}

fn sidecar(topology: &Topology, netns: &Netns, config: &Value, listen: SocketAddrV4) -> Result<Program> {
    let file = topology
        .lab
        .folder()
        .join(format!("envoy-{}-{}.json", netns.name(), listen.port()));
    fs::write(&file, config.to_string())?;
    let mut command = Command::new(setup::envoy()?);
    command.arg("--config-path").arg(&file).args(ARGUMENTS);
    let envoy = Program::start(netns, Cpu::Proxy, command)?;
    wait::until(wait::PATIENCE, "Envoy listens", || {
        netns.run(|| std::net::TcpStream::connect(listen)).is_ok()
    });
    Ok(envoy)
}

/// Defaults, but for the limit of 1,024 connections to a cluster, which idle connections exceed.
fn config(listen: SocketAddrV4, upstream: SocketAddrV4, side: Side, credentials: Option<&Credentials>) -> Value {
    let address =
        |address: SocketAddrV4| json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } });
    let mut config = json!({ "static_resources": {
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
    } });
    if let Some(credentials) = credentials {
        let (pointer, context) = match side {
            Side::Client => ("/static_resources/clusters/0", "UpstreamTlsContext"),
            Side::Server => ("/static_resources/listeners/0/filter_chains/0", "DownstreamTlsContext"),
        };
        if let Some(part) = config.pointer_mut(pointer) {
            part["transport_socket"] = tls(context, side, credentials);
        }
        config["admin"] = json!({ "address": address(ADMIN) });
    }
    config
}

/// Mutual TLS 1.3. Its suites cannot be chosen in Envoy: [`handshakes`] tells which one was.
fn tls(context: &str, side: Side, credentials: &Credentials) -> Value {
    let mut typed = json!({
        "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}"),
        "common_tls_context": {
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificates": [{
                "certificate_chain": { "filename": credentials.chain },
                "private_key": { "filename": credentials.key },
            }],
            "validation_context": {
                "trusted_ca": { "filename": credentials.root },
                "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": IDENTITY } }],
            },
        },
    });
    if side == Side::Server {
        typed["require_client_certificate"] = true.into();
    }
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": typed })
}

fn port(place: Place) -> u16 {
    match place {
        Place::SameNode => 15_001,
        Place::AcrossNodes => 15_002,
    }
}

/// Where sidecars across nodes tell their statistics.
const ADMIN: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9901);
const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// Where the server's sidecar listens.
const INBOUND: u16 = 15_006;

/// One worker: it has one CPU.
pub(super) const ARGUMENTS: &[&str] = &["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
