//! The command line of `weft debug`: objects, their commands, and options which may stand anywhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::afterwards::Afterwards;
use crate::{cli::question::Asked, config::CniPaths};

/// Show what the kernel and the agent hold
///
/// It reads the kernel and the agent's pins itself, so it works while the agent is dead; a living agent adds what only it
/// knows. Commands and objects may be cut to any unique prefix. Exit codes: 0 done, 1 error, 2 usage, 3 drift.
#[derive(Args, Clone, Debug)]
#[command(infer_subcommands = true, arg_required_else_help = true, subcommand_value_name = "OBJECT", subcommand_help_heading = "Objects", after_help = EXAMPLES)]
pub struct DebugArgs {
    #[command(flatten)]
    pub(super) options: Options,

    #[command(subcommand)]
    pub(super) object: Object,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Options {
    /// Print JSON on one line
    #[arg(short, long, global = true)]
    pub(super) json: bool,

    /// Print JSON on many lines
    #[arg(short, long, global = true)]
    pub(super) pretty: bool,

    /// Read from a file that `dump all` wrote, instead of this machine
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// The node whose agent is meant [default: the only one that has pins]
    #[arg(long, global = true, value_name = "NAME", env = "WEFT_NODE")]
    pub(super) node: Option<String>,

    /// The agent's socket [default: /run/weft/<node>.sock]
    #[arg(long, global = true, value_name = "PATH", env = "WEFT_SOCKET")]
    pub(super) socket: Option<PathBuf>,

    /// The BPF file system that holds the pins
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/sys/fs/bpf",
        env = "WEFT_BPFFS"
    )]
    pub(super) bpffs: PathBuf,
}

/// What to look at.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Object {
    /// Kernel programs
    #[command(after_help = "\
Examples:
  weft debug prog show
  weft debug -p prog show

Run times are counted while the sysctl kernel.bpf_stats_enabled is 1.")]
    Prog {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Maps, by which the agent and the kernel programs speak with each other
    #[command(after_help = "\
Examples:
  weft debug map show
  weft debug map dump PODS
  weft debug -j map dump exempt")]
    Map {
        #[command(subcommand)]
        command: Option<MapCommand>,
    },
    /// Links: which program is attached where
    #[command(after_help = "\
Examples:
  weft debug link show
  weft debug -j link list | jq '.[] | select(.netns_ino == 0)'    # pods that are gone")]
    Link {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Cgroups on which Weft's programs sit
    #[command(after_help = "\
Examples:
  weft debug cgroup show")]
    Cgroup {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// What this kernel can do, of what Weft needs: tried, not guessed from its version
    #[command(after_help = "\
Examples:
  weft debug feature
  weft debug -j feature show | jq '.[] | select(.available | not)'")]
    Feature {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Pods of the node: enrolled or not, and why
    #[command(
        alias = "po",
        after_help = "\
Examples:
  weft debug pod show
  weft debug pod check                 # exit code 3 on drift
  weft debug pod check shop/cart-0"
    )]
    Pod {
        #[command(subcommand)]
        command: Option<PodCommand>,
    },
    /// Live connections
    #[command(after_help = "\
Examples:
  weft debug conn show
  weft debug conn show --pod shop/cart-0
  weft debug conn kill 17")]
    Conn {
        #[command(subcommand)]
        command: Option<Conn>,
    },
    /// Services, as the agent sees them
    #[command(after_help = "\
Examples:
  weft debug service show
  weft debug -j service show | jq '.[].name'")]
    Service {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Endpoints of services, as the agent sees them
    #[command(after_help = "\
Examples:
  weft debug endpoint show
  weft debug -j endpoint show | jq '.[] | select(.ready | not)'")]
    Endpoint {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Certificates of the node's pods: who they are, and for how long
    #[command(after_help = "\
Examples:
  weft debug cert show
  weft debug -j cert show | jq '.[] | select(.state != \"valid\") | {name, reason}'

The root is the key that has signed; CA skew is how far the CA's clock is ahead of the node's.")]
    Cert {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Policies of the node's pods, and what they make of a connection
    #[command(after_help = "\
Examples:
  weft debug policy show
  weft debug -j policy show | jq '.[] | select(.understood | not)'
  weft debug policy test --from shop/front-0 --to shop/cart --port 80")]
    Policy {
        #[command(subcommand)]
        command: Option<PolicyCommand>,
    },
    /// Routes, and what they make of a request or a connection
    #[command(after_help = "\
Examples:
  weft debug route show
  weft debug route test --from shop/front-0 --to http://cart/v2/items -H 'version: two'")]
    Route {
        #[command(subcommand)]
        command: Option<RouteCommand>,
    },
    /// What the kernel programs count, by reason
    #[command(after_help = "\
Examples:
  weft debug stats show
  watch weft debug stats show")]
    Stats {
        #[command(subcommand)]
        command: Option<Show>,
    },
    /// Everything at once, to be read elsewhere with -f
    #[command(after_help = "\
Examples:
  weft debug dump all --out weft.json
  weft debug -f weft.json pod show
  weft debug -f weft.json map dump COUNTERS")]
    Dump {
        #[command(subcommand)]
        command: Option<Dump>,
    },
    /// What happens now
    #[command(
        arg_required_else_help = true,
        after_help = "\
Examples:
  weft debug trace drop
  weft debug -j trace drop | jq -r .reason"
    )]
    Trace {
        #[command(subcommand)]
        command: Trace,
    },
    /// Take everything of Weft out of the kernel, and its CNI plugin from the container runtime, with no agent running
    #[command(after_help = "\
Examples:
  weft debug cleanup
  weft debug cleanup --node node-1
  weft debug cleanup --force           # while the agent runs")]
    Cleanup {
        /// Also while the agent runs: its pods leave the mesh, and it does not come back to them by itself
        #[arg(long)]
        force: bool,

        /// Where the CNI plugin is.
        #[command(flatten)]
        cni: CniPaths,

        /// What is to be done then.
        #[command(flatten)]
        afterwards: Afterwards,
    },
}

/// The command of objects that can only be looked at.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Show {
    /// Show them all (the default)
    #[command(visible_alias = "list")]
    Show,
}

/// Commands of `map`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum MapCommand {
    /// Show them all (the default)
    #[command(visible_alias = "list")]
    Show,
    /// Show the entries of one
    #[command(after_help = "\
Examples:
  weft debug map dump PODS
  weft debug map dump own              # of every pod")]
    Dump {
        /// The map's name, or a unique prefix of it, in any case
        name: String,
    },
}

