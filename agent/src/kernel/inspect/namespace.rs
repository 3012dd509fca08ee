//! Network namespaces found by their inode: with the agent dead a pod's link tells no more of its namespace.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::net::NetNs;

/// Paths to the network namespaces of this machine at one moment, by inode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(BTreeMap<u64, PathBuf>);

// === impl Namespaces ===

impl Namespaces {
    /// Looks at every process, and at what is mounted, as `ip netns` and container runtimes do.
    pub fn scan() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut found = mounted(&mounts);
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let path = entry.path().join("ns/net");
            // Processes end while they are looked at, and kernel threads have no such link.
            let Ok(link) = fs::read_link(&path) else { continue };
            if let Some(inode) = inode(&link.to_string_lossy()) {
                found.entry(inode).or_insert(path);
            }
        }
        Self(found)
    }

    /// Opens the namespace with this inode; none when it is gone, or held by a socket alone.
    pub fn open(&self, inode: u64) -> Option<NetNs> {
        let netns = NetNs::open(self.0.get(&inode)?).ok()?;
        // The process may have ended and its number been given to another one.
        (netns.inode() == inode).then_some(netns)
    }

    /// Opens the namespace with this cookie, by looking into each of them.
    pub fn with_cookie(&self, cookie: u64) -> Option<NetNs> {
        self.0
            .keys()
            .filter_map(|inode| self.open(*inode))
            .find(|netns| netns.cookie().is_ok_and(|found| found.0 == cookie))
    }
}

/// The namespaces in the form of /proc/self/mountinfo, whose fourth field is the mounted root and the fifth the place.
fn mounted(mounts: &str) -> BTreeMap<u64, PathBuf> {
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        Some((inode(root)?, PathBuf::from(place)))
    });
    places.collect()
}

/// Reads `net:[4026531840]`.
fn inode(name: &str) -> Option<u64> {
    name.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_namespaces_are_found_among_other_mounts() {
        let mounts = "22 1 0:20 / /proc rw - proc proc rw\n\
                      75 30 0:4 net:[4026532455] /run/netns/cart-0 rw shared:1 - nsfs nsfs rw\n\
                      76 30 0:4 mnt:[4026532456] /run/mnt rw - nsfs nsfs rw\n";
        assert_eq!(
            mounted(mounts),
            BTreeMap::from([(4_026_532_455, PathBuf::from("/run/netns/cart-0"))])
        );
    }

    #[test]
    fn the_own_namespace_is_found_through_its_processes() {
        let own = NetNs::current().unwrap();
        let found = Namespaces::scan().open(own.inode()).unwrap();
        assert_eq!(found.inode(), own.inode());
        assert!(Namespaces::scan().open(1).is_none());
        let by_cookie = Namespaces::scan().with_cookie(own.cookie().unwrap().0);
        assert_eq!(by_cookie.unwrap().inode(), own.inode());
    }
}
