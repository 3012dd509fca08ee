//! The flags of certificates: where an agent gets them, and how a CA gives them.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};

use super::{ClusterConfig, LogConfig, node_name};

/// Who signs the pods' certificates.
#[derive(Args, Clone, Debug)]
pub struct CaClientConfig {
    /// The CA, as https://HOST:PORT [default: one within the agent, for a mesh of one node]
    #[arg(long, value_name = "URL", env = "WEFT_CA", requires = "known", value_parser = address)]
    pub ca: Option<String>,

    /// The file with this node's token, as `weft ca token` has printed it; it is read anew at each connect
    #[arg(long, value_name = "FILE", env = "WEFT_CA_TOKEN", requires = "ca", group = "known")]
    pub ca_token: Option<PathBuf>,

    /// In Kubernetes: the file with the CA's roots, a mount of the ConfigMap weft-ca-bundle; it is read anew at each connect
    #[arg(long, value_name = "FILE", env = "WEFT_CA_BUNDLE", requires = "ca", group = "known")]
    pub ca_bundle: Option<PathBuf>,

    /// In Kubernetes: the file with the token of this agent's pod for the audience weft-ca; it is read anew at each connect
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/weft/token",
        env = "WEFT_CA_SERVICE_ACCOUNT_TOKEN"
    )]
    pub ca_service_account_token: PathBuf,

    /// How long certificates of the CA within the agent live, 1h to 24h
    #[arg(long, value_name = "DURATION", default_value = "4h", env = "WEFT_CERTIFICATE_LIFE", value_parser = certificate_life)]
    pub certificate_life: Duration,
}

/// Issue the certificates of pods to the agents of their nodes
///
/// It listens for agents, each of which is known by a token for its node, and signs for the pods that the manifests, or the
/// API server of a Kubernetes cluster, put on that node. Its keys and lists lie in one folder that only its owner may read; the commands below change that folder,
/// and a CA that runs follows it within a second. In a folder on a tmpfs, as /run/weft/ca, all of it is in memory only.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true, after_help = CA_EXAMPLES)]
pub struct CaConfig {
    /// The folder with the CA's keys and lists (mode 0700); `weft ca` makes it at its first start
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/weft/ca",
        env = "WEFT_CA_STATE"
    )]
    pub state: PathBuf,

    /// Sign for the pods of the YAML manifests in this folder, and follow their changes
    #[arg(
        long,
        required_unless_present = "kubernetes",
        conflicts_with = "kubernetes",
        value_name = "DIR",
        env = "WEFT_MANIFESTS"
    )]
    pub manifests: Option<PathBuf>,

    /// Be one of the replicas of a Kubernetes cluster's CA: keys and lists lie in its Secret weft-ca, agents are known by the
    /// tokens of their pods. With a command: change that CA
    #[arg(long, global = true, env = "WEFT_KUBERNETES")]
    pub kubernetes: bool,

    /// Which cluster is meant.
    #[command(flatten)]
    pub cluster: ClusterConfig,

    /// An authority that is not the CA's own.
    #[command(flatten)]
    pub intermediate: IntermediateConfig,

    /// Listen for agents here
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 15012), env = "WEFT_CA_LISTEN")]
    pub listen: SocketAddr,

    /// The SPIFFE trust domain, for a CA that is made anew
    #[arg(
        long,
        value_name = "DOMAIN",
        default_value = "cluster.local",
        env = "WEFT_TRUST_DOMAIN"
    )]
    pub trust_domain: String,

    /// How long certificates live, 1h to 24h
    #[arg(long, value_name = "DURATION", default_value = "4h", env = "WEFT_CERTIFICATE_LIFE", value_parser = certificate_life)]
    pub certificate_life: Duration,

    /// How long a new root is believed before it signs, at least: agents that are away for so long learn it in time
    #[arg(long, value_name = "DURATION", default_value = "5m", env = "WEFT_ROTATION_STEP", value_parser = humantime::parse_duration)]
    pub rotation_step: Duration,

    /// How much longer a new root waits for agents that attend and do not take it; then it signs without them
    #[arg(long, value_name = "DURATION", default_value = "10m", env = "WEFT_ROTATION_PATIENCE", value_parser = humantime::parse_duration)]
    pub rotation_patience: Duration,

    /// Serve /metrics, /readyz and /livez here [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "WEFT_ADMIN")]
    pub admin: Option<SocketAddr>,

    /// Certificates of a shorter life, for tests only
    #[arg(long, hide = true, value_parser = humantime::parse_duration)]
    pub short_life: Option<Duration>,

    /// What the CA tells.
    #[command(flatten)]
    pub log: LogConfig,

    /// What to do instead of issuing.
    #[command(subcommand)]
    pub command: Option<CaCommand>,
}

