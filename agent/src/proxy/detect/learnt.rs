//! What was learnt of ports of which nothing is declared.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::model::ObjectName;

/// What was learnt of ports, by all lanes.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Memory(Mutex<HashMap<PortKey, (Learnt, Instant)>>);

/// What was learnt of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Learnt {
    /// Its server speaks first. What a client says first is not learnt: one client's whim would decide for all.
    ServerFirst,
    /// A client spoke HTTP: the next one most probably will.
    Http,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) enum PortKey {
    /// A service's, as its clients' nodes see it.
    Service(ObjectName, u16),
    /// That of an address.
    Address(SocketAddr),
}

// === impl Memory ===

impl Memory {
    /// What is remembered of the port.
    pub(in crate::proxy) fn recall(&self, port: &PortKey) -> Option<Learnt> {
        let ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (learnt, at) = *ports.get(port)?;
        (at.elapsed() < REMEMBERED).then_some(learnt)
    }

    /// Remembers it, for a while: another application may take the port.
    pub(in crate::proxy) fn learn(&self, port: PortKey, learnt: Learnt) {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.len() >= MOST && !ports.contains_key(&port) {
            ports.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
            if ports.len() >= MOST {
                return;
            }
        }
        ports.insert(port, (learnt, Instant::now()));
    }
}

/// How long something is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many ports are remembered.
const MOST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_remembered_and_others_are_not_taken_for_it() {
        let memory = Memory::default();
        let port = |number| PortKey::Service(ObjectName::new("shop", "cart"), number);
        memory.learn(port(80), Learnt::Http);
        assert_eq!(memory.recall(&port(80)), Some(Learnt::Http));
        assert_eq!(memory.recall(&port(81)), None);
        assert_eq!(memory.recall(&PortKey::Address(([10, 0, 0, 1], 80).into())), None);
        memory.learn(port(80), Learnt::ServerFirst);
        assert_eq!(memory.recall(&port(80)), Some(Learnt::ServerFirst));
    }
}
