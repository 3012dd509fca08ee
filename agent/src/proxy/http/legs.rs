//! Connections to upstreams that wait for their next request. Each lane has its own.

mod shared;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};

use self::shared::SharedLegs;
use super::leg::{Leg, LegKey, Side};
use crate::{
    model::{ObjectName, PodUid},
    proxy::{
        capacity::DescriptorSeat,
        door::OpenDoor,
        lane::Lane,
        pool::{Waiting, is_expected},
        settings::Pooling,
    },
    telemetry::{ConnectionId, Direction, LiveConnection, Phase, Security},
    tls::Expected,
};

/// The connections of a lane that wait, by who may use them.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Legs {
    idle: RefCell<HashMap<LegKey, Vec<Idle>>>,
    /// Those of HTTP/2, which serve many requests at once.
    pub(super) shared: SharedLegs,
    /// Whether somebody closes what has waited for too long.
    swept: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    leg: Leg,
    /// The pod whose listeners took its client.
    pod: ObjectName,
    _seat: DescriptorSeat,
}

// === impl Legs ===

impl Legs {
    /// Takes a connection that can be used at this moment, the one that was used last.
    pub(super) fn take(&self, key: &LegKey, expected: Option<&Expected>, lane: &Lane) -> Option<Leg> {
        let mut all = self.idle.borrow_mut();
        let waiting = all.get_mut(key)?;
        let found = loop {
            let Some(idle) = waiting.pop() else { break None };
            // Dropped, it is closed.
            if idle.may_stay(lane) && idle.leg.is_ready() && idle.is_expected(expected) {
                break Some(idle.leg);
            }
        };
        if waiting.is_empty() {
            all.remove(key);
        }
        found
    }

    /// Keeps a connection whose request is over for the next one, where that is worth it.
    pub(super) fn put(&self, mut leg: Leg, source: &OpenDoor, lane: &Rc<Lane>) {
        leg.release();
        if leg.is_closed() || !is_wanted(source, lane) {
            return;
        }
        if leg.is_ready() {
            return self.keep(leg, source, lane);
        }
        // The request's own body is not over, or the connection has not noticed.
        let (lane, source) = (lane.clone(), source.pod.uid.clone());
        spawn_local(async move {
            let settled = timeout(SETTLING, leg.settled()).await == Ok(true);
            if settled && let Some(door) = lane.shared.door(&source).filter(|door| is_wanted(door, &lane)) {
                lane.legs.keep(leg, &door, &lane);
            }
        });
    }

    /// Closes what may not be used after a change of the mesh, of roots, or of the deny-list, or has waited for too long.
    pub(in crate::proxy) fn retain(&self, lane: &Lane) {
        drop(self.take_where(|_, idle| !idle.may_stay(lane)));
    }

    /// Closes what a pod's connections left behind.
    pub(in crate::proxy) fn close_pod(&self, uid: &PodUid) {
        drop(self.take_where(|key, _| key.pod == *uid));
    }

    /// Resets what a pod that is gone left behind: nobody would acknowledge its FIN.
    pub(in crate::proxy) fn cut_pod(&self, uid: &PodUid) {
        for idle in self.take_where(|key, _| key.pod == *uid) {
            idle.leg.reset();
        }
    }

    /// Closes all.
    pub(in crate::proxy) fn close_all(&self) {
        drop(self.take_where(|_, _| true));
    }

    /// Closes one; false when it is not here.
    pub(in crate::proxy) fn kill(&self, id: ConnectionId) -> bool {
        !self.take_where(|_, idle| idle.leg.line.id == id).is_empty()
    }

    /// What waits for requests to other agents, as `weft debug conn show` prints it.
    pub(in crate::proxy) fn show(&self) -> Vec<LiveConnection> {
        let idle = self.idle.borrow();
        let waiting = idle.values().flatten().filter_map(Idle::show);
        waiting.chain(self.shared.show()).collect()
    }

