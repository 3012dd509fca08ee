//! Captured pods, handed from the kernel room to the proxy and to DNS.

use std::{collections::HashMap, sync::Arc};

use agent_common::mark;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    dns,
    kernel::{Captured, Change, Departure, PerFamily},
    model::{Mesh, ObjectName, PodUid},
    net::{Mark, NetNs},
    proxy::{self, Closing, Door, Proxy},
    telemetry::DnsMetrics,
};

/// Opens and closes the doors of the node's pods.
pub(super) struct Doors {
    mesh: watch::Receiver<Arc<Mesh>>,
    dns_metrics: DnsMetrics,
    dns: HashMap<PodUid, AbortOnDropHandle<()>>,
}

// === impl Doors ===

impl Doors {
    pub(super) fn new(mesh: watch::Receiver<Arc<Mesh>>, dns_metrics: DnsMetrics) -> Self {
        Self {
            mesh,
            dns_metrics,
            dns: HashMap::new(),
        }
    }

    /// Passes a change on.
    pub(super) fn change(&mut self, change: Change, proxy: &Proxy) {
        match change {
            Change::Up(captured) => self.open(*captured, proxy),
            Change::Down { uid, departure } => {
                self.dns.remove(&uid);
                proxy.close(&uid, closing(departure));
            }
        }
    }

    /// Answers no more DNS: the kernel leads the questions to their resolvers again.
    pub(super) fn close_dns(&mut self) {
        self.dns.clear();
    }

    fn open(&mut self, captured: Captured, proxy: &Proxy) {
        let Captured {
            pod,
            netns,
            addresses: _,
            listeners,
            dns,
            hold,
        } = captured;
        if let Some(sockets) = dns {
            self.serve_dns(pod.uid.clone(), pod.name.clone(), netns.clone(), sockets);
        }
        proxy.open(Door {
            pod,
            netns,
            listeners: proxy::Listeners {
                outbound: pair(listeners.outbound),
                inbound: pair(listeners.inbound),
            },
            hold: proxy::Hold::new(hold),
        });
    }

    fn serve_dns(&mut self, uid: PodUid, pod: ObjectName, netns: NetNs, sockets: PerFamily<std::net::UdpSocket>) {
        let door = dns::Door {
            pod,
            netns,
            sockets: sockets.v4.into_iter().chain(sockets.v6).collect(),
            mark: Mark(mark::OURS),
        };
        let serving = dns::serve(door, self.mesh.clone(), self.dns_metrics.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "DNS questions are not answered"
                );
            }
        });
        self.dns.insert(uid, AbortOnDropHandle::new(task));
    }
}

fn pair(listeners: PerFamily<std::net::TcpListener>) -> proxy::Pair {
    proxy::Pair {
        v4: listeners.v4,
        v6: listeners.v6,
    }
}

fn closing(departure: Departure) -> Closing {
    match departure {
        Departure::Left => Closing::Leave,
        Departure::Gone => Closing::Gone,
    }
}
