//! A real Kubernetes on one Linux machine without containers around it: the programs are built from pinned Go modules.
//!
//! ```text
//! Module ── Programs          what is built, of which version, and where it lies in the cache
//! Python                      packages of clients that tests run, and where they lie there
//! Authority ── Credentials    who is who: certificates and kubeconfigs
//! ControlPlane                etcd and kube-apiserver, alone or with what a cluster needs beside them
//! Machine                     namespaces, a root and cgroups of their own, and daemons in them
//! Cluster ── Node             a control plane and two nodes, each a Machine, on a network of their own
//! ```
//!
//! Nothing here builds anything or speaks to a person: `cargo xtask` does.

mod addons;
pub mod addressing;
mod boot;
mod cgroup;
mod cluster;
mod control_plane;
mod daemon;
mod kubeconfig;
mod kubectl;
mod machine;
mod module;
mod network;
mod node;
mod pki;
mod programs;
mod python;
mod root;

pub use boot::{boot, first};
pub use cluster::Cluster;
pub use control_plane::{ControlPlane, Place, Scope};
pub use daemon::Daemon;
pub use kubeconfig::Kubeconfig;
pub use kubectl::Kubectl;
pub use machine::Machine;
pub use module::{Kept, Module, Version};
pub use network::{Site, Subnet};
pub use node::Node;
pub use pki::{Authority, Credentials, Names};
pub use programs::{Program, Programs, cache};
pub use python::Python;

/// The tests for meshes that the conformance suite has, by its names.
pub const CONFORMANCE_TESTS: [&str; 22] = [
    "MeshBasic",
    "MeshConsumerRoute",
    "MeshFrontend",
    "MeshFrontendHostname",
    "MeshGRPCRouteWeight",
    "MeshHTTPRoute303Redirect",
    "MeshHTTPRoute307Redirect",
    "MeshHTTPRoute308Redirect",
    "MeshHTTPRouteBackendRequestHeaderModifier",
    "MeshHTTPRouteMatching",
    "MeshHTTPRouteNamedRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectHostAndStatus",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRequestHeaderModifier",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "MeshHTTPRouteSimpleSameNamespace",
    "MeshHTTPRouteWeight",
    "MeshPorts",
    "MeshTrafficSplit",
];

/// The image that holds a pod's namespaces open.
pub const PAUSE_IMAGE: &str = "weft.dev/pause:1";

/// The image of the cluster's DNS.
pub const COREDNS_IMAGE: &str = "weft.dev/coredns:1";

/// The image of the conformance suite's application, as the suite's manifests call it.
pub const ECHO_IMAGE: &str = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1";