/// Commands of `pod`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum PodCommand {
    /// Show them all (the default)
    #[command(visible_alias = "list")]
    Show,
    /// Find drift between what should be in a pod's namespace and what is; exit code 3 when there is some
    #[command(after_help = "\
Examples:
  weft debug pod check
  weft debug -j pod check shop/cart-0")]
    Check {
        /// The pod, as namespace/name, name or UID; all pods without it
        name: Option<String>,
    },
}

/// Commands of `conn`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Conn {
    /// Show them all (the default)
    #[command(
        visible_alias = "list",
        after_help = "\
Examples:
  weft debug conn show
  weft debug conn show --pod cart-0"
    )]
    Show {
        /// Only those from or to this pod, as namespace/name, name or UID
        #[arg(long, value_name = "POD")]
        pod: Option<String>,
    },
    /// Cut one: both ends see a reset
    #[command(after_help = "\
Examples:
  weft debug conn kill 17")]
    Kill {
        /// The id that `conn show` prints
        id: u64,
    },
}

/// Commands of `policy`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Show those that hold for pods of the node, and those with which something is wrong (the default)
    #[command(visible_alias = "list")]
    Show,
    /// Say what the agent makes of a connection to a pod of its node, and why; exit code 3 when it is refused
    #[command(after_help = "\
Examples:
  weft debug policy test --from shop/front-0 --to shop/cart --port 80
  weft debug policy test --from spiffe://cluster.local/ns/shop/sa/front --label app=front --to shop/cart-0 --port 8080
  weft debug -j policy test --from 192.0.2.7 --to svc/shop/cart --port 80 | jq -r '.[].reason'")]
    Test {
        #[command(flatten)]
        asked: Asked,
    },
}

/// Commands of `route`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum RouteCommand {
    /// Show where routes decide (the default)
    #[command(visible_alias = "list")]
    Show,
    /// Say which rule decides on a request, or on a connection that begins with TLS, where it goes, and why
    #[command(after_help = "\
Examples:
  weft debug route test --from shop/front-0 --to http://cart/v2/items -H 'version: two'
  weft debug route test --from shop/front-0 --to https://database:5432 --server-name a.eu.shop.example
  weft debug -j route test --from front-0 --to http://cart.shop:8080/ --method POST | jq -r '.backends[]'")]
    Test {
        #[command(flatten)]
        asked: AskedRoute,
    },
}

/// A request, or a connection, of which it is asked.
#[derive(Args, Clone, Debug)]
pub(super) struct AskedRoute {
    /// The pod that sends it: namespace/name, name or UID
    #[arg(long, value_name = "POD")]
    pub(super) from: String,

    /// Where to: the URL names a Service (`http://cart.shop:80/items`) or one of its addresses
    #[arg(long, value_name = "URL")]
    pub(super) to: String,

    /// The server that a client of TLS asks for (SNI), in place of a request
    #[arg(long, value_name = "NAME", conflicts_with_all = ["method", "headers"])]
    pub(super) server_name: Option<String>,

    /// The method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(super) method: String,

    /// A header; may stand several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
}

/// Commands of `dump`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Dump {
    /// Everything that the other commands show (the default)
    #[command(after_help = "\
Examples:
  weft debug dump all --out weft.json
  weft debug dump all | jq .pods")]
    All {
        /// Write it here instead of to standard output
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Commands of `trace`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Trace {
    /// Connections that the kernel programs and the agent refuse, until Ctrl-C
    #[command(after_help = "\
Examples:
  weft debug trace drop
  weft debug -j trace drop | jq -r .reason")]
    Drop,
}

const EXAMPLES: &str = "\
Examples:
  weft debug pod show                  # pods of this node, enrolled or not, and why
  weft debug pod check                 # does the kernel hold what it should?
  weft debug -j conn list              # live connections as JSON
  weft debug po ch                     # pod check, by unique prefixes
  weft debug dump all --out weft.json  # take it elsewhere, and read it with -f weft.json";

#[cfg(test)]
mod tests;
