//! The near end of a lease: who asks for it and keeps it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use agent_common::mark;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Between, Claim, Lease, Leases, Nonce, State, Tuple, lock};
use crate::{
    model::Mesh,
    net::{self, Family, Mark},
    proxy::{
        connect::not_made,
        door::OpenDoor,
        lane::Lane,
        // A lease is renewed as pooled connections are.
        pool::{LONGEST, LONGEST_IDLE, SETTLED},
        stream::ResetOnDrop,
    },
    telemetry::Denied,
};

/// Where a lease is asked for.
pub(super) struct Near {
    pub(super) door: Arc<OpenDoor>,
    /// The pod's own address.
    pub(super) ip: IpAddr,
}

/// Asks for a lease and keeps it for as long as it is used and the pod is captured.
pub(super) async fn keep(between: Between, lease: Arc<Lease>, near: Near, lane: Rc<Lane>) {
    let source = &near.door;
    let _forgotten = Forgotten {
        between: &between,
        lease: &lease,
        leases: &lane.shared.leases,
    };
    let kept = async {
        let mut versions = Versions::of(&lane.shared.mesh(), source, between.destination);
        let mut mesh = lane.shared.mesh.clone();
        loop {
            let asked = Instant::now();
            let connection = match ask(between.destination, &near, &lane).await {
                Ok(connection) => connection,
                Err(denied) => {
                    lease.state.send_replace(State::Refused(denied));
                    return sleep(NOT_ASKED_AGAIN).await;
                }
            };
            lease.state.send_replace(State::Held);
            let again = term(versions.renewed);
            versions.renewed = false;
            tokio::select! {
                () = unused(&lease) => return,
                () = closed(&connection.stream) => return,
                () = sleep_until(asked + again) => {}
                () = versions.changed(&mut mesh, source, between.destination) => {
                    lease.state.send_replace(State::Asked);
                }
            }
        }
    };
    let left = async {
        source.closing.cancelled().await;
        // What its listeners had queued is still served.
        if !source.is_gone() {
            sleep(FAREWELL).await;
        }
    };
    tokio::select! {
        () = kept => {}
        () = left => {}
        () = lease.killed.cancelled() => {}
    }
}

/// Waits until the lease has not been used for as long as a pooled connection may wait.
async fn unused(lease: &Lease) {
    loop {
        let idle = lease.last_used() + LONGEST_IDLE;
        if idle <= Instant::now() {
            return;
        }
        sleep_until(idle).await;
    }
}

/// How long a lease holds before it is asked for anew. A network policy takes effect some time after its change.
fn term(policies_changed: bool) -> Duration {
    if policies_changed { SETTLED } else { LONGEST }
}

/// The NetworkPolicies of both ends' namespaces.
struct Versions {
    source: u64,
    destination: u64,
    /// Whether they have just changed.
    renewed: bool,
}

// === impl Versions ===

impl Versions {
    fn of(mesh: &Mesh, source: &OpenDoor, destination: SocketAddr) -> Self {
        let pod = mesh.pod_at(destination.ip());
        Self {
            source: mesh.network_policy_version(&source.pod.name.namespace),
            destination: pod.map_or(0, |pod| mesh.network_policy_version(&pod.name.namespace)),
            renewed: false,
        }
    }

    /// Waits for the next change.
    async fn changed(&mut self, mesh: &mut watch::Receiver<Arc<Mesh>>, source: &OpenDoor, destination: SocketAddr) {
        loop {
            let next = Self::of(&mesh.borrow_and_update().clone(), source, destination);
            if (next.source, next.destination) != (self.source, self.destination) {
                *self = Self { renewed: true, ..next };
                return;
            }
            if mesh.changed().await.is_err() {
                // The agent ends.
                return std::future::pending().await;
            }
        }
    }
}

/// Takes a lease off the list when its keeper ends, however it does.
struct Forgotten<'a> {
    between: &'a Between,
    lease: &'a Lease,
    leases: &'a Leases,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.leases.forget(self.between);
        self.lease.state.send_if_modified(|state| {
            let asked = *state == State::Asked;
            if asked {
                *state = State::Refused(Denied::PodGone);
            }
            asked
        });
    }
}

