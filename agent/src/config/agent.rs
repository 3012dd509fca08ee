//! What `weft agent` takes.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{CaClientConfig, CniConfig, LogConfig, Switch, node_name};

/// Run the agent of one node
///
/// It reads the mesh from Kubernetes, or from a folder of manifests. It captures the connections of the node's enrolled pods and proxies them, until SIGTERM or SIGINT.
#[derive(Args, Clone, Debug)]
#[command(after_help = AGENT_EXAMPLES)]
pub struct AgentConfig {
    /// Read the mesh from the YAML manifests of this folder and follow their changes, instead of Kubernetes
    #[arg(long, value_name = "DIR", env = "WEFT_MANIFESTS", conflicts_with = "kubeconfig")]
    pub manifests: Option<PathBuf>,

    /// Read the mesh from the API server of this kubeconfig's current context [default: that of the cluster in whose pod
    /// the agent runs]
    #[arg(long, value_name = "FILE", env = "WEFT_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// Serve the pods whose spec.nodeName is this; names the agent's pins too
    #[arg(long, value_name = "NAME", env = "WEFT_NODE", value_parser = node_name)]
    pub node: String,

    /// Where the agent hooks into the kernel.
    #[command(flatten)]
    pub kernel: KernelConfig,

    /// What the proxy may use.
    #[command(flatten)]
    pub proxy: ProxyConfig,

    /// Who signs the pods' certificates.
    #[command(flatten)]
    pub ca: CaClientConfig,

    /// How pods are held until they are captured.
    #[command(flatten)]
    pub cni: CniConfig,

    /// What the agent tells.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,

    /// Serve /metrics, /readyz and /livez here; keep it on an address which pods cannot reach
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15020", env = "WEFT_ADMIN")]
    pub admin: SocketAddr,

    /// The socket of `weft debug` [default: /run/weft/<node>.sock]
    #[arg(long, value_name = "PATH", env = "WEFT_SOCKET")]
    pub socket: Option<PathBuf>,

    /// Keep the last known mesh here, without keys, for a start while its source is away [default: /var/lib/weft/<node>]
    #[arg(long, value_name = "DIR", env = "WEFT_STATE")]
    pub state: Option<PathBuf>,
}

/// Where the mesh comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshSource<'a> {
    /// A folder of manifests.
    Manifests(&'a Path),
    /// An API server.
    Kubernetes {
        /// The file that says which; none for that of the cluster in which this pod runs.
        kubeconfig: Option<&'a Path>,
    },
}

/// Where the agent hooks into the kernel.
#[derive(Args, Clone, Debug)]
pub struct KernelConfig {
    /// The cgroup2 folder above all pods [default: the root of the cgroup2 mount]
    #[arg(long, value_name = "DIR", env = "WEFT_CGROUP")]
    pub cgroup: Option<PathBuf>,

    /// The kubelet's cgroup2 folder, whose probes pass the mesh [default: that of the owner of TCP port 10250]
    #[arg(long, value_name = "DIR", env = "WEFT_KUBELET_CGROUP")]
    pub kubelet_cgroup: Option<PathBuf>,

    /// The BPF file system that holds the pins
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf", env = "WEFT_BPFFS")]
    pub bpffs: PathBuf,

    /// Let the kernel programs log at debug level
    #[arg(long, env = "WEFT_KERNEL_LOG")]
    pub kernel_log: bool,

    /// Answer the DNS queries of enrolled pods for the services of the mesh [default: on with --manifests; off with
    /// Kubernetes, whose own DNS knows them]
    #[arg(long, value_name = "SWITCH", env = "WEFT_DNS")]
    pub dns: Option<Switch>,
}

/// What the proxy may use.
#[derive(Args, Clone, Debug)]
pub struct ProxyConfig {
    /// Threads that carry connections [default: one per core given to the agent]
    #[arg(long, value_name = "N", env = "WEFT_LANES")]
    pub lanes: Option<NonZeroUsize>,

