//! The entries of a map, decoded into what they mean.

use std::time::Duration;

use agent_common::{Address, Count, NodeSettings, PodFlags, PodSettings, Sighting, Slot, SocketAddress, Tuple, names};
use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, SockMap},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{InspectError, Pins, Scope};
use crate::kernel::heartbeat::monotonic;

/// An entry of a map; key and value are objects, whose keys are as stable as those of everything printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The pod whose map it is; none for the maps of the whole node.
    pub pod: Option<String>,
    /// The key.
    pub key: Value,
    /// The value.
    pub value: Value,
}

// === impl Pins ===

impl Pins {
    /// The entries of a map, of every pod where it is a map of pods.
    pub fn entries(&self, name: &str) -> Result<Vec<Entry>, InspectError> {
        let name = map_name(name)?;
        let mut entries = Vec::new();
        for (scope, found, path) in self.pins(names::MAPS)? {
            if found != name {
                continue;
            }
            let failed = |source| InspectError::Map {
                name: name.to_owned(),
                source,
            };
            let map = MapData::from_pin(path).and_then(Map::from_map_data).map_err(failed)?;
            entries.extend(decode(&scope, name, map)?);
        }
        Ok(entries)
    }
}

/// The names of all maps: the node's, then the pods'.
pub fn map_names() -> impl Iterator<Item = &'static str> {
    names::map::OF_NODE.into_iter().chain(names::map::OF_POD)
}

/// Finds the one map whose name begins with `wanted`, in any case.
pub fn map_name(wanted: &str) -> Result<&'static str, InspectError> {
    let upper = wanted.to_uppercase();
    if let Some(exact) = map_names().find(|name| *name == upper) {
        return Ok(exact);
    }
    let mut matching = map_names().filter(|name| name.starts_with(&upper));
    match (matching.next(), matching.next()) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) | (None, _) => Err(InspectError::NoSuchMap {
            name: wanted.to_owned(),
            known: map_names().collect::<Vec<_>>().join(", "),
        }),
    }
}

fn decode(scope: &Scope, name: &'static str, map: Map) -> Result<Vec<Entry>, InspectError> {
    use names::map;

    let now = monotonic();
    let opaque = |instead| {
        Err(InspectError::Opaque {
            name: name.to_owned(),
            instead,
        })
    };
    let pairs = match name {
        map::HEARTBEAT => first(map).map(|written| vec![(json!({"index": 0}), heartbeat(written, now))]),
        map::NODE => first(map).map(|settings| vec![(json!({"index": 0}), node_settings(settings))]),
        map::SETTINGS => first(map).map(|settings| vec![(json!({"index": 0}), pod_settings(&settings))]),
        map::PODS => hash(
            map,
            |cookie| cookie,
            |cookie: u64, flags| (json!({"netns_cookie": cookie}), pod_flags(flags)),
        ),
        map::EXEMPT => hash(map, SocketAddress::socket_addr, |address: SocketAddress, _: u8| {
            (json!({"address": address.socket_addr()}), json!({}))
        }),
        map::OWNERS => hash(
            map,
            |cookie| cookie,
            |cookie: u64, netns: u64| (json!({"socket_cookie": cookie}), json!({"netns_cookie": netns})),
        ),
        map::WANTED => hash(
            map,
            |cookie| cookie,
            |cookie: u64, wanted: SocketAddress| {
                (
                    json!({"socket_cookie": cookie}),
                    json!({"address": wanted.socket_addr()}),
                )
            },
        ),
        map::OWN => hash(map, Address::ip, |address: Address, _: u8| {
            (json!({"address": address.ip()}), json!({}))
        }),
        map::PROBES | map::LEGS => hash(map, Tuple::socket_addrs, |key, seen| (tuple(key), sighting(seen, now))),
        map::NEVER | map::INSIDE => prefixes(map),
        map::COUNTERS => counters(map),
        map::LISTENERS => listeners(map),
        map::DROPS => return opaque("weft debug trace drop"),
        map::LOGS => return opaque("the agent's own log"),
        _ => return opaque("bpftool map dump"),
    };
    let pairs = pairs.map_err(|source| InspectError::Map {
        name: name.to_owned(),
        source,
    })?;
    let pod = scope.clone().pod();
    Ok(pairs
        .into_iter()
        .map(|(key, value)| Entry {
            pod: pod.clone(),
            key,
            value,
        })
        .collect())
}

