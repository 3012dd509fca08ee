//! What is measured: a way from a client to a server, and the proxies on it.

use std::{fmt, net::SocketAddrV4};

use anyhow::Result;
use clap::ValueEnum;
use harness::Netns;
use serde::Serialize;

use super::{
    envoy::{self, Envoys},
    floor,
    layer::Layer,
    program::{Program, Used},
    topology::{Place, Pods, Topology},
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
    /// The peer: two sidecars.
    Envoy,
    /// One Envoy that a node's pods share, for requests.
    EnvoyShared,
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
    addresses: Vec<(Layer, SocketAddrV4)>,
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
    pub(super) const ALL: [Self; 6] = [
        Self::Direct,
        Self::Floor,
        Self::Weft,
        Self::WeftUnpooled,
        Self::Envoy,
        Self::EnvoyShared,
    ];
}

// === impl Target ===

impl Target<'_> {
    /// Where the client dials what carries this layer; none where nothing does.
    pub(super) fn address(&self, layer: Layer) -> Option<SocketAddrV4> {
        self.addresses
            .iter()
            .find(|(it, _)| *it == layer)
            .map(|(_, address)| *address)
    }
}

// === impl Way ===

impl Way {
    pub(super) const fn new(kind: Kind, place: Place) -> Self {
        Self { kind, place }
    }

    /// What is measured of it.
    fn layers(self) -> &'static [Layer] {
        match (self.kind, self.place) {
            (Kind::Direct | Kind::Floor | Kind::Weft, _) | (Kind::Envoy, Place::AcrossNodes) => &Layer::ALL,
            (Kind::Envoy, Place::SameNode) | (Kind::WeftUnpooled, Place::AcrossNodes) => &[Layer::Bytes],
            (Kind::EnvoyShared, Place::SameNode) => &[Layer::Http1, Layer::Http2],
            (Kind::WeftUnpooled, Place::SameNode) | (Kind::EnvoyShared, Place::AcrossNodes) => &[],
        }
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
            Kind::EnvoyShared => "shared envoy",
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
                    self.target(Way::new(kind, place), plain, Vec::new(), |layer| {
                        plain.address(place, layer)
                    });
                }
            }
            Kind::Floor => {
                for place in Place::ALL {
                    let (mut proxies, mut dialled) = (Vec::new(), Vec::new());
                    for layer in Layer::ALL {
                        let (floors, address) = floor::start(plain, place, layer)?;
                        proxies.extend(self.run(floors));
                        dialled.push((layer, address));
                    }
                    self.targets.push(Target {
                        way: Way::new(kind, place),
                        client: plain.client.netns(),
                        addresses: dialled,
                        proxies,
                    });
                }
            }
            Kind::Weft => {
                let agents = self.run(weft::start(topology, &topology.mesh, "on")?);
                for (place, proxies) in [(Place::SameNode, vec![agents[0]]), (Place::AcrossNodes, agents)] {
                    self.target(Way::new(kind, place), mesh, proxies, |layer| mesh.address(place, layer));
                }
            }
            Kind::WeftUnpooled => {
                let agents = self.run(weft::start(topology, &topology.unpooled, "off")?);
                let way = Way::new(kind, Place::AcrossNodes);
                self.target(way, unpooled, agents, |layer| unpooled.address(way.place, layer));
            }
            Kind::Envoy => {
                for place in Place::ALL {
                    self.envoys(Way::new(kind, place), plain, Envoys::sidecars(topology, plain, place)?);
                }
                self.versions
                    .push(format!("envoy {} {}", envoy::version()?, envoy::ARGUMENTS.join(" ")));
                for config in envoy::described() {
                    self.versions.push(format!("envoy's configuration: {config}"));
                }
            }
            Kind::EnvoyShared => {
                self.envoys(Way::new(kind, Place::SameNode), plain, Envoys::shared(topology, plain)?);
            }
        }
        Ok(())
    }

    fn envoys(&mut self, way: Way, pods: &'a Pods, mut envoys: Envoys) {
        let proxies = self.run(std::mem::take(&mut envoys.programs));
        self.target(way, pods, proxies, |layer| envoys.address(layer));
    }

    fn run(&mut self, programs: impl IntoIterator<Item = Program>) -> Vec<usize> {
        let first = self.proxies.len();
        self.proxies.extend(programs);
        (first..self.proxies.len()).collect()
    }

    fn target(&mut self, way: Way, pods: &'a Pods, proxies: Vec<usize>, address: impl Fn(Layer) -> SocketAddrV4) {
        let layers = way.layers().iter();
        self.targets.push(Target {
            way,
            client: pods.client.netns(),
            addresses: layers.map(|layer| (*layer, address(*layer))).collect(),
            proxies,
        });
    }
}