    /// Connections that one pod may hold
    #[arg(
        long,
        value_name = "N",
        default_value = "10000",
        env = "WEFT_MAX_CONNECTIONS_PER_POD"
    )]
    pub max_connections_per_pod: NonZeroU32,

    /// Bytes that one pod's connections may hold in the agent's buffers
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "67108864",
        env = "WEFT_MAX_BUFFER_PER_POD"
    )]
    pub max_buffer_per_pod: NonZeroU64,

    /// Bytes that all connections may hold in the agent's buffers
    #[arg(long, value_name = "BYTES", default_value = "536870912", env = "WEFT_MAX_BUFFER")]
    pub max_buffer: NonZeroU64,

    /// How long to wait for an endpoint to answer
    #[arg(long, value_name = "DURATION", default_value = "5s", env = "WEFT_CONNECT_TIMEOUT", value_parser = humantime::parse_duration)]
    pub connect_timeout: Duration,

    /// Source ports of connections to applications, which bear their client's address; clients should choose none of
    /// them for themselves [default: 10000-32767]
    #[arg(long, value_name = "LOW-HIGH", env = "WEFT_LEG_PORTS")]
    pub leg_ports: Option<PortRange>,

    /// Keep connections between agents for their pods' next ones; off, each costs a full handshake
    #[arg(long, value_name = "SWITCH", default_value = "on", env = "WEFT_POOL")]
    pub pool: Switch,

    /// How long after mutual TLS with a pod of another node its plaintext is refused where it is not Strict
    #[arg(long, value_name = "DURATION", default_value = "5m", env = "WEFT_PEER_MEMORY", value_parser = humantime::parse_duration)]
    pub peer_memory: Duration,

    /// How long a client may take for the head of an HTTP/1 request, from its first byte to its last; then it gets 408
    #[arg(long, value_name = "DURATION", default_value = "30s", env = "WEFT_HTTP_HEAD_TIMEOUT", value_parser = humantime::parse_duration)]
    pub http_head_timeout: Duration,

    /// How long an HTTP client may read nothing of a response that waits for it, or send nothing of a body that its
    /// upstream asks for before it answers
    #[arg(long, value_name = "DURATION", default_value = "5m", env = "WEFT_HTTP_STALL_TIMEOUT", value_parser = humantime::parse_duration)]
    pub http_stall_timeout: Duration,

    /// How long an HTTP client's connection may be without a request
    #[arg(long, value_name = "DURATION", default_value = "1h", env = "WEFT_HTTP_IDLE_TIMEOUT", value_parser = humantime::parse_duration)]
    pub http_idle_timeout: Duration,

    /// How long connections may go on after SIGTERM; all but the last second of it, new ones are served beside them
    #[arg(long, value_name = "DURATION", default_value = "30s", env = "WEFT_DRAIN", value_parser = humantime::parse_duration)]
    pub drain: Duration,
}

/// What the agent tells.
#[derive(Args, Clone, Debug)]
pub struct TelemetryConfig {
    /// One record per connection on standard output
    #[arg(long, value_name = "FORMAT", default_value = "json", env = "WEFT_ACCESS_LOG")]
    pub access_log: AccessLog,

    /// The agent's own log.
    #[command(flatten)]
    pub log: LogConfig,
}

/// The form of the connection records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    /// One JSON object a line.
    Json,
    /// One line of `key=value`.
    Text,
    /// None.
    Off,
}

/// Some ports in a row, written `10000-32767`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

/// Text that is no [`PortRange`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("two ports from 1024 up, the lower first, as in 10000-32767")]
pub struct PortRangeError;

// === impl AgentConfig ===

impl AgentConfig {
    /// Where the mesh comes from.
    pub fn source(&self) -> MeshSource<'_> {
        match &self.manifests {
            Some(folder) => MeshSource::Manifests(folder),
            None => MeshSource::Kubernetes {
                kubeconfig: self.kubeconfig.as_deref(),
            },
        }
    }

    /// Whether DNS queries are answered.
    pub fn dns(&self) -> Switch {
        let default = match self.source() {
            MeshSource::Manifests(_) => Switch::On,
            MeshSource::Kubernetes { .. } => Switch::Off,
        };
        self.kernel.dns.unwrap_or(default)
    }

    /// The path of the debug socket.
    pub fn socket_path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| default_socket(&self.node))
    }

    /// The folder in which the last known mesh is kept.
    pub fn state_path(&self) -> PathBuf {
        let default = || PathBuf::from("/var/lib/weft").join(&self.node);
        self.state.clone().unwrap_or_else(default)
    }
}

