//! Connections to other agents that wait for their next stream. Each lane has its own.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{task::spawn_local, time::sleep};

use super::{capacity::DescriptorSeat, carrier::Carrier, door::OpenDoor, lane::Lane, settings::Pooling};
use crate::{
    model::{Mesh, ObjectName, PodUid},
    telemetry::{ConnectionId, Direction, LiveConnection, Phase, Security},
    tls::{Expected, Identities, Peer},
};

/// The connections of a lane that wait, by who may use them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: RefCell<HashMap<PoolKey, Vec<Idle>>>,
    flushed: RefCell<HashMap<Arc<str>, Flush>>,
}

/// Whose stream to where: no pod ever uses another's connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolKey {
    pub(super) source: PodUid,
    pub(super) address: SocketAddr,
}

#[derive(Debug)]
struct Idle {
    carrier: Box<Carrier>,
    source: ObjectName,
    since: Instant,
    _seat: DescriptorSeat,
}

/// A connection to another agent that waits, here or in the pool of those for HTTP.
pub(super) struct Waiting<'a> {
    /// Who is at its other end.
    pub(super) peer: &'a Peer,
    /// The pod that dialled.
    pub(super) source: &'a ObjectName,
    /// How old it is.
    pub(super) age: Duration,
    /// Since when it waits.
    pub(super) since: Instant,
}

/// When the NetworkPolicies of a namespace changed last.
#[derive(Clone, Copy, Debug)]
struct Flush {
    version: u64,
    at: Option<Instant>,
}

// === impl Pool ===

impl Pool {
    /// Follows the NetworkPolicies of both ends of a new connection from here on.
    pub(super) fn dialled(&self, source: &OpenDoor, peer: &Peer, mesh: &Mesh) {
        let mut flushed = self.flushed.borrow_mut();
        for namespace in [&source.pod.name.namespace, &peer.identity.namespace] {
            if !flushed.contains_key(namespace) {
                let version = mesh.network_policy_version(namespace);
                flushed.insert(namespace.clone(), Flush { version, at: None });
            }
        }
    }

    /// Takes a connection that can be used at this moment, the one that was used last.
    pub(super) fn take(
        &self,
        source: &OpenDoor,
        address: SocketAddr,
        expected: &Expected,
        lane: &Lane,
    ) -> Option<Box<Carrier>> {
        let key = PoolKey::new(source, address);
        loop {
            let idle = {
                let mut all = self.idle.borrow_mut();
                let waiting = all.get_mut(&key)?;
                let idle = waiting.pop();
                if waiting.is_empty() {
                    all.remove(&key);
                }
                idle?
            };
            if !self.may_stay(&idle, &lane.shared.identities) || !is_expected(&idle.carrier.peer, expected) {
                idle.carrier.close(lane);
                continue;
            }
            let mut carrier = idle.carrier;
            if carrier.is_alive(lane) {
                return Some(carrier);
            }
        }
    }

    /// Keeps a connection for its next stream, where that is worth it.
    pub(super) fn put(&self, source: &OpenDoor, carrier: Box<Carrier>, lane: &Rc<Lane>) {
        let Some(address) = carrier.peer_address() else {
            return;
        };
        let unwanted =
            lane.shared.settings.pool == Pooling::Off || source.closing.is_cancelled() || lane.stopping.is_cancelled();
        let Some(seat) = DescriptorSeat::take(source).filter(|_| !unwanted && carrier.is_free()) else {
            return carrier.close(lane);
        };
        let idle = Idle {
            carrier,
            source: source.pod.name.clone(),
            since: Instant::now(),
            _seat: seat,
        };
        if !self.may_stay(&idle, &lane.shared.identities) {
            return idle.carrier.close(lane);
        }
        let mut all = self.idle.borrow_mut();
        let first = all.is_empty();
        let waiting = all.entry(PoolKey::new(source, address)).or_default();
        if waiting.len() < MOST_IDLE {
            waiting.push(idle);
        } else {
            idle.carrier.close(lane);
        }
        if first {
            spawn_local(sweep(lane.clone()));
        }
    }

