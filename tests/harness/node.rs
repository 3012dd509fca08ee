//! A node: a namespace on the underlay, forwarding for its pods.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use agent_common::MeshId;

use crate::{Addresses, App, Ca, Launch, Netns, Pod, Server, Start, kernel, lab::Shared, sweep};

/// A simulated node. Its routes to other nodes' pods go by a fixed rule, so nodes know nothing of each other.
#[derive(Debug)]
pub struct Node {
    lab: Arc<Shared>,
    name: String,
    netns: Arc<Netns>,
    number: u8,
    hosts: AtomicU16,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(lab: Arc<Shared>, name: &str, number: u8) -> Self {
        let name = format!("{}{name}", lab.prefix);
        let netns = Arc::new(Netns::create(&name));
        netns.run(|| {
            for (key, value) in SETTINGS {
                std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap_or_else(|error| panic!("{key}: {error}"));
            }
        });

        let (own, bridge) = (Addresses::node(number), Addresses::pod(number, 1));
        // A bridge without an address of its own takes its ports' lowest, which changes when that port goes.
        let mut batch = format!(
            "link set lo up\n\
             link add eth0 type veth peer name node{number} netns {underlay}\n\
             link add cni0 address 02:00:00:00:00:{number:02x} type bridge mcast_snooping 0\n\
             address add {own4}/16 dev eth0\naddress add {own6}/64 dev eth0 nodad\n\
             address add {bridge4}/16 dev cni0\naddress add {bridge6}/64 dev cni0 nodad\n\
             link set eth0 up\nlink set cni0 up\n",
            underlay = lab.underlay.name(),
            own4 = own.v4,
            own6 = own.v6,
            bridge4 = bridge.v4,
            bridge6 = bridge.v6,
        );
        for other in (1..=MOST).filter(|other| *other != number) {
            let (pods, via) = (Addresses::pod(other, 0), Addresses::node(other));
            batch += &format!(
                "route add {}/16 via {}\nroute add {}/64 via {}\n",
                pods.v4, via.v4, pods.v6, via.v6
            );
        }
        netns.ip(&batch);
        lab.underlay.ip(&format!("link set node{number} master br0 up\n"));

        Self {
            lab,
            name,
            netns,
            number,
            hosts: AtomicU16::new(10),
        }
    }

    /// The node's name, unique on this machine: pins lie under it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace, which the agent runs in.
    pub fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// Its addresses on the underlay.
    pub fn addresses(&self) -> Addresses {
        Addresses::node(self.number)
    }

    /// Its addresses on the pods' bridge, which probes come from.
    pub fn gateway(&self) -> Addresses {
        Addresses::pod(self.number, 1)
    }

    /// Prepares a pod, `namespace/name`.
    pub fn pod(&self, name: &str) -> Start<'_> {
        Start::new(self, name)
    }

    /// Prepares the node's agent.
    pub fn agent(&self) -> Launch {
        Launch::new(self)
    }

    /// Starts the lab's CA on this node, with these arguments.
    pub fn ca(&self, arguments: &[&str]) -> Ca {
        Ca::start(self, arguments)
    }

    /// Starts an application of the node itself, on all its addresses.
    pub fn serve(&self, port: u16, app: App) -> Server {
        Server::tcp(&self.netns, SocketAddr::from(([0u16; 8], port)), &self.name, app)
    }

    /// Starts a UDP echo of the node itself at one address, which its answers come from.
    pub fn serve_udp(&self, address: SocketAddr) -> Server {
        Server::udp(&self.netns, address)
    }

    /// Takes addresses of this node's range of which nothing ever answers: packets to it vanish on this node.
    pub fn black_hole(&self) -> Addresses {
        let addresses = self.next_addresses();
        self.netns.ip(&format!(
            "route add blackhole {}/32\nroute add blackhole {}/128\n",
            addresses.v4, addresses.v6
        ));
        addresses
    }

    /// The folder of the node's pins.
    pub fn pins(&self) -> PathBuf {
        PathBuf::from(sweep::BPFFS).join("weft").join(&self.name)
    }

    /// Whether what the pod opens is captured.
    pub fn captures(&self, pod: &Pod) -> bool {
        kernel::marks(&self.pins(), pod.uid())
    }

    /// Tells the node's kernel programs the id of the mesh.
    pub fn knows_mesh(&self, id: MeshId) {
        kernel::know_mesh(&self.pins(), id);
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn lab(&self) -> &Arc<Shared> {
        &self.lab
    }

    pub(crate) fn next_addresses(&self) -> Addresses {
        Addresses::pod(self.number, self.hosts.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        sweep::kill_inside(&HashSet::from([self.netns.inode()]));
        sweep::unpin(&self.name);
        // The veth is the underlay's too; without it nothing of this node answers, whoever still holds the namespace.
        let _ = self.lab.underlay.try_ip(&format!("link del node{}\n", self.number));
    }
}

/// How many nodes a lab may have.
const MOST: u8 = 4;

const SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
];
