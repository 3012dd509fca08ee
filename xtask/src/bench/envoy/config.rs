//! Envoy's configuration: defaults, but for the limits which the load exceeds.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::bench::{
    credentials::{Credentials, IDENTITY},
    layer::Layer,
};

/// What a listener takes, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) layer: Layer,
    pub(super) listen: SocketAddrV4,
    pub(super) upstream: SocketAddrV4,
}

/// Which side of an Envoy speaks mutual TLS.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tls<'a> {
    None,
    /// A client's sidecar.
    ToServers(&'a Credentials),
    /// A server's sidecar.
    FromClients(&'a Credentials),
}

/// The configuration of an Envoy; `admin` is where it tells its statistics.
pub(super) fn config(lines: &[Line], tls: Tls<'_>, admin: SocketAddrV4) -> Value {
    json!({
        "admin": { "address": address(admin) },
        "static_resources": {
            "listeners": lines.iter().map(|line| listener(line, tls)).collect::<Vec<_>>(),
            "clusters": lines.iter().map(|line| cluster(line, tls)).collect::<Vec<_>>(),
        },
    })
}

/// The configurations of the client's and the server's sidecar across nodes, but for addresses and files.
pub(in crate::bench) fn described() -> [String; 2] {
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let lines = Layer::ALL.map(|layer| Line {
        layer,
        listen: any,
        upstream: any,
    });
    let [root, chain, key] = ["root.pem", "chain.pem", "key.pem"].map(PathBuf::from);
    let credentials = Credentials { root, chain, key };
    [Tls::ToServers(&credentials), Tls::FromClients(&credentials)].map(|tls| config(&lines, tls, any).to_string())
}

fn listener(line: &Line, tls: Tls<'_>) -> Value {
    let name = line.layer.port_name();
    let filter = match line.layer {
        Layer::Bytes => json!({
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": name,
                "cluster": name,
            },
        }),
        Layer::Http1 | Layer::Http2 => json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "route_config": { "virtual_hosts": [{
                    "name": name,
                    "domains": ["*"],
                    "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": name } }],
                }] },
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                }],
            },
        }),
    };
    let mut chain = json!({ "filters": [filter] });
    if let Tls::FromClients(credentials) = tls {
        chain["transport_socket"] = transport("DownstreamTlsContext", credentials, line.layer);
        chain["transport_socket"]["typed_config"]["require_client_certificate"] = true.into();
    }
    json!({ "name": name, "address": address(line.listen), "filter_chains": [chain] })
}

/// Idle connections exceed the limit of 1,024 connections to a cluster.
fn cluster(line: &Line, tls: Tls<'_>) -> Value {
    let name = line.layer.port_name();
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": { "thresholds": [{ "max_connections": 1_000_000 }] },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(line.upstream) } }] }],
        },
    });
    if line.layer == Layer::Http2 {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        });
    }
    if let Tls::ToServers(credentials) = tls {
        cluster["transport_socket"] = transport("UpstreamTlsContext", credentials, line.layer);
    }
    cluster
}

/// Mutual TLS 1.3. Its suites cannot be chosen in Envoy: the server's statistics tell which one was.
fn transport(context: &str, credentials: &Credentials, layer: Layer) -> Value {
    let alpn: &[&str] = match layer {
        Layer::Bytes => &[],
        Layer::Http1 => &["http/1.1"],
        Layer::Http2 => &["h2"],
    };
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}"),
            "common_tls_context": {
                "alpn_protocols": alpn,
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
        },
    })
}

fn address(address: SocketAddrV4) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
