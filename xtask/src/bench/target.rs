//! What is measured: a way from a client to a server, and the proxies on it.

use std::{fmt, net::SocketAddrV4};

use anyhow::Result;
use clap::ValueEnum;
use harness::Netns;
use serde::Serialize;

use super::{
    envoy, floor,
    program::{Program, Used},
    topology::{Place, Topology},
    weft,
};

/// Who carries the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Nobody: no mesh.
    Direct,
    /// The least that a proxy can cost.
    Floor,
    /// The agents.
    Weft,
    /// The agents, which keep no connection to each other: a handshake for each; across nodes only.
    WeftUnpooled,
    /// The peer.
    Envoy,
}

/// A kind in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// A way that can be measured.
pub(super) struct Target<'a> {
    pub(super) way: Way,
    pub(super) client: &'a Netns,
    pub(super) address: SocketAddrV4,
    /// Which of the plan's proxies carry it.
    pub(super) proxies: Vec<usize>,
}

/// All targets, and the proxies that run for them.
pub(super) struct Plan<'a> {
    pub(super) targets: Vec<Target<'a>>,
    pub(super) proxies: Vec<Program>,
    versions: Vec<String>,
}

// === impl Kind ===

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Direct, Self::Floor, Self::Weft, Self::WeftUnpooled, Self::Envoy];
}

// === impl Way ===

impl Way {
    pub(super) const fn new(kind: Kind, place: Place) -> Self {
        Self { kind, place }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Direct => "no mesh",
            Kind::Floor => "floor",
            Kind::Weft => "weft",
            Kind::WeftUnpooled => "weft unpooled",
            Kind::Envoy => "envoy",
        };
        let place = match self.place {
            Place::SameNode => "same node",
            Place::AcrossNodes => "across nodes",
        };
        f.pad(&format!("{kind}, {place}"))
    }
}

impl Serialize for Way {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Starts the proxies of `kinds`. All run from the first round to the last.
    pub(super) fn start(topology: &'a Topology, kinds: &[Kind]) -> Result<Self> {
        let mut plan = Self {
            targets: Vec::new(),
            proxies: Vec::new(),
            versions: Vec::new(),
        };
        for kind in kinds {
            plan.add(*kind, topology)?;
        }
        Ok(plan)
    }

    /// What was measured, with which arguments.
    pub(super) fn versions(&self) -> Vec<String> {
        self.versions.clone()
    }

    /// The CPU time that a target's proxies have used.
    pub(super) fn used(&self, target: &Target<'_>) -> Result<Used> {
        let add = |sum: Used, proxy: &usize| anyhow::Ok(sum.and(self.proxies[*proxy].used()?));
        target.proxies.iter().try_fold(Used::default(), add)
    }

    /// The resident memory of a target's proxies in bytes.
    pub(super) fn resident(&self, target: &Target<'_>) -> Result<u64> {
        target.proxies.iter().map(|proxy| self.proxies[*proxy].resident()).sum()
    }

    fn add(&mut self, kind: Kind, topology: &'a Topology) -> Result<()> {
        let (plain, mesh, unpooled) = (&topology.plain, &topology.mesh.pods, &topology.unpooled.pods);
        match kind {
            Kind::Direct => {
                for place in Place::ALL {
                    self.target(
                        Way::new(kind, place),
                        plain.client.netns(),
                        plain.address(place),
                        Vec::new(),
                    );
                }
            }
            Kind::Floor => {
                for place in Place::ALL {
                    let (floors, address) = floor::start(plain, place)?;
                    let proxies = self.run(floors);
                    self.target(Way::new(kind, place), plain.client.netns(), address, proxies);
                }
            }
            Kind::Weft => {
                let agents = self.run(weft::start(topology, &topology.mesh, "on")?);
                let near = vec![agents[0]];
                self.target(
                    Way::new(kind, Place::SameNode),
                    mesh.client.netns(),
                    mesh.address(Place::SameNode),
                    near,
                );
                let way = Way::new(kind, Place::AcrossNodes);
                self.target(way, mesh.client.netns(), mesh.address(Place::AcrossNodes), agents);
            }
            Kind::WeftUnpooled => {
                let agents = self.run(weft::start(topology, &topology.unpooled, "off")?);
                let way = Way::new(kind, Place::AcrossNodes);
                let address = unpooled.address(Place::AcrossNodes);
                self.target(way, unpooled.client.netns(), address, agents);
            }
            Kind::Envoy => {
                for place in Place::ALL {
                    let (sidecars, address) = envoy::start(topology, plain, place)?;
                    let proxies = self.run(sidecars);
                    self.target(Way::new(kind, place), plain.client.netns(), address, proxies);
                }
                self.versions
                    .push(format!("envoy {} {}", envoy::version()?, envoy::ARGUMENTS.join(" ")));
                for config in envoy::described() {
                    self.versions.push(format!("envoy's configuration: {config}"));
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, programs: impl IntoIterator<Item = Program>) -> Vec<usize> {
        let first = self.proxies.len();
        self.proxies.extend(programs);
        (first..self.proxies.len()).collect()
    }

    fn target(&mut self, way: Way, client: &'a Netns, address: SocketAddrV4, proxies: Vec<usize>) {
        self.targets.push(Target {
            way,
            client,
            address,
            proxies,
        });
    }
}
