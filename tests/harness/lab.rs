//! The laboratory: an underlay on which nodes stand, and the manifests that describe them.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::geteuid,
};
use tempfile::TempDir;

use crate::{Addresses, ApiServer, Manifests, Netns, Node, peer::NotThere, skip, sweep};

/// An underlay of its own, without a link to the host: nothing of one lab reaches another.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
}

/// What the nodes of a lab hold in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) underlay: Arc<Netns>,
    pub(crate) manifests: Manifests,
    /// The beginning of each name of this lab.
    pub(crate) prefix: String,
    folder: TempDir,
    nodes: AtomicU8,
}

// === impl Lab ===

impl Lab {
    /// Makes a lab without nodes.
    pub fn new() -> Self {
        assert!(
            geteuid().is_root(),
            "these tests make network namespaces and load kernel programs: run them as root"
        );
        sweep::leftovers();
        mount_bpffs();

        static LABS: AtomicU32 = AtomicU32::new(1);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}{number}-", sweep::prefix());
        let prefix = format!("{unique}{}-", short(&skip::current_test()));
        // Without the test's name: the path of a socket in it has room for 107 bytes.
        let folder = TempDir::with_prefix(&unique).expect("a temporary folder can be made");

        let underlay = Arc::new(Netns::create(&format!("{prefix}underlay")));
        underlay.ip("link add br0 type bridge mcast_snooping 0\nlink set br0 up\n");

        let manifests = Manifests::new(folder.path());
        let shared = Shared {
            underlay,
            manifests,
            prefix,
            folder,
            nodes: AtomicU8::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Adds a node.
    pub fn node(&self, name: &str) -> Node {
        let number = self.shared.nodes.fetch_add(1, Ordering::Relaxed) + 1;
        Node::new(Arc::clone(&self.shared), name, number)
    }

    /// The folder that all agents of the lab read.
    pub fn manifests(&self) -> &Manifests {
        &self.shared.manifests
    }

    /// The namespace of the bridge which the nodes are connected by.
    pub fn underlay(&self) -> &Netns {
        &self.shared.underlay
    }

    /// A folder for whatever the test needs.
    pub fn folder(&self) -> &Path {
        self.shared.folder()
    }

    /// Starts an API server on the underlay, where every node reaches it and nothing else of this machine does.
    pub fn api_server(&self) -> Result<ApiServer, NotThere> {
        let address = Addresses::underlay();
        self.shared.underlay.ip(&format!(
            "link set lo up\naddress replace {}/16 dev br0\naddress replace {}/64 dev br0 nodad\n",
            address.v4, address.v6
        ));
        ApiServer::start_at(address.v4.into(), Some(Arc::clone(&self.shared.underlay)))
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The last part of a test's path as a part of a node's name may be written (RFC 1123), cut to a readable length.
fn short(test: &str) -> String {
    let name = test
        .rsplit("::")
        .next()
        .unwrap_or(test)
        .to_ascii_lowercase()
        .replace('_', "-");
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect();
    name.trim_matches('-').to_owned()
}

fn mount_bpffs() {
    let path = PathBuf::from(sweep::BPFFS);
    let mounted = statfs(&path).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC);
    if !mounted {
        mount(Some("bpf"), &path, Some("bpf"), MsFlags::empty(), None::<&str>).expect("bpffs can be mounted");
    }
}
