//! How an address of another node is reached: by mutual TLS where an agent answers, else in plaintext, where that may be.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use agent_common::mark;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    carrier::Carrier,
    connect::{not_connected, not_made},
    door::OpenDoor,
    lane::Lane,
    settings::Pooling,
    stream::ResetOnDrop,
    wire::Role,
};
use crate::{
    model::{Mesh, ObjectName},
    net::{self, Family, Mark, Spoken},
    telemetry::{Denied, TlsSide},
    tls::{self, Established, Expected, Protocol},
};

/// An address of another node, and who must be there.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) address: SocketAddr,
    pub(super) expected: Expected,
    /// Whether an agent may be there.
    inside: bool,
    /// Whether plaintext is out of the question.
    strict: bool,
    /// Whether this node has spoken mutual TLS with the pod a short while ago.
    met: bool,
    /// Whether it has done so with a pod at the address, whose name is not known.
    met_here: bool,
}

/// A connection to a [`Remote`].
#[derive(Debug)]
pub(super) enum Line {
    /// Plaintext.
    Plaintext(ResetOnDrop),
    /// A connection to its agent, ready for a stream.
    Mesh {
        carrier: Box<Carrier>,
        /// Whether it has carried a stream before.
        reused: bool,
    },
    /// A new connection to its agent that carries HTTP.
    Requests(Box<Secured>),
}

/// Why there is no connection to a [`Remote`].
#[derive(Clone, Copy, Debug)]
enum NotDialled {
    /// It is refused, or nobody is there.
    Refused(Denied),
    /// An agent was there, and broke off before the handshake was done: most often because it ends.
    BrokenOff(Denied),
}

/// A connection to another agent after its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: ResetOnDrop,
    pub(super) established: Established,
}

// === impl Remote ===

impl Remote {
    /// What the mesh knows of an address to which a pod connects, by way of a service or not.
    pub(super) fn new(address: SocketAddr, service: Option<&ObjectName>, mesh: &Mesh, lane: &Lane) -> Self {
        let endpoint = mesh.endpoint_at(address);
        let pod = endpoint.and_then(|endpoint| endpoint.pod.as_ref());
        let namespace = pod.map(|(_, name)| name).or(service).map(|name| name.namespace.clone());
        let memory = &lane.shared.met;
        let enrols = |namespace: &str| mesh.policies.enrolled_namespaces.contains(namespace);
        let met = pod.is_some_and(|(uid, name)| memory.contains(uid) && enrols(&name.namespace));
        let met_here = pod.is_none()
            && memory
                .namespace_at(address.ip())
                .is_some_and(|namespace| enrols(&namespace));
        Self {
            address,
            expected: Expected {
                uid: pod.map(|(uid, _)| uid.clone()),
                ip: address.ip(),
                namespace,
            },
            inside: endpoint.is_some() || is_pods(address.ip(), mesh),
            strict: met || endpoint.is_some_and(|endpoint| mesh.requires_mtls(endpoint, address.port())),
            met,
            met_here,
        }
    }

    /// Whether a refusal may only mean that the agent of the pod is being replaced. One that lives takes every connection,
    /// whatever its application does; while it is away a pod that fails open answers in plaintext, and one that fails
    /// closed, as all Strict ones do, with a reset.
    fn may_come_back(&self, denied: Denied) -> bool {
        (denied == Denied::PeerNotInMesh && self.met)
            || (denied == Denied::UpstreamRefused && (self.strict || self.met_here))
    }

    /// The same where an agent was seen to be there: from here on the pod is not reached in plaintext.
    fn seen(&self) -> Self {
        Self {
            strict: true,
            met: true,
            ..self.clone()
        }
    }
}

// === impl NotDialled ===

impl NotDialled {
    fn denied(self) -> Denied {
        match self {
            Self::Refused(denied) | Self::BrokenOff(denied) => denied,
        }
    }
}

impl From<Denied> for NotDialled {
    fn from(denied: Denied) -> Self {
        Self::Refused(denied)
    }
}