    /// Closes what may not be used after a change of the mesh, of roots, or of the deny-list.
    pub(super) fn follow(&self, mesh: &Mesh, lane: &Lane) {
        for (namespace, flush) in &mut *self.flushed.borrow_mut() {
            let version = mesh.network_policy_version(namespace);
            if flush.version != version {
                *flush = Flush {
                    version,
                    at: Some(Instant::now()),
                };
            }
        }
        self.retain(lane);
    }

    /// Closes what a pod's connections left behind.
    pub(super) fn close_pod(&self, uid: &PodUid, lane: &Lane) {
        self.close_where(lane, |key, _| key.source == *uid);
    }

    /// Resets what a pod that is gone left behind: a FIN that nobody acknowledges any more would keep the socket, and with
    /// it the pod's namespace, for a minute.
    pub(super) fn cut_pod(&self, uid: &PodUid) {
        drop(self.take_where(|key, _| key.source == *uid));
    }

    /// Closes all.
    pub(super) fn close_all(&self, lane: &Lane) {
        self.close_where(lane, |_, _| true);
    }

    /// What waits, as `weft debug conn show` prints it.
    pub(super) fn show(&self) -> Vec<LiveConnection> {
        let idle = self.idle.borrow();
        let all = idle
            .iter()
            .flat_map(|(key, waiting)| waiting.iter().map(move |idle| (key, idle)));
        all.filter_map(|(key, idle)| idle.show(key)).collect()
    }

    /// Closes one; false when it is not here.
    pub(super) fn kill(&self, id: ConnectionId, lane: &Lane) -> bool {
        let before = self.len();
        self.close_where(lane, |_, idle| idle.carrier.id == id);
        self.len() < before
    }

    fn len(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }

    /// Closes what the other side has closed.
    fn close_dead(&self, lane: &Lane) {
        self.close_where(lane, |_, idle| !idle.carrier.is_alive(lane));
    }

    fn retain(&self, lane: &Lane) {
        self.close_where(lane, |_, idle| !self.may_stay(idle, &lane.shared.identities));
    }

    fn close_where(&self, lane: &Lane, unwanted: impl Fn(&PoolKey, &mut Idle) -> bool) {
        for idle in self.take_where(unwanted) {
            idle.carrier.close(lane);
        }
    }

    fn take_where(&self, unwanted: impl Fn(&PoolKey, &mut Idle) -> bool) -> Vec<Idle> {
        let mut taken = Vec::new();
        self.idle.borrow_mut().retain(|key, waiting| {
            taken.extend(waiting.extract_if(.., |idle| unwanted(key, idle)));
            !waiting.is_empty()
        });
        taken
    }

    fn may_stay(&self, idle: &Idle, identities: &Identities) -> bool {
        let carrier = &idle.carrier;
        let waiting = Waiting {
            peer: &carrier.peer,
            source: &idle.source,
            age: carrier.age(),
            since: idle.since,
        };
        self.may_go_on(&waiting, identities)
    }

    /// Whether a connection is young enough, and nothing has changed since that forbids it.
    pub(super) fn may_go_on(&self, waiting: &Waiting<'_>, identities: &Identities) -> bool {
        let Waiting {
            peer,
            source,
            age,
            since,
        } = waiting;
        if !is_young(*age, since.elapsed()) || SystemTime::now() >= peer.not_after || identities.refuses(peer) {
            return false;
        }
        let flushed = self.flushed.borrow();
        let changes = [&source.namespace, &peer.identity.namespace]
            .into_iter()
            .filter_map(|namespace| flushed.get(namespace)?.at);
        changes.map(|at| at.elapsed()).all(|since| outlives_change(*age, since))
    }
}

// === impl PoolKey ===