/// Takes a claim back when its answer does not come.
struct Registered<'a> {
    tuple: Tuple,
    leases: &'a Leases,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.leases.on_their_way).remove(&self.tuple);
    }
}

/// A connection that proves a lease.
struct Connection {
    stream: ResetOnDrop,
    _given_up: DropGuard,
}

/// Dials, and hears the nonce from the other end.
///
/// The connection is reset at its end: when a pod goes, its link goes too, and a FIN that nobody acknowledges would keep
/// the socket, and with it the pod's namespace, for a minute.
async fn ask(destination: SocketAddr, near: &Near, lane: &Lane) -> Result<Connection, Denied> {
    // Ahead of the time-out of the whole dial, which would not say what was in the way.
    let longest = lane.shared.settings.connect_timeout * 4 / 5;
    let asking = async {
        let socket = net::outbound(&near.door.netns, Family::of(destination), Mark(mark::OURS))
            .map_err(|error| not_made(&error))?;
        // The far end must know the connection when it accepts it: an application that speaks first is not to wait there.
        socket.bind(SocketAddr::new(near.ip, 0)).map_err(refused)?;
        let tuple = Tuple {
            client: socket.local_addr().map_err(refused)?,
            destination,
        };
        let nonce = Nonce::random();
        let given_up = CancellationToken::new();
        let leases = &lane.shared.leases;
        let claim = Claim {
            nonce,
            given_up: given_up.clone(),
        };
        lock(&leases.on_their_way).insert(tuple, claim);
        let given_up = given_up.drop_guard();
        let _registered = Registered { tuple, leases };
        let mut stream = ResetOnDrop::new(socket.connect(destination).await.map_err(refused)?);
        let _ = net::tune(&*stream, lane.shared.settings.liveness);
        let mut heard = [0; 32];
        let hearing = timeout(PATIENCE, stream.read_exact(&mut heard)).await;
        hearing.map_err(|_elapsed| Denied::PathRefused)?.map_err(refused)?;
        if Nonce(heard) == nonce {
            Ok(Connection {
                stream,
                _given_up: given_up,
            })
        } else {
            Err(Denied::PathRefused)
        }
    };
    timeout(longest, asking).await.unwrap_or(Err(Denied::PathRefused))
}

/// Waits until the other end, or the network between, says anything: there is nothing to say.
pub(super) async fn closed(stream: &TcpStream) {
    let mut byte = [0];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

fn refused(error: io::Error) -> Denied {
    tracing::debug!(%error, "A lease is refused");
    Denied::PathRefused
}

/// How long the far end may take to speak on a connection that stands.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a pod that leaves may still need its leases.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a refusal holds.
const NOT_ASKED_AGAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{model::ObjectName, telemetry::ConnectionId};

    fn mk_lease() -> Lease {
        Lease {
            id: ConnectionId(1),
            pod: ObjectName::new("default", "client"),
            client: Ipv4Addr::LOCALHOST.into(),
            killed: CancellationToken::new(),
            state: watch::Sender::new(State::Held),
            used: 0.into(),
            made: Instant::now(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_goes_when_it_has_not_been_used_for_thirty_seconds() {
        let lease = mk_lease();
        let began = Instant::now();
        unused(&lease).await;
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        lease.touch();
        let used = Instant::now();
        let (mut over, later) = (Box::pin(unused(&lease)), Duration::from_secs(20));
        assert!(timeout(later, &mut over).await.is_err());
        lease.touch();
        over.await;
        let lived = used.elapsed();
        assert_eq!(lived.as_secs(), 50, "20 s unused, and 30 s more: {lived:?}");
    }

    #[test]
    fn a_lease_is_asked_for_anew_after_two_minutes_and_five_seconds_after_a_network_policys_change() {
        assert_eq!([false, true].map(term), [120, 5].map(Duration::from_secs));
    }
}
