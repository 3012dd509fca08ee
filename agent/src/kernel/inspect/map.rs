//! Pinned maps.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
};

use agent_common::names;
use aya::maps::{MapData, MapType};
use serde::{Deserialize, Serialize};

use super::{InspectError, Pins, Scope, fdinfo::FdInfo};

/// A pinned map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// The kernel's id.
    pub id: u32,
    /// The type, as bpftool names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name.
    pub name: String,
    /// The flags with which it was created.
    pub flags: u32,
    /// The size of a key.
    pub bytes_key: u32,
    /// The size of a value.
    pub bytes_value: u32,
    /// How many entries it may hold.
    pub max_entries: u32,
    /// The memory it takes, as far as the kernel says.
    pub bytes_memlock: Option<u64>,
    /// The pod whose it is; none for those of the whole node.
    pub pod: Option<String>,
    /// Where it is pinned.
    pub pinned: PathBuf,
}

// === impl Pins ===

impl Pins {
    /// Every pinned map: the node's first, then the pods' in the order of their UIDs.
    pub fn maps(&self) -> Result<Vec<Map>, InspectError> {
        let pins = self.pins(names::MAPS)?;
        pins.into_iter()
            .map(|(scope, name, path)| Map::read(scope, name, path))
            .collect()
    }
}

// === impl Map ===

impl Map {
    fn read(scope: Scope, name: String, pinned: PathBuf) -> Result<Self, InspectError> {
        let failed = |source| InspectError::Map {
            name: name.clone(),
            source,
        };
        let data = MapData::from_pin(&pinned).map_err(failed)?;
        let info = data.info().map_err(failed)?;
        let fdinfo = FdInfo::of(data.fd().as_fd().as_raw_fd());
        Ok(Self {
            id: info.id(),
            kind: info.map_type().map_or_else(|_| "unknown".to_owned(), type_name),
            flags: info.map_flags(),
            bytes_key: info.key_size(),
            bytes_value: info.value_size(),
            max_entries: info.max_entries(),
            bytes_memlock: fdinfo.field("memlock"),
            pod: scope.pod(),
            pinned,
            name,
        })
    }
}

fn type_name(kind: MapType) -> String {
    match kind {
        MapType::Hash => "hash",
        MapType::LruHash => "lru_hash",
        MapType::Array => "array",
        MapType::PerCpuArray => "percpu_array",
        MapType::PerCpuHash => "percpu_hash",
        MapType::LpmTrie => "lpm_trie",
        MapType::SockMap => "sockmap",
        MapType::SockHash => "sockhash",
        MapType::RingBuf => "ringbuf",
        MapType::SkStorage => "sk_storage",
        other => return format!("{other:?}").to_lowercase(),
    }
    .to_owned()
}
