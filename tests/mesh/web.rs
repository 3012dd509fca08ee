//! A service with one pod behind it, and a client that has been answered by it.

use std::{io, net::TcpStream};

use harness::{Addresses, App, Family, Object, Pod, Server, wait};

use super::Mesh;

/// The service `mesh/web` with one pod of that name, and a client on the first node.
pub(crate) struct Web {
    pub(crate) client: Pod,
    pub(crate) server: Pod,
    pub(crate) app: Server,
    pub(crate) mesh: Mesh,
}

// === impl Web ===

impl Web {
    /// The service's port has this name, and its pod is on this node; the client has been `served` in both families.
    pub(crate) fn start(node: usize, port: &str, app: App, served: impl Fn(TcpStream) -> bool) -> Self {
        let mesh = Mesh::start_secured();
        let client = mesh.pod(0, "mesh/client");
        let service = Object::service("mesh/web", Self::SERVICE, "web").port(port, 80, 8080);
        let (server, app) = mesh.serve(node, &service, app);
        mesh.wait_certified();
        let web = Self {
            client,
            server,
            app,
            mesh,
        };
        for family in Family::BOTH {
            wait::until(wait::PATIENCE, "the service is served", || {
                web.connect(family).is_ok_and(&served)
            });
        }
        web
    }

    /// Connects to the service.
    pub(crate) fn connect(&self, family: Family) -> io::Result<TcpStream> {
        self.client.connect(Self::SERVICE.at(family, 80))
    }

    /// Its addresses.
    pub(crate) const SERVICE: Addresses = Addresses::service(10);
}