/// Connects to the remote address; for streams of bytes a connection that waits is taken.
///
/// Connections for HTTP wait in a pool of their own, which was looked into before.
///
/// The agent of a pod that is known to be in the mesh is waited for while it is being replaced. One that breaks off before
/// the handshake is done, so before anything of the client was said, is asked again.
pub(super) async fn dial(
    remote: &Remote,
    protocol: Protocol,
    source: &Arc<OpenDoor>,
    lane: &Lane,
) -> Result<Line, Denied> {
    // The time for all of it must not be over first: the reason would be lost.
    let end = Instant::now() + lane.shared.settings.connect_timeout * 4 / 5;
    let mut pause = SHORTEST_PAUSE;
    let mut remote = Cow::Borrowed(remote);
    let mut broken_off = 0;
    loop {
        let refused = match dial_once(&remote, protocol, source, lane).await {
            Ok(line) => return Ok(line),
            Err(refused) => refused,
        };
        let again = match refused {
            NotDialled::Refused(denied) => remote.may_come_back(denied),
            NotDialled::BrokenOff(_) => {
                broken_off += 1;
                remote = Cow::Owned(remote.seen());
                broken_off <= MOST_BROKEN_OFF
            }
        };
        if !again || Instant::now() + pause >= end {
            return Err(refused.denied());
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

async fn dial_once(
    remote: &Remote,
    protocol: Protocol,
    source: &Arc<OpenDoor>,
    lane: &Lane,
) -> Result<Line, NotDialled> {
    let waiting = match protocol {
        Protocol::Tcp => lane.pool.take(source, remote.address, &remote.expected, lane),
        Protocol::Http1 | Protocol::Http2 => None,
    };
    if let Some(carrier) = waiting {
        return Ok(Line::Mesh { carrier, reused: true });
    }
    let asks = remote.inside && may_ask(source, lane);
    let mark = if asks { mark::OURS | mark::ASKS } else { mark::OURS };
    let socket =
        net::outbound(&source.netns, Family::of(remote.address), Mark(mark)).map_err(|error| not_made(&error))?;
    let stream = socket
        .connect(remote.address)
        .await
        .map_err(|error| not_connected(&error))?;
    // Only a connection that the endpoint has already reset refuses options; the copy finds that out.
    let _ = net::tune(&stream, lane.shared.settings.liveness);
    let spoken = if asks {
        net::spoken(&stream).unwrap_or(Spoken::No)
    } else {
        Spoken::No
    };
    match spoken {
        Spoken::Mesh => {
            let secured = shake_hands(stream, remote, protocol, source, lane).await?;
            Ok(match protocol {
                Protocol::Tcp => {
                    let Secured { stream, established } = secured;
                    let carrier = Carrier::new(stream, established, Role::Client, lane.next_id());
                    Line::Mesh {
                        carrier: Box::new(carrier),
                        reused: false,
                    }
                }
                Protocol::Http1 | Protocol::Http2 => Line::Requests(Box::new(secured)),
            })
        }
        Spoken::No | Spoken::Unknown if remote.strict => Err(Denied::PeerNotInMesh.into()),
        Spoken::No | Spoken::Unknown => {
            if remote.met_here {
                lane.shared.met.forget_address(remote.address.ip());
            }
            Ok(Line::Plaintext(ResetOnDrop::new(stream)))
        }
    }
}

/// Whether the pod has a certificate, or will have one: one that leaves the mesh gets none.
fn may_ask(source: &OpenDoor, lane: &Lane) -> bool {
    let uid = &source.pod.uid;
    let enrolled = || {
        lane.shared
            .mesh
            .borrow()
            .pods
            .get(uid)
            .is_some_and(|pod| pod.enrolled())
    };
    lane.shared.identities.of(uid).is_some() || enrolled()
}

/// Waits for the pod's own certificate where it has none yet: a pair of enrolled pods never speaks plaintext.
async fn shake_hands(
    stream: TcpStream,
    remote: &Remote,
    protocol: Protocol,
    source: &Arc<OpenDoor>,
    lane: &Lane,
) -> Result<Secured, NotDialled> {
    // Whatever goes wrong, the peer is not to take it for the orderly end of a connection.
    let stream = ResetOnDrop::new(stream);
    let uid = &source.pod.uid;
    let identities = &lane.shared.identities;
    let credentials = match identities.of(uid) {
        Some(credentials) => credentials,
        None => timeout(lane.shared.settings.connect_timeout, identities.issued(uid))
            .await
            .map_err(|_elapsed| Denied::NoCertificate)?,
    };
    let credentials = match lane.shared.settings.pool {
        Pooling::Kept => credentials,
        Pooling::Off => Arc::new(credentials.forgetful()),
    };
    let established = tls::connect(&stream, &credentials, &remote.expected, protocol)
        .await
        .map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, address = %remote.address, "TLS handshake failed");
            match error.broke_off() {
                true => NotDialled::BrokenOff(error.denied()),
                false => NotDialled::Refused(error.denied()),
            }
        })?;
    lane.shared.telemetry.shook_hands(TlsSide::Client, established.resumed);
    lane.shared.met.insert(&established.peer, remote.address.ip());
    lane.pool.dialled(source, &established.peer, &lane.shared.mesh());
    Ok(Secured { stream, established })
}

/// Whether the address lies in the ranges of pods.
fn is_pods(ip: IpAddr, mesh: &Mesh) -> bool {
    mesh.config.pod_cidrs.contains(ip)
}

/// Between two looks whether an agent is back: each may be a connection that the application sees end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often in a row an agent may break off: one that does so again and again has its reasons, as a full table.
const MOST_BROKEN_OFF: usize = 3;