    fn keep(&self, leg: Leg, source: &OpenDoor, lane: &Rc<Lane>) {
        let mut all = self.idle.borrow_mut();
        let waiting = all.entry(leg.key.clone()).or_default();
        if waiting.len() < MOST_IDLE {
            waiting.extend(Idle::new(leg, source));
        }
        self.sweep(lane);
    }

    /// Closes what has waited for too long, and what the other side has closed, for as long as anything waits.
    fn sweep(&self, lane: &Rc<Lane>) {
        if self.swept.replace(true) {
            return;
        }
        let lane = lane.clone();
        spawn_local(async move {
            let legs = &lane.legs;
            while !legs.idle.borrow().is_empty() || !legs.shared.is_empty() {
                sleep(SWEEP).await;
                drop(legs.take_where(|_, idle| idle.leg.is_closed() || !idle.may_stay(&lane)));
            }
            legs.swept.set(false);
        });
    }

    fn take_where(&self, unwanted: impl Fn(&LegKey, &Idle) -> bool) -> Vec<Idle> {
        let mut taken = Vec::new();
        self.idle.borrow_mut().retain(|key, waiting| {
            taken.extend(waiting.extract_if(.., |idle| unwanted(key, idle)));
            !waiting.is_empty()
        });
        self.shared.take_where(unwanted, &mut taken);
        taken
    }
}

// === impl Idle ===

impl Idle {
    /// None where the agent has no room for it.
    fn new(leg: Leg, source: &OpenDoor) -> Option<Self> {
        Some(Self {
            leg,
            pod: source.pod.name.clone(),
            _seat: DescriptorSeat::take(source)?,
        })
    }

    fn may_stay(&self, lane: &Lane) -> bool {
        let since = self.leg.line.idle_since().unwrap_or_else(Instant::now);
        let Some(peer) = &self.leg.line.peer else {
            return since.elapsed() < LONGEST_IDLE_OF_AN_APP;
        };
        let waiting = Waiting {
            peer,
            source: &self.pod,
            age: self.leg.line.opened.elapsed(),
            since,
        };
        lane.pool.may_go_on(&waiting, &lane.shared.identities)
    }

    /// An application's connection is known by its address alone.
    fn is_expected(&self, expected: Option<&Expected>) -> bool {
        match (&self.leg.line.peer, expected) {
            (Some(peer), Some(expected)) => is_expected(peer, expected),
            (None, _) | (Some(_), None) => true,
        }
    }

    fn show(&self) -> Option<LiveConnection> {
        let Leg { key, line, .. } = &self.leg;
        let peer = line.peer.as_ref()?;
        // The requests of one that is used are shown themselves.
        line.idle_since()?;
        Some(LiveConnection {
            id: line.id,
            direction: match key.side {
                Side::Outbound => Direction::Outbound,
                Side::Inbound => Direction::Inbound,
            },
            phase: Phase::Pooled,
            source: (key.client, 0).into(),
            source_pod: Some(self.pod.to_string()),
            original_destination: key.address,
            service: None,
            destination: Some(key.address),
            destination_pod: None,
            security: Some(Security::MutualTls),
            source_identity: None,
            destination_identity: Some(peer.identity.to_string()),
            policy: None,
            age_ms: u64::try_from(line.opened.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_sent: 0,
            bytes_received: 0,
            request: None,
        })
    }
}

fn is_wanted(source: &OpenDoor, lane: &Lane) -> bool {
    lane.shared.settings.pool == Pooling::Kept && !source.closing.is_cancelled() && !lane.stopping.is_cancelled()
}

/// How long an application's connection may wait: servers close theirs after five seconds and more, and a request that
/// crosses such an end is lost.
const LONGEST_IDLE_OF_AN_APP: Duration = Duration::from_secs(4);
/// How long the end of a request may take to be noticed after that of its response.
const SETTLING: Duration = Duration::from_secs(5);
/// How many may wait for one client and endpoint.
const MOST_IDLE: usize = 256;
/// How often is looked.
const SWEEP: Duration = Duration::from_secs(1);
