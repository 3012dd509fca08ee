//! What the kernel holds, by its own lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use agent_common::{
    MeshId, NodeSettings, PodFlags, PodSettings,
    names::{self, map},
};
use aya::{
    maps::{Array, HashMap, Map, MapData, MapInfo, loaded_maps},
    programs::{
        links::{FdLink, PinnedLink},
        loaded_links, loaded_programs,
    },
};

use crate::wait;

/// The ids of BPF objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BpfIds {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links.
    pub links: BTreeSet<u32>,
}

// === impl BpfIds ===

impl BpfIds {
    /// All of the machine, by the kernel's own lists.
    pub fn read() -> Self {
        Self {
            programs: loaded_programs().flatten().map(|program| program.id()).collect(),
            maps: loaded_maps().flatten().map(|map| map.id()).collect(),
            links: loaded_links().flatten().map(|link| link.id()).collect(),
        }
    }

    /// The ids of what agents with these pins have loaded, pinned or not, by the kernel's own lists: the programs that use
    /// a pinned map, as each of an agent's does, and what belongs to them. What goes meanwhile may be in or not.
    pub fn owned(pins: &Path) -> Self {
        let mut owned = Self::pinned(pins);
        for program in loaded_programs().flatten() {
            let maps = program.map_ids().ok().flatten().unwrap_or_default();
            if maps.iter().any(|map| owned.maps.contains(map)) {
                owned.programs.insert(program.id());
            }
        }
        for program in loaded_programs().flatten() {
            if owned.programs.contains(&program.id()) {
                owned.maps.extend(program.map_ids().ok().flatten().unwrap_or_default());
            }
        }
        let links = loaded_links().flatten();
        let links = links.filter(|link| owned.programs.contains(&link.program_id()));
        owned.links.extend(links.map(|link| link.id()));
        owned
    }

    /// The ids of what is pinned below a folder: maps in folders named `maps`, links with their programs in `links`.
    pub fn pinned(folder: &Path) -> Self {
        let mut ids = Self {
            programs: BTreeSet::new(),
            maps: BTreeSet::new(),
            links: BTreeSet::new(),
        };
        ids.add_pinned(folder);
        ids
    }

    fn add_pinned(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.add_pinned(&path);
            } else if folder.ends_with("maps") {
                // What cannot be opened was unpinned meanwhile.
                self.maps.extend(MapInfo::from_pin(&path).map(|map| map.id()));
            } else if folder.ends_with("links") {
                let link = PinnedLink::from_pin(&path).and_then(|link| FdLink::from(link).info());
                if let Ok(link) = link {
                    self.links.insert(link.id());
                    self.programs.insert(link.program_id());
                }
            }
        }
    }
}

/// Whether the connect programs mark what a pod opens: the last step of a capture. All of it is below a node's pins.
pub(crate) fn marks(pins: &Path, uid: &str) -> bool {
    let pins = pins.join(names::ABI);
    let settings = pins.join(names::PODS).join(uid).join(names::MAPS).join(map::SETTINGS);
    let pods = pins.join(names::MAPS).join(map::PODS);
    let find = || {
        let settings = Array::<_, PodSettings>::try_from(Map::Array(MapData::from_pin(settings)?))?;
        let pods = HashMap::<_, u64, PodFlags>::try_from(Map::HashMap(MapData::from_pin(pods)?))?;
        pods.get(&settings.get(&0, 0)?.cookie(), 0)
    };
    // What is not pinned marks nothing.
    find().is_ok()
}

/// Tells a node's kernel programs another id of the mesh than its agent did. All of it is below the node's pins.
pub(crate) fn know_mesh(pins: &Path, id: MeshId) {
    let node = pins.join(names::ABI).join(names::MAPS).join(map::NODE);
    let open = || Array::<_, NodeSettings>::try_from(Map::Array(MapData::from_pin(&node)?));
    let mut node = open().expect("the node's settings are pinned");
    // The agent's own word comes first, else it would come later.
    let settings = wait::until_some(wait::PATIENCE, "the agent tells the id of its mesh", || {
        let settings = node.get(&0, 0).ok()?;
        settings.mesh().is_some_and(|told| told != id).then_some(settings)
    });
    node.set(0, settings.with_mesh(Some(id)), 0)
        .expect("the node's settings can be written");
}

/// How many descriptors of each kind a process has: without inodes, all sockets are one.
pub(crate) fn descriptors(pid: u32) -> BTreeMap<String, usize> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut kinds = BTreeMap::new();
    for target in open.filter_map(|entry| fs::read_link(entry.path()).ok()) {
        let target = target.to_string_lossy();
        let kind = target.split(":[").next().unwrap_or(&target);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// The network namespaces, by inode, which a process holds open by a descriptor.
pub(crate) fn held_namespaces(pid: u32) -> BTreeSet<u64> {
    // By their file system: what was opened where it is mounted is linked to that place.
    let of_namespaces = fs::metadata("/proc/self/ns/net").expect("/proc is mounted").dev();
    fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .filter(|metadata| metadata.dev() == of_namespaces)
        .map(|metadata| metadata.ino())
        .collect()
}