/// An authority that something else makes and renews, as cert-manager does: it signs in place of a root of the CA's own.
#[derive(Args, Clone, Debug)]
pub struct IntermediateConfig {
    /// Sign with an intermediate certificate under these roots (PEM), and follow the files when they change
    #[arg(long, value_name = "FILE", requires_all = ["intermediate_cert", "intermediate_key"], env = "WEFT_ROOT_CERT")]
    pub root_cert: Option<PathBuf>,

    /// That certificate, and those between it and the root (PEM)
    #[arg(long, value_name = "FILE", requires = "root_cert", env = "WEFT_INTERMEDIATE_CERT")]
    pub intermediate_cert: Option<PathBuf>,

    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "root_cert", env = "WEFT_INTERMEDIATE_KEY")]
    pub intermediate_key: Option<PathBuf>,
}

/// What an operator tells a CA, whether or not it runs.
#[derive(Clone, Debug, Subcommand)]
pub enum CaCommand {
    /// Make a token for the agent of a node, and print it
    ///
    /// The token is shown this once. It is as secret as a key: who has it may ask for certificates of that node's pods. It
    /// names the root of the CA's own TLS, which stays when the roots that sign rotate. The agent reads its file at each
    /// connect, so that a new token may be put there before the old one expires.
    #[command(after_help = "\
Examples:
  weft ca token --node node-1 > node-1.token
  weft ca token --node node-1 --expires-in 1h --state /run/weft/ca")]
    Token {
        /// The node
        #[arg(long, value_name = "NAME", value_parser = node_name)]
        node: String,

        /// How long it may be used
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = humantime::parse_duration)]
        expires_in: Duration,
    },
    /// Begin to replace the root that signs
    ///
    /// The new root is believed at once, signs when every attending agent believes it and --rotation-step has gone, and
    /// agents renew their certificates then. The old root leaves when all that it has signed is over. No handshake fails in
    /// between. An agent that attends and does not take the new root is waited for until the running CA's
    /// --rotation-patience is over. `weft ca show` tells how far it is, and for whose agents it waits.
    #[command(after_help = "\
Examples:
  weft ca rotate
  weft ca show
  weft ca rotate --force    # do not wait for those of which `weft ca show` tells")]
    Rotate {
        /// Let the new root of a rotation that goes on sign at once: handshakes fail with agents that do not know it
        #[arg(long)]
        force: bool,
    },
    /// Refuse a node, an identity, a pod or a certificate everywhere: what is open is cut within a second
    #[command(after_help = "\
Examples:
  weft ca deny --node node-3
  weft ca deny --identity spiffe://cluster.local/ns/shop/sa/cart
  weft ca deny --pod 7f2c1a9e-5d0b-4c1e-9a53-0d6a1f6b2c11
  weft ca deny --serial 4f07a1b2c3d4e5f60718293a4b5c6d7e    # as `weft debug cert show` prints it")]
    Deny(Named),
    /// Take a name off the deny-list
    #[command(after_help = "\
Examples:
  weft ca allow --node node-3")]
    Allow(Named),
    /// Show roots, rotation, deny-list and tokens, without any secret, as JSON
    #[command(after_help = "\
Examples:
  weft ca show
  weft ca show | jq -r .rotation")]
    Show,
}

