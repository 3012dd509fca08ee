//! Pinned links: which program is attached where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use agent_common::names;
use aya::programs::links::{FdLink, LinkType, PinnedLink};
use serde::{Deserialize, Serialize};

use super::{InspectError, Pins, Scope, fdinfo::FdInfo};
use crate::kernel::{
    attached::{self, Hook},
    balancer::NAMES,
};

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The kernel's id.
    pub id: u32,
    /// The type, as bpftool names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the pin, which is the program's.
    pub name: String,
    /// The id of the attached program.
    pub prog_id: u32,
    /// The hook, as bpftool names it.
    pub attach_type: Option<String>,
    /// The cgroup's id, where it is attached to one; 0 when that cgroup is gone.
    pub cgroup_id: Option<u64>,
    /// The inode of the network namespace, where it is attached to one; 0 when that namespace is gone.
    pub netns_ino: Option<u64>,
    /// The pod whose it is; none for those of the whole node.
    pub pod: Option<String>,
    /// Where it is pinned.
    pub pinned: PathBuf,
}

/// A program on a cgroup: one of ours, or one of somebody else that decides about connect() as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupAttachment {
    /// The cgroup's folder; none when it is gone, or mounted where this process does not see it.
    pub cgroup: Option<PathBuf>,
    /// The cgroup's id.
    pub cgroup_id: u64,
    /// The hook, as bpftool names it.
    pub attach_type: Option<String>,
    /// The program's name.
    pub name: String,
    /// The id of the program.
    pub prog_id: u32,
    /// The id of the link; none for programs of others.
    pub link_id: Option<u32>,
    /// Whose it is.
    pub owner: Owner,
}

/// Whose a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// One of Weft's.
    Weft,
    /// Somebody else's, such as the load balancer of a CNI.
    Other,
}

// === impl Owner ===

impl Owner {
    /// Whose, as tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Weft => "weft",
            Self::Other => "other",
        }
    }
}

// === impl Pins ===

impl Pins {
    /// Every pinned link: the node's first, then the pods' in the order of their UIDs.
    pub fn links(&self) -> Result<Vec<Link>, InspectError> {
        let pins = self.pins(names::LINKS)?;
        pins.into_iter()
            .map(|(scope, name, path)| Link::read(scope, name, path))
            .collect()
    }

    /// The programs of the whole node with the cgroups on which they sit, then those of others at the same hooks there or
    /// above: what they do to a destination is done before or behind ours.
    pub fn cgroup_attachments(&self) -> Result<Vec<CgroupAttachment>, InspectError> {
        let links = self.links()?;
        let folders = cgroup_folders(&links);
        let attachments = links.into_iter().filter_map(|link| {
            let cgroup_id = link.cgroup_id?;
            Some(CgroupAttachment {
                cgroup: folders.get(&cgroup_id).cloned(),
                cgroup_id,
                attach_type: link.attach_type,
                name: link.name,
                prog_id: link.prog_id,
                link_id: Some(link.id),
                owner: Owner::Weft,
            })
        });
        let attachments: Vec<CgroupAttachment> = attachments.collect();
        let others = others(&attachments);
        Ok(attachments.into_iter().chain(others).collect())
    }
}

// === impl Link ===

impl Link {
    fn read(scope: Scope, name: String, pinned: PathBuf) -> Result<Self, InspectError> {
        let failed = |source| InspectError::Link {
            path: pinned.clone(),
            source,
        };
        let link = FdLink::from(PinnedLink::from_pin(&pinned).map_err(failed)?);
        let info = link.info().map_err(failed)?;
        let fdinfo = FdInfo::of_link(info.id());
        Ok(Self {
            id: info.id(),
            kind: info.link_type().map_or_else(|_| "unknown".to_owned(), type_name),
            prog_id: info.program_id(),
            attach_type: fdinfo.field("attach_type").map(attach_type_name),
            cgroup_id: fdinfo.field("cgroup_id"),
            netns_ino: fdinfo.field("netns_ino"),
            pod: scope.pod(),
            pinned,
            name,
        })
    }
}

fn type_name(kind: LinkType) -> String {
    match kind {
        LinkType::Cgroup => "cgroup".to_owned(),
        LinkType::Netns => "netns".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Names a hook, which fdinfo tells as the number of `enum bpf_attach_type` (linux/bpf.h).
fn attach_type_name(number: String) -> String {
    match number.as_str() {
        "3" => "sock_ops".to_owned(),
        "10" => "connect4".to_owned(),
        "11" => "connect6".to_owned(),
        "14" => "sendmsg4".to_owned(),
        "15" => "sendmsg6".to_owned(),
        "36" => "sk_lookup".to_owned(),
        _ => number,
    }
}

/// The programs of others at the connect hooks of the cgroups of ours and of those above, from the top.
fn others(ours: &[CgroupAttachment]) -> Vec<CgroupAttachment> {
    let folders: BTreeSet<&Path> = ours
        .iter()
        .filter_map(|attachment| attachment.cgroup.as_deref())
        .flat_map(Path::ancestors)
        .collect();
    let mut others = Vec::new();
    for folder in folders {
        for (hook, attach_type) in Hook::ALL {
            // What is above the root of the cgroups is no cgroup.
            let found = File::open(folder).and_then(|cgroup| attached::attached(&cgroup, hook));
            for prog_id in found.unwrap_or_default() {
                let name = attached::name(prog_id).unwrap_or_default();
                if !NAMES.contains(&name.as_str()) {
                    others.push(CgroupAttachment {
                        cgroup: Some(folder.to_owned()),
                        cgroup_id: fs::metadata(folder).map(|folder| folder.ino()).unwrap_or_default(),
                        attach_type: Some(attach_type.to_owned()),
                        name,
                        prog_id,
                        link_id: None,
                        owner: Owner::Other,
                    });
                }
            }
        }
    }
    others
}

/// The folders of the links' cgroups, by the cgroups' ids, which are the inodes of their folders.
fn cgroup_folders(links: &[Link]) -> BTreeMap<u64, PathBuf> {
    let wanted = links.iter().filter_map(|link| link.cgroup_id).collect::<Vec<_>>();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut folders = BTreeMap::new();
    for line in mounts.lines() {
        if let [_, place, "cgroup2", ..] = line.split(' ').collect::<Vec<_>>()[..] {
            find_folders(Path::new(place), &wanted, &mut folders);
        }
    }
    folders
}

fn find_folders(folder: &Path, wanted: &[u64], found: &mut BTreeMap<u64, PathBuf>) {
    if wanted.iter().all(|id| found.contains_key(id)) {
        return;
    }
    let Ok(metadata) = fs::metadata(folder) else {
        return;
    };
    if wanted.contains(&metadata.ino()) {
        found.entry(metadata.ino()).or_insert_with(|| folder.to_owned());
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_folders(&entry.path(), wanted, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_weft_does_not_use_keeps_its_number() {
        assert_eq!(attach_type_name("10".to_owned()), "connect4");
        assert_eq!(attach_type_name("99".to_owned()), "99");
    }

    #[test]
    fn folders_are_found_by_their_inode() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let id = fs::metadata(&deep).unwrap().ino();
        let mut found = BTreeMap::new();
        find_folders(root.path(), &[id], &mut found);
        assert_eq!(found, BTreeMap::from([(id, deep)]));
    }
}