type Pairs = Result<Vec<(Value, Value)>, MapError>;

fn first<V: Pod>(map: Map) -> Result<V, MapError> {
    Array::<MapData, V>::try_from(map)?.get(&0, 0)
}

/// Decodes a hash, in an order of its keys.
fn hash<K: Pod, V: Pod, O: Ord>(map: Map, order: impl Fn(K) -> O, decode: impl Fn(K, V) -> (Value, Value)) -> Pairs {
    let map = HashMap::<MapData, K, V>::try_from(map)?;
    let mut entries = Vec::new();
    for entry in map.iter() {
        match entry {
            Ok(entry) => entries.push(entry),
            // It was deleted while the map was being read.
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    entries.sort_by_key(|(key, _)| order(*key));
    Ok(entries.into_iter().map(|(key, value)| decode(key, value)).collect())
}

fn prefixes(map: Map) -> Pairs {
    let map = LpmTrie::<MapData, Address, u8>::try_from(map)?;
    let mut prefixes = map
        .keys()
        .map(|key| key.map(|key| (key.data(), key.prefix_len())))
        .collect::<Result<Vec<_>, _>>()?;
    prefixes.sort_unstable_by_key(|(address, length)| (address.ip(), *length));
    Ok(prefixes
        .into_iter()
        .map(|(address, length)| (json!({"prefix": prefix(address, length)}), json!({})))
        .collect())
}

fn counters(map: Map) -> Pairs {
    let map = PerCpuArray::<MapData, u64>::try_from(map)?;
    Count::ALL
        .into_iter()
        .map(|count| {
            let total = map.get(&count.index(), 0)?.iter().sum::<u64>();
            Ok((json!({"reason": count.label()}), json!({"count": total})))
        })
        .collect()
}

/// Names the slots; which of them are filled the kernel does not tell of a map with 4-byte values
/// (`sock_map_lookup_sys`, ENOSPC): `weft debug pod check` looks for the listeners themselves.
fn listeners(map: Map) -> Pairs {
    SockMap::<MapData>::try_from(map)?;
    Ok(Slot::ALL
        .into_iter()
        .map(|slot| (json!({"slot": slot.label()}), json!({})))
        .collect())
}

fn heartbeat(written: u64, now: u64) -> Value {
    let beat = Duration::from_nanos(now.saturating_sub(written));
    json!({
        "age_ms": u64::try_from(beat.as_millis()).unwrap_or(u64::MAX),
        "alive": agent_common::time::fresh(written, now, agent_common::time::HEARTBEAT_LIMIT),
    })
}

fn node_settings(settings: NodeSettings) -> Value {
    json!({
        "host_netns_cookie": settings.host_cookie(),
        "build": format!("{:016x}", settings.build()),
        "cgroup_id": settings.cgroup(),
        "kubelet_cgroup_id": settings.kubelet_cgroup(),
        "pods_cgroup_id": settings.pods_cgroup(),
        "has_balancers": settings.has_balancers(),
        "mesh": settings.mesh().map(|mesh| mesh.to_string()),
    })
}

fn pod_settings(settings: &PodSettings) -> Value {
    json!({
        "netns_cookie": settings.cookie(),
        "build": format!("{:016x}", settings.build()),
        "on_agent_failure": on_agent_failure(settings.flags()),
        "captures_dns": settings.flags().captures_dns(),
        "probe_ports": settings.probe_ports().collect::<Vec<_>>(),
    })
}

fn pod_flags(flags: PodFlags) -> Value {
    json!({
        "on_agent_failure": on_agent_failure(flags),
        "captures_dns": flags.captures_dns(),
        "denies_udp_egress": flags.denies_udp_egress(),
        "passes": flags.passes(),
    })
}

pub(super) fn on_agent_failure(flags: PodFlags) -> &'static str {
    if flags.fail_closed() { "closed" } else { "open" }
}

fn tuple(tuple: Tuple) -> Value {
    let (source, destination) = tuple.socket_addrs();
    json!({"source": source, "destination": destination})
}

fn sighting(seen: Sighting, now: u64) -> Value {
    let age = Duration::from_nanos(now.saturating_sub(seen.time()));
    json!({"age_ms": u64::try_from(age.as_millis()).unwrap_or(u64::MAX), "netns_cookie": seen.cookie()})
}

/// Writes a prefix of the 16-byte form as that of the address's own family.
fn prefix(address: Address, length: u32) -> String {
    let mapped = u32::from(Address::MAPPED_BITS);
    let length = if address.is_v4() {
        length.saturating_sub(mapped)
    } else {
        length
    };
    format!("{}/{length}", address.ip())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_map_is_found_by_a_unique_prefix_in_any_case() {
        assert_eq!(map_name("counters").unwrap(), "COUNTERS");
        assert_eq!(map_name("LI").unwrap(), "LISTENERS");
        assert_eq!(map_name("NODE").unwrap(), "NODE");
        assert!(map_name("N").is_err(), "NODE and NEVER both begin with it");
        assert!(map_name("nothing").is_err());
    }

    #[test]
    fn tuples_are_decoded_to_addresses_and_ports() {
        let key = Tuple::new(
            address("10.0.0.1"),
            40000_u16.to_be(),
            address("2001:db8::1"),
            443_u16.to_be(),
        );
        assert_eq!(
            tuple(key),
            json!({"source": "10.0.0.1:40000", "destination": "[2001:db8::1]:443"})
        );
    }

    #[test]
    fn prefixes_are_those_of_their_own_family() {
        assert_eq!(prefix(address("169.254.0.0"), 112), "169.254.0.0/16");
        assert_eq!(prefix(address("fe80::"), 10), "fe80::/10");
    }

    #[test]
    fn settings_of_a_pod_keep_their_json_keys() {
        let settings = PodSettings::new(17, 0xbeef)
            .with_flags(PodFlags::FAIL_CLOSED)
            .with_probe_ports(&[8080]);
        assert_eq!(
            pod_settings(&settings),
            json!({
                "netns_cookie": 17, "build": "000000000000beef", "on_agent_failure": "closed", "captures_dns": false,
                "probe_ports": [8080],
            })
        );
    }

    #[test]
    fn a_heartbeat_is_alive_until_two_seconds() {
        assert_eq!(
            heartbeat(1_000_000_000, 2_500_000_000),
            json!({"age_ms": 1500, "alive": true})
        );
        assert_eq!(
            heartbeat(1_000_000_000, 3_000_000_000),
            json!({"age_ms": 2000, "alive": false})
        );
    }

    #[test]
    fn addresses_keep_their_ports() {
        let exempt: SocketAddr = "10.96.0.1:443".parse().unwrap();
        assert_eq!(SocketAddress::from(exempt).socket_addr(), exempt);
    }

    #[test]
    fn an_entry_keeps_its_json_keys() {
        let entry = Entry {
            pod: None,
            key: json!({"netns_cookie": 4}),
            value: pod_flags(PodFlags::FAIL_OPEN),
        };
        assert_eq!(
            serde_json::to_value(entry).unwrap(),
            json!({"pod": null, "key": {"netns_cookie": 4}, "value": {
                "on_agent_failure": "open", "captures_dns": false, "denies_udp_egress": false, "passes": false,
            }})
        );
    }
}
