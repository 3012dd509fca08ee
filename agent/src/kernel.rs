//! The kernel made to be as the mesh says: programs, maps, pins, and what stands in the pods' namespaces.
//!
//! ```text
//! Mesh ──desired──▶ Plan ◀──current── pins, captured pods
//!                    │
//!                  apply ──Change──▶ proxy
//! ```
//!
//! The only room with aya. One task is the only writer of all of it; what it pins outlives it, and the next one adopts it.

mod apply;
mod attached;
mod balancer;
mod capture;
mod cgroup;
mod change;
mod config;
mod desired;
mod drops;
mod error;
pub mod feature;
mod half;
mod hear;
mod heartbeat;
mod hold;
pub mod inspect;
mod leave;
mod locate;
mod log;
mod maps;
mod object;
mod owners;
mod pins;
mod plaintext;
mod programs;
mod ring;
mod routing;
mod run;
mod sandbox;
mod silence;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::{NodeSettings, names::map::OWNERS};
use tokio::sync::{broadcast, watch};

pub use crate::telemetry::with_causes;
pub use change::{Captured, Change, Departure, Listeners, PerFamily};
pub use config::{Config, Dns, ProgramLog};
pub use drops::Dropped;
pub use error::KernelError;
pub use hold::Hold;
pub use maps::Counters;
pub use routing::{Drift, drift, remove};
pub use run::Inputs;
pub use sandbox::{ContainerId, Sandbox, SandboxNews};
pub use status::{PodStatus, Status};

use self::{
    capture::Capture,
    cgroup::{Cgroup, KubeletCgroup},
    desired::UdpEgress,
    drops::Drops,
    heartbeat::Heartbeat,
    locate::Waiting,
    log::Lines,
    maps::NodeMaps,
    object::Object,
    pins::{NodePins, Pins as _},
    plaintext::Looked,
    programs::NodePrograms,
    sandbox::Sandboxes,
};
use crate::{
    model::PodUid,
    net::{Cookie, NetNs},
};

/// The kernel side of one node.
pub struct Kernel {
    dns: Dns,
    host: Cookie,
    pins: NodePins,
    object: Object,
    maps: NodeMaps,
    programs: NodePrograms,
    readers: Option<Readers>,
    /// The pods that this agent captures.
    captures: BTreeMap<PodUid, Capture>,
    /// Other pods that have pins.
    pinned: BTreeSet<PodUid>,
    /// Pods that cannot be captured at the moment.
    waiting: BTreeMap<PodUid, Waiting>,
    /// What the container runtime has told.
    sandboxes: Arc<Sandboxes>,
    /// Namespaces whose rules and routes somebody needs, and how many do.
    holds: BTreeMap<Cookie, (NetNs, usize)>,
    /// Of the mesh that was read last.
    generation: u64,
    udp_egress: UdpEgress,
    looked: Looked,
    status: watch::Sender<Arc<Status>>,
    dropped: broadcast::Sender<Dropped>,
}

/// What is read and written beside the work itself, from its first result on.
struct Readers {
    heartbeat: Heartbeat,
    drops: Drops,
    lines: Option<Lines>,
}

// === impl Kernel ===

impl Kernel {
    /// Attaches the programs of the node, or adopts them where an agent before this one attached the same. Pods are
    /// adopted when the mesh says that they are still to be captured.
    ///
    /// Needs a tokio runtime, the one on which [`Kernel::run`] is to run.
    pub fn open(config: &Config) -> Result<(Self, Counters), KernelError> {
        let host = NetNs::current()?;
        let cgroup = Cgroup::above_pods(config)?;
        let pins = NodePins::create(&config.bpffs, &config.node)?;
        pins.remove_other_versions()?;

        let object = Object::open(pins.clone(), config.program_log)?;
        let mut ebpf = object.load_node()?;
        let mut maps = NodeMaps::open(&pins)?;
        let counters = Counters::open(&pins)?;
        let readers = Readers {
            heartbeat: Heartbeat::open(&pins)?,
            drops: Drops::open(&pins)?,
            lines: match config.program_log {
                ProgramLog::Off => None,
                ProgramLog::Debug => Lines::take(&mut ebpf)?,
            },
        };
        let mut programs = NodePrograms::new(pins.clone(), KubeletCgroup::new(config, host.clone()), cgroup);
        if !owners::are_told() {
            programs.attach_learners(&mut ebpf, &maps, object.build())?;
            owners::ask(pins.map(OWNERS));
        }
        let host_cookie = host.cookie()?;
        let settings = NodeSettings::new(host_cookie.0, object.build());
        programs.attach(&mut ebpf, &mut maps, settings)?;

        let pinned = pins.pods()?.into_iter().collect();
        let kernel = Self {
            dns: config.dns,
            host: host_cookie,
            pins,
            object,
            maps,
            programs,
            readers: Some(readers),
            captures: BTreeMap::new(),
            pinned,
            waiting: BTreeMap::new(),
            sandboxes: Arc::default(),
            holds: BTreeMap::new(),
            generation: 0,
            udp_egress: UdpEgress::default(),
            looked: Looked::default(),
            status: watch::Sender::default(),
            dropped: broadcast::Sender::new(DROPPED),
        };
        Ok((kernel, counters))
    }

    /// Says how far the kernel is as the mesh says.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    /// Passes on the connections that the kernel programs refuse, to whoever subscribes.
    pub fn dropped(&self) -> broadcast::Sender<Dropped> {
        self.dropped.clone()
    }
}

/// How many refusals a slow subscriber may lag behind.
const DROPPED: usize = 256;
