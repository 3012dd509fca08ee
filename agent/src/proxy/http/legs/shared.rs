//! Connections of HTTP/2 to upstreams: requests of one client to one endpoint go side by side on one of them, until it
//! has no room for more.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use tokio::sync::Mutex;

use super::{Idle, is_wanted};
use crate::{
    proxy::{
        http::{
            conversation::Conversation,
            leg::{Leg, LegKey},
        },
        lane::Lane,
    },
    telemetry::{Denied, LiveConnection},
    tls::Expected,
};

/// The connections of a lane, by who may use them.
#[derive(Debug, Default)]
pub(in crate::proxy::http) struct SharedLegs(RefCell<HashMap<LegKey, Rc<Place>>>);

/// The connections of one client to one endpoint.
#[derive(Debug, Default)]
struct Place {
    open: RefCell<Vec<Idle>>,
    /// Held by who opens the next one: all others wait for it.
    opening: Mutex<()>,
    /// How often none could be opened, and why at last.
    failed: Cell<(u64, Option<Denied>)>,
}

// === impl SharedLegs ===

impl SharedLegs {
    /// A leg on a connection that is open, or on one that `open` opens for all who ask meanwhile.
    pub(in crate::proxy::http) async fn share(
        &self,
        key: LegKey,
        expected: Option<&Expected>,
        conversation: &Conversation,
        open: impl AsyncFnOnce(LegKey) -> Result<Leg, Denied>,
    ) -> Result<Leg, Denied> {
        let (lane, source) = (&conversation.lane, conversation.arrival.door());
        let place = self.0.borrow_mut().entry(key.clone()).or_default().clone();
        let (failures, _) = place.failed.get();
        if let Some(leg) = place.take(expected, lane) {
            return Ok(leg);
        }
        let _opening = place.opening.lock().await;
        if let Some(leg) = place.take(expected, lane) {
            return Ok(leg);
        }
        if let (others, Some(denied)) = place.failed.get()
            && others > failures
        {
            return Err(denied);
        }
        let opened = open(key).await;
        match &opened {
            Ok(leg) if is_wanted(source, lane) => {
                let kept = leg.for_others().and_then(|leg| Idle::new(leg, source));
                place.open.borrow_mut().extend(kept);
                lane.legs.sweep(lane);
            }
            Ok(_) => {}
            Err(denied) => {
                let (failures, _) = place.failed.get();
                place.failed.set((failures + 1, Some(*denied)));
            }
        }
        opened
    }

    /// Moves those that are unwanted to `taken`.
    pub(super) fn take_where(&self, unwanted: impl Fn(&LegKey, &Idle) -> bool, taken: &mut Vec<Idle>) {
        self.0.borrow_mut().retain(|key, place| {
            let mut open = place.open.borrow_mut();
            taken.extend(open.extract_if(.., |idle| unwanted(key, idle)));
            // Who opens one puts it here.
            !open.is_empty() || Rc::strong_count(place) > 1
        });
    }

    pub(super) fn show(&self) -> Vec<LiveConnection> {
        let places = self.0.borrow();
        let shown = |place: &Rc<Place>| place.open.borrow().iter().filter_map(Idle::show).collect::<Vec<_>>();
        places.values().flat_map(shown).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

// === impl Place ===

impl Place {
    fn take(&self, expected: Option<&Expected>, lane: &Lane) -> Option<Leg> {
        let open = self.open.borrow();
        let mut usable = open
            .iter()
            .filter(|idle| idle.leg.is_ready() && idle.may_stay(lane) && idle.is_expected(expected));
        usable.find_map(|idle| idle.leg.for_another())
    }
}