/// Who is meant.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Named {
    /// All pods of a node, and its agent
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub node: Option<String>,

    /// All pods of a service account, as spiffe://DOMAIN/ns/NAMESPACE/sa/NAME
    #[arg(long, value_name = "SPIFFE")]
    pub identity: Option<String>,

    /// One pod, by its UID
    #[arg(long, value_name = "UID")]
    pub pod: Option<String>,

    /// One certificate, by its serial number in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
}

/// Why a value is refused.
#[derive(Debug, thiserror::Error)]
enum InvalidFlag {
    #[error("a CA is written as https://HOST:PORT")]
    Address,
    #[error("certificates live from 1h to 24h")]
    Life,
    #[error(transparent)]
    Duration(#[from] humantime::DurationError),
}

/// Takes `https://HOST:PORT` and gives `HOST:PORT`.
fn address(url: &str) -> Result<String, InvalidFlag> {
    let rest = url.strip_prefix("https://").ok_or(InvalidFlag::Address)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').ok_or(InvalidFlag::Address)?;
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
    if is_host && port.parse::<u16>().is_ok_and(|port| port > 0) {
        Ok(rest.to_owned())
    } else {
        Err(InvalidFlag::Address)
    }
}

/// Takes 1h to 24h.
fn certificate_life(text: &str) -> Result<Duration, InvalidFlag> {
    let life = humantime::parse_duration(text)?;
    if (SHORTEST_LIFE..=LONGEST_LIFE).contains(&life) {
        Ok(life)
    } else {
        Err(InvalidFlag::Life)
    }
}

const SHORTEST_LIFE: Duration = Duration::from_secs(3600);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

const CA_EXAMPLES: &str = "\
Examples:
  weft ca --manifests ./mesh
  weft ca token --node node-1 > node-1.token
  weft agent --manifests ./mesh --node node-1 --ca https://10.0.0.1:15012 --ca-token node-1.token

  weft ca --kubernetes --admin '[::]:15020'
  weft ca show --kubernetes --kubeconfig ~/.kube/config

Every certificate that is issued or refused is one line of the log, with the target weft_audit; in Kubernetes, one line of
JSON on standard output.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_an_https_url_of_host_and_port() {
        assert_eq!(address("https://10.0.0.1:15012").expect("valid"), "10.0.0.1:15012");
        assert_eq!(address("https://[fd00::1]:15012/").expect("valid"), "[fd00::1]:15012");
        for bad in [
            "10.0.0.1:1",
            "http://ca:1",
            "https://ca",
            "https://:1",
            "https://ca:0",
            "https://ca:1/x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_life_is_one_to_twenty_four_hours() {
        for good in ["1h", "4h", "24h"] {
            certificate_life(good).expect("valid");
        }
        for bad in ["59m", "25h", "4", ""] {
            assert!(certificate_life(bad).is_err(), "{bad}");
        }
    }

    #[derive(Debug, clap::Parser)]
    struct Parsed {
        #[command(flatten)]
        ca: CaConfig,
    }

    #[test]
    fn a_ca_reads_manifests_or_a_cluster_and_commands_need_neither() {
        use clap::{CommandFactory as _, Parser as _};
        Parsed::command().debug_assert();
        let parsed = |arguments: &[&str]| Parsed::try_parse_from([&["ca"], arguments].concat());
        let replica = parsed(&["--kubernetes"]).expect("a replica").ca;
        assert!(replica.kubernetes && replica.cluster.system_namespace == "weft-system");
        assert!(
            !parsed(&["--manifests", "mesh"])
                .expect("a CA of one process")
                .ca
                .kubernetes
        );
        assert!(parsed(&["show", "--kubernetes"]).expect("a command").ca.kubernetes);
        let issuer = ["--intermediate-cert", "tls.crt", "--intermediate-key", "tls.key"];
        let whole = [&["--kubernetes", "--root-cert", "ca.crt"], &issuer[..]].concat();
        assert!(parsed(&whole).is_ok());
        for wrong in [
            &[][..],
            &["--kubernetes", "--manifests", "mesh"],
            &["--kubernetes", "--root-cert", "ca.crt"],
            &[&["--kubernetes"], &issuer[..]].concat(),
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
