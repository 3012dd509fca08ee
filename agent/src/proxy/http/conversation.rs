//! A client's connection whose requests are served, each on its own.

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use http::HeaderValue;

use super::{
    heads::Heads,
    leg::{Leg, LegKey, Side},
    pace::Pace,
    way::{Inbound, Outbound, Way},
};
use crate::{
    proxy::{captured::Arrival, detect::HttpVersion, lane::Lane, live::Tracked, streams::LONGEST_IDLE},
    telemetry::Denied,
    tls::Expected,
};

/// A client's connection, as its requests see it.
pub(super) struct Conversation {
    pub(super) lane: Rc<Lane>,
    pub(super) arrival: Rc<Arrival>,
    pub(super) way: Way,
    /// What the client speaks, and its upstreams with it.
    pub(super) version: HttpVersion,
    /// What comes of the client, before it is parsed.
    pub(super) heads: Arc<Heads>,
    pub(super) pace: Rc<Pace>,
    /// The connection itself; none of another agent's, of which only the requests are told.
    tracked: Option<Tracked>,
    /// Another agent's connection until its first request: it was opened for that, and an agent that ends waits for it.
    unasked: RefCell<Option<Tracked>>,
    cut: Cell<Option<Denied>>,
    /// The upstream's connection that belongs to this one: who is behind it proved himself on it.
    pinned: RefCell<Option<Leg>>,
    /// Whether the next leg that is given back is to be pinned.
    pins: Cell<bool>,
    /// That of the copies of its requests.
    copies: OnceCell<Rc<Self>>,
}

// === impl Conversation ===

impl Conversation {
    pub(super) fn new(
        way: Way,
        version: HttpVersion,
        arrival: impl Into<Rc<Arrival>>,
        tracked: Option<Tracked>,
        lane: Rc<Lane>,
    ) -> Rc<Self> {
        let arrival = arrival.into();
        let mut limits = lane.shared.settings.http;
        if let Way::Inbound(Inbound::Agent { .. }) = way {
            limits.idle = limits.idle.min(LONGEST_IDLE);
            // Of a client that does not go on its own agent tells, which is the first to see it.
            limits.stall *= 2;
        }
        let heads = Arc::<Heads>::default();
        let pace = Pace::new(limits, heads.clone());
        lane.paces.watch(&pace, &lane);
        Rc::new(Self {
            lane,
            arrival,
            way,
            version,
            heads,
            pace,
            tracked,
            unasked: RefCell::default(),
            cut: Cell::default(),
            pinned: RefCell::default(),
            pins: Cell::default(),
            copies: OnceCell::new(),
        })
    }

    /// What copies of its requests see in its place: nothing of them is the client's.
    pub(super) fn of_copies(&self) -> Rc<Self> {
        let copies = self.copies.get_or_init(|| {
            let way = Way::Outbound(Outbound::default());
            Self::new(way, self.version, self.arrival.clone(), None, self.lane.clone())
        });
        copies.clone()
    }

    /// The connection's own entry.
    pub(super) fn tracked(&self) -> Option<&Tracked> {
        self.tracked.as_ref()
    }

    /// Counts another agent's connection as open until its first request.
    pub(super) fn is_unasked(&self, tracked: Tracked) {
        self.unasked.replace(Some(tracked.untold()));
    }

    /// Notes that a request has come, which counts for itself.
    pub(super) fn asked(&self) {
        self.unasked.take();
    }

    /// Waits until the connection is cut before its first request.
    pub(super) async fn cut_unasked(&self) {
        poll_fn(|cx| match &*self.unasked.borrow() {
            Some(tracked) => tracked.poll_cut(cx).map(drop),
            None => Poll::Pending,
        })
        .await;
    }

    /// Notes why it ends in the middle of a request.
    pub(super) fn cut(&self, denied: Denied) {
        self.cut.set(Some(denied));
    }

    /// Why the connection was cut, where it was.
    pub(super) fn denied(&self) -> Option<Denied> {
        let of_tracked = || self.tracked.as_ref().and_then(|tracked| tracked.denied());
        self.cut.get().or_else(of_tracked)
    }

    /// Whether no more requests are wanted of this connection: the agent ends, or the pod leaves.
    pub(super) fn is_closing(&self) -> bool {
        self.lane.stopping.is_cancelled() || self.arrival.door().closing.is_cancelled()
    }

    /// Waits until no more requests are wanted.
    pub(super) async fn closing(&self) {
        tokio::select! {
            () = self.lane.stopping.cancelled() => {}
            () = self.arrival.door().closing.cancelled() => {}
        }
    }

    /// Who may use a leg of this client to this endpoint.
    pub(super) fn key(&self, address: SocketAddr) -> LegKey {
        LegKey {
            pod: self.arrival.door().pod.uid.clone(),
            side: match self.way {
                Way::Outbound(_) => Side::Outbound,
                Way::Inbound(_) => Side::Inbound,
            },
            client: self.arrival.client.ip(),
            address,
        }
    }

    /// The endpoint whose leg belongs to this client.
    pub(super) fn pinned_address(&self) -> Option<SocketAddr> {
        let pinned = self.pinned.borrow();
        pinned.as_ref().filter(|leg| leg.is_ready()).map(|leg| leg.key.address)
    }

    /// A leg that waits, or that others use too, or one that `open` opens.
    pub(super) async fn leg(
        &self,
        key: LegKey,
        expected: Option<&Expected>,
        open: impl AsyncFnOnce(LegKey) -> Result<Leg, Denied>,
    ) -> Result<Leg, Denied> {
        let lane = &self.lane;
        match self.version {
            HttpVersion::One => {
                let waiting = self.pinned(&key).or_else(|| lane.legs.take(&key, expected, lane));
                match waiting {
                    Some(leg) => Ok(leg),
                    None => open(key).await,
                }
            }
            HttpVersion::Two => lane.legs.shared.share(key, expected, self, open).await,
        }
    }

    /// Takes the leg that belongs to this client, where it goes to this endpoint.
    fn pinned(&self, key: &LegKey) -> Option<Leg> {
        let leg = self
            .pinned
            .borrow_mut()
            .take_if(|leg| leg.key == *key || leg.is_closed())?;
        leg.is_ready().then_some(leg)
    }

    /// Has the leg of this exchange stay with the client, where its authentication is one of connections (RFC 4559).
    pub(super) fn pin_if_bound(&self, authentication: Option<&HeaderValue>) {
        let bound = authentication.is_some_and(|value| {
            let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
            [&b"negotiate"[..], b"ntlm"]
                .iter()
                .any(|bound| scheme.eq_ignore_ascii_case(bound))
        });
        if bound {
            self.pins.set(true);
        }
    }

    /// Keeps a leg whose request is over.
    pub(super) fn give_back(&self, mut leg: Leg) {
        if leg.is_shared() {
            // Its connection is kept already.
            return;
        }
        if self.pins.get() {
            leg.release();
            self.pinned.replace(Some(leg));
        } else {
            self.lane.legs.put(leg, self.arrival.door(), &self.lane);
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("client", &self.arrival.client)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}
