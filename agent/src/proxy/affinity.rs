//! `sessionAffinity: ClientIP`: which endpoint a client's last connection to a service port went to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::model::ObjectName;

/// What one pod's connections stick to; bounded, as a pod may have many addresses.
#[derive(Debug, Default)]
pub(super) struct Sticky(Mutex<HashMap<StickyKey, Stuck>>);

/// Whose connections to what stick together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StickyKey {
    pub(super) service: ObjectName,
    pub(super) port: u16,
    pub(super) client: IpAddr,
}

#[derive(Clone, Copy, Debug)]
struct Stuck {
    endpoint: SocketAddr,
    until: Instant,
}

// === impl Sticky ===

impl Sticky {
    /// The endpoint of the client's last connection, if that is not too long ago.
    pub(super) fn endpoint(&self, key: &StickyKey, now: Instant) -> Option<SocketAddr> {
        let stuck = *self.lock().get(key)?;
        (now < stuck.until).then_some(stuck.endpoint)
    }

    /// Remembers an endpoint for `timeout` from here on.
    pub(super) fn stick(&self, key: StickyKey, endpoint: SocketAddr, timeout: Duration, now: Instant) {
        let mut stuck = self.lock();
        if stuck.len() >= MOST_STUCK && !stuck.contains_key(&key) {
            stuck.retain(|_, stuck| now < stuck.until);
            // Full of live ones: the one that would end first makes room.
            let first = stuck.iter().min_by_key(|(_, stuck)| stuck.until);
            if let Some(first) = first.map(|(key, _)| key.clone()).filter(|_| stuck.len() >= MOST_STUCK) {
                stuck.remove(&first);
            }
        }
        stuck.insert(
            key,
            Stuck {
                endpoint,
                until: now + timeout,
            },
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<StickyKey, Stuck>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many services as one pod is likely to know.
const MOST_STUCK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_sticks_to_its_endpoint_until_the_time_out_after_its_last_connection() {
        let (sticky, start) = (Sticky::default(), Instant::now());
        sticky.stick(mk_key(0), mk_endpoint(1), HOUR, start);
        sticky.stick(mk_key(0), mk_endpoint(1), HOUR, start + HOUR / 2);

        assert_eq!(sticky.endpoint(&mk_key(0), start + HOUR), Some(mk_endpoint(1)));
        assert_eq!(sticky.endpoint(&mk_key(0), start + HOUR * 3 / 2), None);
    }

    #[test]
    fn clients_and_ports_stick_for_themselves() {
        let (sticky, start) = (Sticky::default(), Instant::now());
        sticky.stick(mk_key(0), mk_endpoint(1), HOUR, start);
        sticky.stick(mk_key(1), mk_endpoint(2), HOUR, start);

        assert_eq!(sticky.endpoint(&mk_key(0), start), Some(mk_endpoint(1)));
        assert_eq!(sticky.endpoint(&mk_key(1), start), Some(mk_endpoint(2)));
        assert_eq!(sticky.endpoint(&StickyKey { port: 81, ..mk_key(0) }, start), None);
    }

    #[test]
    fn a_full_table_forgets_the_one_that_would_end_first() {
        let (sticky, start) = (Sticky::default(), Instant::now());
        let clients = u16::try_from(MOST_STUCK).unwrap();
        for client in 0..=clients {
            let age = Duration::from_millis(client.into());
            sticky.stick(mk_key(client), mk_endpoint(1), HOUR, start + age);
        }

        assert_eq!(sticky.lock().len(), MOST_STUCK);
        assert_eq!(sticky.endpoint(&mk_key(0), start), None);
        assert_eq!(sticky.endpoint(&mk_key(clients), start), Some(mk_endpoint(1)));
    }

    fn mk_key(client: u16) -> StickyKey {
        let [high, low] = client.to_be_bytes();
        StickyKey {
            service: ObjectName::new("shop", "api"),
            port: 80,
            client: [10, 0, high, low].into(),
        }
    }

    fn mk_endpoint(last: u8) -> SocketAddr {
        ([10, 1, 0, last], 8080).into()
    }

    const HOUR: Duration = Duration::from_secs(3600);
}
