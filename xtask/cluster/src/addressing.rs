//! The addresses inside a cluster. Nobody outside its namespaces meets them, so all clusters have the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The ranges of the services, IPv4 first: the first family is what a service without a wish gets.
pub const SERVICES: &str = "10.96.0.0/16,fd77:6566:74:96::/108";

/// The ranges of all pods.
pub const PODS: &str = "10.244.0.0/16,fd77:6566:74:244::/56";

/// The API server's own service.
pub const API_SERVICE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0x6566, 0x74, 0x96, 0, 0, 0, 1)),
];

/// The DNS service, as every pod is told.
pub const DNS_SERVICE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)),
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0x6566, 0x74, 0x96, 0, 0, 0, 10)),
];

/// The domain of the services' names.
pub const DOMAIN: &str = "cluster.local";
