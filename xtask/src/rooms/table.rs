//! The table of the agent's rooms: change it first, in a commit of its own, when a room feels wrong.

/// A module of the agent, and the modules it may import.
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) imports: Imports,
}

/// What a room may import of the agent.
pub(super) enum Imports {
    /// These rooms.
    Only(&'static [&'static str]),
    /// All: the room composes the others.
    Everything,
}

/// A crate which only some rooms know: foreign types are converted at the door.
pub(super) struct Confined {
    pub(super) krate: &'static str,
    pub(super) rooms: &'static [&'static str],
}

/// Every room of agent/src. `main` is the program's entry; nothing may import it, nor `app`.
pub(super) const ROOMS: &[Room] = &[
    Room {
        name: "config",
        imports: Imports::Only(&[]),
    },
    Room {
        name: "net",
        imports: Imports::Only(&[]),
    },
    Room {
        name: "model",
        imports: Imports::Only(&[]),
    },
    Room {
        name: "telemetry",
        imports: Imports::Only(&["model"]),
    },
    Room {
        name: "tls",
        imports: Imports::Only(&["model", "net", "telemetry"]),
    },
    Room {
        name: "cluster",
        imports: Imports::Only(&["model", "telemetry"]),
    },
    Room {
        name: "store",
        imports: Imports::Only(&["model"]),
    },
    Room {
        name: "kernel",
        imports: Imports::Only(&["model", "net", "telemetry"]),
    },
    Room {
        name: "proxy",
        imports: Imports::Only(&["model", "net", "tls", "telemetry"]),
    },
    Room {
        name: "dns",
        imports: Imports::Only(&["model", "net", "telemetry"]),
    },
    Room {
        // Root's socket is made as that of cni is: by net.
        name: "admin",
        imports: Imports::Only(&["model", "net", "telemetry"]),
    },
    Room {
        // It issues what tls signs, for the pods that the manifests name.
        name: "ca",
        imports: Imports::Only(&["model", "net", "telemetry", "tls", "cluster"]),
    },
    Room {
        // It tells the kernel room of sandboxes, and the runtime when they are captured.
        name: "cni",
        imports: Imports::Only(&["model", "net", "telemetry", "kernel"]),
    },
    Room {
        // What only one may do in a cluster. It issues nothing, so it knows neither tls nor ca.
        name: "controller",
        imports: Imports::Only(&["model", "telemetry", "cluster"]),
    },
    Room {
        // Cleaning up takes the CNI plugin away too; of tls it takes until when the roots in a cluster are good.
        name: "cli",
        imports: Imports::Only(&["model", "net", "kernel", "telemetry", "tls", "cluster", "config", "cni"]),
    },
    Room {
        name: "app",
        imports: Imports::Everything,
    },
    Room {
        // As the CNI plugin the program starts past the command line.
        name: "main",
        imports: Imports::Only(&["app", "cli", "config", "cni"]),
    },
];

/// The crates that only the named rooms may use.
pub(super) const CONFINED: &[Confined] = &[
    Confined {
        krate: "agent_common",
        // The proxy tells net, which knows no mesh, the mark of its sockets; net reads by which numbers the kernel programs
        // tell of a socket; tls learns the mesh's id from its CA.
        rooms: &["model", "net", "kernel", "proxy", "tls", "cli", "app"],
    },
    Confined {
        krate: "aya",
        rooms: &["kernel"],
    },
    Confined {
        krate: "aya_log",
        rooms: &["kernel"],
    },
    Confined {
        krate: "clap",
        rooms: &["app", "config", "cli", "main"],
    },
    Confined {
        krate: "comfy_table",
        rooms: &["cli"],
    },
    Confined {
        krate: "gateway_api",
        rooms: &["cluster"],
    },
    Confined {
        krate: "hickory_proto",
        rooms: &["dns"],
    },
    Confined {
        krate: "k8s_openapi",
        rooms: &["cluster"],
    },
    Confined {
        krate: "kube",
        rooms: &["cluster"],
    },
    Confined {
        krate: "netlink_packet_core",
        rooms: &["net"],
    },
    Confined {
        krate: "netlink_packet_route",
        rooms: &["net"],
    },
    Confined {
        krate: "netlink_packet_sock_diag",
        rooms: &["net"],
    },
    Confined {
        krate: "netlink_sys",
        rooms: &["net"],
    },
    Confined {
        krate: "notify",
        // Manifests, and the runtime's folder of plugins.
        rooms: &["cluster", "cni"],
    },
    Confined {
        krate: "prometheus_client",
        // The registry is made by app and read by admin; families are telemetry's, the kernel's counters app's.
        rooms: &["telemetry", "admin", "app"],
    },
    Confined {
        krate: "aws_lc_rs",
        rooms: &["tls"],
    },
    Confined {
        krate: "tonic",
        rooms: &["tls"],
    },
    Confined {
        krate: "rcgen",
        rooms: &["tls"],
    },
    Confined {
        krate: "rustls",
        rooms: &["tls"],
    },
    Confined {
        krate: "tokio_rustls",
        rooms: &["tls"],
    },
    Confined {
        krate: "x509_parser",
        rooms: &["tls"],
    },
];

/// Crates which a room must do without, although others use them freely: the model is pure.
pub(super) const REFUSED: &[(&str, &str)] = &[("model", "tokio"), ("model", "nix"), ("model", "libc")];

/// Where `unsafe` may be written: system calls without a safe crate, layouts that aya copies, reads of a kernel context
/// and of map values, which other CPUs write.
pub(super) const UNSAFE: &[&str] = &[
    "agent/src/net",
    "agent/src/kernel",
    "agent-common/src",
    "agent-ebpf/src/ctx",
    "agent-ebpf/src/maps",
    "tests/balancer/src",
];

/// The folders whose files are checked.
pub(super) const CRATES: &[&str] = &["agent", "agent-common", "agent-ebpf", "tests", "xtask"];

/// File and folder names that say nothing of their content.
pub(super) const NAMELESS: &[&str] = &["common", "helper", "helpers", "misc", "mod", "util", "utils"];

/// The most lines of a file.
pub(super) const LONGEST_FILE: usize = 400;

/// The most lines of a `mod tests` inside a file; longer ones lie in a tests.rs.
pub(super) const LONGEST_TESTS: usize = 100;