// === impl PortRange ===

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (low, high) = text.split_once('-').ok_or(PortRangeError)?;
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port >= UNPRIVILEGED);
        let (low, high) = port(low).zip(port(high)).ok_or(PortRangeError)?;
        (low <= high).then_some(Self(low..=high)).ok_or(PortRangeError)
    }
}

impl From<PortRange> for RangeInclusive<u16> {
    fn from(range: PortRange) -> Self {
        range.0
    }
}

/// Where an agent's debug socket lies when nothing else is said.
///
/// A node's name may be longer than the path of a socket (`sun_path`, 108 bytes): a hash stands for its end.
pub fn default_socket(node: &str) -> PathBuf {
    if node.len() <= LONGEST_NAME {
        return PathBuf::from(format!("/run/weft/{node}.sock"));
    }
    let start: String = node.chars().take(LONGEST_NAME).collect();
    // FNV-1a: the same in every build.
    let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    PathBuf::from(format!("/run/weft/{start}-{hash:016x}.sock"))
}

/// Ports below belong to services.
const UNPRIVILEGED: u16 = 1024;
/// A name of more letters is shortened to this and a hash.
const LONGEST_NAME: usize = 72;
const AGENT_EXAMPLES: &str = "\
Examples:
  weft agent --manifests ./mesh --node node-1
  weft agent --kubeconfig ~/.kube/config --node node-1
  weft agent --manifests ./mesh --node node-1 --access-log text --log debug
  weft agent --manifests ./mesh --node node-1 --ca https://10.0.0.1:15012 --ca-token ./node-1.token

Enrol a namespace by the label weft.dev/mesh: enabled. Check manifests first by 'weft validate DIR'.
In a pod, as the DaemonSet runs it, neither --manifests nor --kubeconfig is needed.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        agent: AgentConfig,
    }

    fn parsed(arguments: &[&str]) -> Result<AgentConfig, clap::Error> {
        let arguments = ["weft", "--node", "node-1"].iter().chain(arguments);
        Command::try_parse_from(arguments).map(|command| command.agent)
    }

    #[test]
    fn the_mesh_comes_from_a_folder_or_from_kubernetes() {
        let manifests = parsed(&["--manifests", "mesh"]).unwrap();
        assert_eq!(manifests.source(), MeshSource::Manifests(Path::new("mesh")));
        let in_cluster = parsed(&[]).unwrap();
        assert_eq!(in_cluster.source(), MeshSource::Kubernetes { kubeconfig: None });
        let outside = parsed(&["--kubeconfig", "file"]).unwrap();
        let kubeconfig = Some(Path::new("file"));
        assert_eq!(outside.source(), MeshSource::Kubernetes { kubeconfig });
        let both = parsed(&["--manifests", "mesh", "--kubeconfig", "file"]);
        assert!(both.is_err(), "one of them only");
    }

    #[test]
    fn dns_is_answered_where_nobody_else_does_or_as_the_operator_says() {
        assert_eq!(parsed(&["--manifests", "mesh"]).unwrap().dns(), Switch::On);
        assert_eq!(parsed(&[]).unwrap().dns(), Switch::Off);
        assert_eq!(parsed(&["--dns", "on"]).unwrap().dns(), Switch::On);
        assert_eq!(
            parsed(&["--manifests", "mesh", "--dns", "off"]).unwrap().dns(),
            Switch::Off
        );
    }

    #[test]
    fn a_range_of_ports_has_its_ends() {
        assert_eq!(
            "10000-32767".parse::<PortRange>().ok(),
            Some(PortRange(10_000..=32_767))
        );
        assert_eq!("2000-2000".parse::<PortRange>().ok(), Some(PortRange(2_000..=2_000)));
        for bad in ["", "10000", "2-1", "2000-1999", "80-90", "1024-65536", "a-b", "1024-"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad} must be refused");
        }
    }

    #[test]
    fn the_longest_node_names_have_sockets_of_their_own() {
        let [one, other] = ["a", "b"].map(|end| default_socket(&format!("{}{end}", "n".repeat(252))));
        assert_ne!(one, other);
        assert!(one.as_os_str().len() < 108, "{}", one.display());
        assert_eq!(default_socket("node-1"), PathBuf::from("/run/weft/node-1.sock"));
    }
}