impl PoolKey {
    fn new(source: &OpenDoor, address: SocketAddr) -> Self {
        Self {
            source: source.pod.uid.clone(),
            address,
        }
    }
}

// === impl Idle ===

impl Idle {
    fn show(&self, key: &PoolKey) -> Option<LiveConnection> {
        Some(LiveConnection {
            id: self.carrier.id,
            direction: Direction::Outbound,
            phase: Phase::Pooled,
            source: self.carrier.stream().local_addr().ok()?,
            source_pod: Some(self.source.to_string()),
            original_destination: key.address,
            service: None,
            destination: Some(key.address),
            destination_pod: None,
            security: Some(Security::MutualTls),
            source_identity: None,
            destination_identity: Some(self.carrier.peer.identity.to_string()),
            policy: None,
            age_ms: u64::try_from(self.carrier.age().as_millis()).unwrap_or(u64::MAX),
            bytes_sent: 0,
            bytes_received: 0,
            request: None,
        })
    }
}

/// Whether the pod that was dialled then is the one that is wanted. An address alone was proved by the handshake.
pub(super) fn is_expected(peer: &Peer, expected: &Expected) -> bool {
    let Expected { uid, ip: _, namespace } = expected;
    uid.as_ref().is_none_or(|uid| *uid == peer.uid)
        && namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == peer.identity.namespace)
}

/// Whether a connection of this age that waits for so long may go on.
fn is_young(age: Duration, waits: Duration) -> bool {
    age <= LONGEST && waits <= LONGEST_IDLE
}

/// Whether a connection of this age may go on though a NetworkPolicy changed `since`.
///
/// A network takes some time to do what a NetworkPolicy says: what was dialled meanwhile goes too, when that is over.
fn outlives_change(age: Duration, since: Duration) -> bool {
    let dialled_after = age < since;
    let settled = since > SETTLED;
    dialled_after && (!settled || age + SETTLED < since)
}

/// Closes what has waited for too long, for as long as anything waits.
async fn sweep(lane: Rc<Lane>) {
    let pool = &lane.pool;
    while !pool.idle.borrow().is_empty() {
        sleep(SWEEP).await;
        pool.retain(&lane);
        pool.close_dead(&lane);
    }
}

/// How old a connection may become.
pub(super) const LONGEST: Duration = Duration::from_secs(120);
/// How long a connection may wait.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(30);
/// How many may wait for one pod and address.
const MOST_IDLE: usize = 256;
/// How long a network may take to do what a NetworkPolicy says.
pub(super) const SETTLED: Duration = Duration::from_secs(5);
/// How often is looked.
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const BIT: Duration = Duration::from_millis(1);

    #[test]
    fn a_connection_waits_thirty_seconds_and_lives_two_minutes_at_most() {
        let [half, two] = [30, 120].map(Duration::from_secs);
        assert!(is_young(half, half) && is_young(two, half));
        assert!(!is_young(half + BIT, half + BIT), "it has waited for too long");
        assert!(
            !is_young(two + BIT, Duration::ZERO),
            "it is too old, though it was just used"
        );
    }

    #[test]
    fn a_change_of_a_network_policy_ends_what_is_older_at_once() {
        for since in [BIT, SETTLED, 2 * SETTLED, LONGEST] {
            assert!(
                !outlives_change(since, since) && !outlives_change(since + BIT, since),
                "{since:?}"
            );
        }
        assert!(outlives_change(BIT, SETTLED), "it was dialled after the change");
    }

    #[test]
    fn five_seconds_after_the_change_all_that_was_dialled_meanwhile_ends_too() {
        let since = SETTLED + BIT;
        for age in [Duration::from_secs(1), SETTLED, since - BIT] {
            assert!(!outlives_change(age, since), "{age:?}");
        }
        // What is dialled from then on lives.
        assert!(outlives_change(BIT / 2, since));
        assert!(outlives_change(Duration::from_secs(9), since + Duration::from_secs(10)));
    }
}
