//! Two nodes of one mesh, and what their kernel programs counted of the option.

use std::net::{SocketAddr, TcpStream};

use agent_common::{
    MeshId,
    mark::{ASKS, OURS},
};
use harness::{App, Family, Fate, Pod, Relay, Segment, Server, Way, wait};

use crate::{
    counts::{Counts, DUMP},
    mesh::{Mesh, opened},
};

/// A client and a server on two nodes of one mesh.
pub(super) struct Pair {
    _app: Server,
    pub(super) client: Pod,
    pub(super) server: Pod,
    pub(super) mesh: Mesh,
}

/// The counters of both nodes, and how many connections the server's agent accepted.
pub(super) struct Both {
    counts: [Counts; 2],
    accepted: u64,
}

// === impl Pair ===

impl Pair {
    pub(super) fn start() -> Self {
        let mesh = meshed();
        let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
        Self {
            _app: server.serve(8080, App::Echo),
            client,
            server,
            mesh,
        }
    }

    pub(super) fn to(&self, family: Family) -> SocketAddr {
        self.server.addresses().at(family, 8080)
    }

    /// Connects as the client's agent does.
    pub(super) fn ask(&self, family: Family) -> std::io::Result<TcpStream> {
        self.client.dial(self.to(family)).mark(OURS | ASKS).connect()
    }

    /// Puts a path before the client that meddles.
    pub(super) fn relay(&self, meddle: impl Fn(Way, &mut Segment<'_>) -> Fate + Send + Sync + 'static) -> Relay {
        Relay::start(&self.mesh.nodes[0], &self.client, meddle)
    }

    pub(super) fn counts(&self) -> Both {
        Both {
            counts: self.mesh.agents.each_ref().map(|agent| Counts::of(&agent.debug(DUMP))),
            accepted: opened(&self.mesh.agents[1]),
        }
    }

    /// Compares what was said since then at the client's node and at the server's, once the server has accepted.
    pub(super) fn check(&self, before: &Both, expected: [&[(&str, u64)]; 2]) {
        wait::until(wait::PATIENCE, "the server's agent accepts", || {
            opened(&self.mesh.agents[1]) > before.accepted
        });
        let after = self.counts();
        for ((before, after), expected) in before.counts.iter().zip(&after.counts).zip(expected) {
            assert_eq!(said(before, after), expected);
        }
    }
}

/// What rose of what the kernel programs count of it.
pub(super) fn said<'a>(before: &Counts, after: &'a Counts) -> Vec<(&'a str, u64)> {
    let mut said = before.rise(after);
    said.retain(|(reason, _)| SAID.contains(reason));
    said
}

/// Two nodes which know that they are of one mesh.
pub(super) fn meshed() -> Mesh {
    let mesh = Mesh::start();
    mesh.nodes.iter().for_each(|node| node.knows_mesh(MESH));
    mesh
}

/// The id that the nodes know.
pub(super) const MESH: MeshId = MeshId::new(*b"mesh");

/// What the kernel programs count of it.
const SAID: [&str; 5] = ["answered", "asked", "cookie", "heard", "no_room"];
