//! Captured pods, as far as the pins tell: a pod's name is known to the agent only.

use std::{collections::BTreeSet, net::IpAddr};

use agent_common::{Address, PodFlags, PodSettings, names};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use serde::{Deserialize, Serialize};

use super::{InspectError, Namespaces, Pins, Scope, children, entries::on_agent_failure, undotted};
use crate::net;

/// A captured pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedPod {
    /// The pod's UID.
    pub uid: String,
    /// The cookie of its network namespace.
    pub netns_cookie: Option<u64>,
    /// The inode of that namespace, as in /proc/PID/ns/net; 0 when it is gone.
    pub netns_ino: Option<u64>,
    /// Whether its new connections are captured: whether the connect programs know it.
    pub marked: bool,
    /// What happens to them while the agent is away: `open` or `closed`.
    pub on_agent_failure: Option<String>,
    /// The addresses that its program takes for the pod's own.
    pub addresses: Vec<IpAddr>,
    /// The ports which the kubelet probes.
    pub probe_ports: Vec<u16>,
    /// Whether its DNS queries come to the agent.
    pub captures_dns: bool,
    /// The id of the link by which its program is attached to the namespace.
    pub link_id: Option<u32>,
    /// Connections that found a full backlog, at the agent's listeners or the pod's own, since its namespace exists.
    pub listen_overflows: Option<u64>,
}

// === impl Pins ===

impl Pins {
    /// Every pod that has pins, in the order of the UIDs. What is missing of a pod is left empty: this is how drift looks.
    pub fn pods(&self) -> Result<Vec<PinnedPod>, InspectError> {
        let links = self.links()?;
        let enrolled = self.enrolled()?;
        let namespaces = Namespaces::scan();
        let mut pods = Vec::new();
        for (name, folder) in children(&self.root.join(names::PODS))? {
            let uid = undotted(&name);
            let maps = folder.join(names::MAPS);
            let open = |name: &str| MapData::from_pin(maps.join(name)).and_then(Map::from_map_data).ok();
            let settings = open(names::map::SETTINGS).and_then(|map| settings(map).ok());
            let link = links.iter().find(|link| link.pod.as_deref() == Some(&uid));
            pods.push(PinnedPod {
                netns_cookie: settings.map(|settings| settings.cookie()),
                netns_ino: link.and_then(|link| link.netns_ino),
                marked: settings.is_some_and(|settings| enrolled.contains(&settings.cookie())),
                on_agent_failure: settings.map(|settings| on_agent_failure(settings.flags()).to_owned()),
                addresses: open(names::map::OWN)
                    .and_then(|map| addresses(map).ok())
                    .unwrap_or_default(),
                probe_ports: settings.map_or_else(Vec::new, |settings| settings.probe_ports().collect()),
                captures_dns: settings.is_some_and(|settings| settings.flags().captures_dns()),
                link_id: link.map(|link| link.id),
                listen_overflows: link
                    .and_then(|link| namespaces.open(link.netns_ino?))
                    .and_then(|netns| net::listen_overflows(&netns).ok()),
                uid,
            });
        }
        Ok(pods)
    }

    /// The cookies of the namespaces whose connections the connect programs mark.
    fn enrolled(&self) -> Result<BTreeSet<u64>, InspectError> {
        let name = names::map::PODS;
        let failed = |source| InspectError::Map {
            name: name.to_owned(),
            source,
        };
        let pins = self.pins(names::MAPS)?;
        let Some((_, _, path)) = pins
            .into_iter()
            .find(|(scope, found, _)| *scope == Scope::Node && found == name)
        else {
            return Ok(BTreeSet::new());
        };
        let map = MapData::from_pin(path)
            .and_then(Map::from_map_data)
            .and_then(HashMap::<_, u64, PodFlags>::try_from)
            .map_err(failed)?;
        let marked = map.iter().filter_map(|entry| match entry {
            Ok((_, flags)) if flags.passes() => None,
            entry => Some(entry.map(|(cookie, _)| cookie)),
        });
        marked.collect::<Result<_, _>>().map_err(failed)
    }
}

fn settings(map: Map) -> Result<PodSettings, MapError> {
    Array::<MapData, PodSettings>::try_from(map)?.get(&0, 0)
}

fn addresses(map: Map) -> Result<Vec<IpAddr>, MapError> {
    let map = HashMap::<MapData, Address, u8>::try_from(map)?;
    let mut addresses = map
        .keys()
        .map(|address| address.map(Address::ip))
        .collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    Ok(addresses)
}
