//! Half connections: a pod's client holds one end, and the other died with an agent before the two had met.
//!
//! The client is connected from the SYN-ACK on. Where the agent dies in just that moment, the client's ACK finds an empty
//! slot and is dropped without an answer (the kernel has no route back from an address that is not the pod's): a client
//! that waits for the server to speak would wait for ever.

use agent_common::mark::{CAPTURED, OURS};

use super::with_causes;
use crate::{
    model::Pod,
    net::{ListedSocket, Listing, Mark, NetError, NetNs, TcpState},
};

/// Ends the half connections in a pod's namespace, so that their clients come again. To be called while no agent listens
/// there.
///
/// A client that waits longer is no reason not to capture the pod.
pub(super) fn end(pod: &Pod, netns: &NetNs) {
    match try_end(netns) {
        Ok(0) => {}
        Ok(count) => tracing::info!(pod = %pod.name, count, "Half connections ended"),
        Err(error) => tracing::warn!(pod = %pod.name, error = %with_causes(&error), "Half connections cannot be ended"),
    }
}

fn try_end(netns: &NetNs) -> Result<usize, NetError> {
    let list = || ListedSocket::list(netns, Listing::Connections);
    let clients: Vec<_> = list()?.into_iter().filter(is_connected_client).collect();
    if clients.is_empty() {
        return Ok(0);
    }
    // A list is no moment. The other end of what was connected in the first one is in the second one if it is anywhere.
    let halves = halves(clients, &list()?);
    halves.iter().try_for_each(|socket| socket.destroy(netns))?;
    Ok(halves.len())
}

/// Those of the connected clients that still are, without another end.
fn halves(mut clients: Vec<ListedSocket>, later: &[ListedSocket]) -> Vec<ListedSocket> {
    clients.retain(|client| {
        later
            .iter()
            .any(|socket| socket.is_same(client) && is_connected_client(socket))
            && !later.iter().any(|socket| is_other_end(socket, client))
    });
    clients
}

fn is_other_end(socket: &ListedSocket, client: &ListedSocket) -> bool {
    // What a listener has begun outlives it for a second, and nothing comes of it.
    let never = socket.state == TcpState::SynReceived && socket.mark.is_some_and(|Mark(mark)| mark & OURS != 0);
    (socket.local, socket.peer) == (client.peer, client.local) && !never
}

/// Whether a pod has opened it, through the agent: the agent's own sockets bear another mark.
fn is_connected_client(socket: &ListedSocket) -> bool {
    let captured = |Mark(mark)| mark & (CAPTURED | OURS) == CAPTURED;
    socket.mark.is_some_and(captured) && socket.state == TcpState::Established
}
