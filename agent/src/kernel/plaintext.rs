//! Connections that are older than a pod's capture: no agent sees them, and a Strict pod's are ended so that its clients
//! come back through the mesh.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use agent_common::mark::{CAPTURED, OURS};

use super::{Kernel, apply::said, capture::Capture};
use crate::{
    model::{Mesh, Pod, PodUid},
    net::{ListedSocket, Listing, Mark, NetError, TcpState},
};

/// By which mesh the older connections of each captured pod were looked at last.
#[derive(Debug, Default)]
pub(super) struct Looked(BTreeMap<PodUid, u64>);

// === impl Kernel ===

impl Kernel {
    /// Ends what is older than the capture of pods and in plaintext, where the mesh says that it may not be.
    pub(super) fn end_plaintext(&mut self, mesh: &Mesh) {
        self.looked.0.retain(|uid, _| self.captures.contains_key(uid));
        for (uid, capture) in &self.captures {
            let looked = self.looked.0.insert(uid.clone(), mesh.generation);
            let Some(pod) = mesh.pods.get(uid).filter(|_| looked != Some(mesh.generation)) else {
                continue;
            };
            if mesh.is_strict_anywhere(pod) {
                let ended = capture.end_plaintext(pod, mesh);
                said("Plaintext connections of a Strict pod cannot be ended", ended);
            }
        }
    }
}

// === impl Capture ===

impl Capture {
    fn end_plaintext(&self, pod: &Pod, mesh: &Mesh) -> Result<(), NetError> {
        let listeners: BTreeSet<u16> = ListedSocket::list(&self.netns, Listing::Listeners)?
            .iter()
            .map(|listener| listener.local.port())
            .collect();
        for socket in ListedSocket::list(&self.netns, Listing::Connections)? {
            if is_older(&socket) && is_forbidden(&socket, &listeners, pod, mesh) {
                tracing::info!(pod = %pod.name, local = %socket.local, peer = %socket.peer, "Plaintext connection ended");
                socket.destroy(&self.netns)?;
            }
        }
        Ok(())
    }
}

/// Whether a connection was made before the pod was captured, or past the capture: it bears none of our marks, neither
/// its own nor that of the leg by which the agent would have made it (`tcp_fwmark_accept`).
fn is_older(socket: &ListedSocket) -> bool {
    let ours = socket.mark.is_some_and(|Mark(mark)| mark & (CAPTURED | OURS) != 0);
    let open = match socket.state {
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait1 | TcpState::FinWait2 => true,
        TcpState::SynSent
        | TcpState::SynReceived
        | TcpState::TimeWait
        | TcpState::Closed
        | TcpState::LastAck
        | TcpState::Listen
        | TcpState::Closing => false,
    };
    open && !ours
}

/// Whether plaintext is refused between these two, by the policies of whichever of them serves.
fn is_forbidden(socket: &ListedSocket, listeners: &BTreeSet<u16>, pod: &Pod, mesh: &Mesh) -> bool {
    let [local, peer] = [socket.local, socket.peer].map(canonical);
    if peer.ip().is_loopback() || peer.ip() == local.ip() || pod.ips.contains(&peer.ip()) {
        return false;
    }
    if !listeners.contains(&local.port()) {
        let endpoint = mesh.endpoint_at(peer);
        return endpoint.is_some_and(|endpoint| mesh.requires_mtls(endpoint, peer.port()));
    }
    // The kubelet's probes pass by the agent. Whoever is no pod may be the kubelet.
    let may_be_probe = pod.probe_ports.contains(&local.port()) && mesh.endpoint_at(peer).is_none();
    !may_be_probe && !mesh.admits_plaintext(pod, local.port(), peer.ip())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
