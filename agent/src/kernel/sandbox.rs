//! What the container runtime says of pods' sandboxes, before any process runs in them and before the API has their
//! addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    model::{Pod, PodUid},
    net::{Cookie, NetNs},
};

/// The runtime's identifier of a sandbox: a pod that is started again has another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

/// A pod's sandbox: its namespace stands, with its addresses, and nothing runs in it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Whose it is.
    pub uid: PodUid,
    /// What the runtime calls it.
    pub container: ContainerId,
    /// Its network namespace.
    pub netns: NetNs,
    /// The addresses that it was given.
    pub ips: Vec<IpAddr>,
}

/// A sandbox comes or goes.
#[derive(Debug)]
pub enum SandboxNews {
    /// It is there.
    Up(Sandbox),
    /// Its network is about to be taken down.
    Down {
        /// What the runtime calls it.
        container: ContainerId,
        /// Its namespace, where that is still to be found: an agent that has just started knows no sandbox by name.
        netns: Option<NetNs>,
        /// Told when nothing of it is held any longer.
        done: oneshot::Sender<()>,
    },
    /// There are no others than these.
    Only(BTreeSet<ContainerId>),
}

/// All that is known of the node's sandboxes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sandboxes {
    known: BTreeMap<PodUid, Known>,
    /// Namespaces that have ended, although processes may be in them for a moment still.
    ended: BTreeMap<PodUid, Cookie>,
}

#[derive(Clone, Debug)]
struct Known {
    sandbox: Sandbox,
    /// Whether a mesh has had the pod: a sandbox may be told before its pod is.
    met: bool,
    told: Instant,
}

// === impl ContainerId ===

impl ContainerId {
    /// Takes it as the runtime writes it.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Sandboxes ===

impl Sandboxes {
    /// Takes a sandbox in place of the one that its pod had.
    pub(super) fn begin(&mut self, sandbox: Sandbox) {
        self.ended.remove(&sandbox.uid);
        let known = Known {
            met: false,
            told: Instant::now(),
            sandbox: sandbox.clone(),
        };
        self.known.insert(sandbox.uid, known);
    }

    /// Forgets a sandbox and gives its namespace, unless its pod has another one already.
    pub(super) fn end(&mut self, container: &ContainerId) -> Option<NetNs> {
        let mut known = self.known.values();
        let known = known.find(|known| known.sandbox.container == *container)?;
        let uid = known.sandbox.uid.clone();
        Some(self.known.remove(&uid)?.sandbox.netns)
    }

    /// Remembers that a pod's namespace is not to be captured again.
    pub(super) fn close(&mut self, uid: PodUid, cookie: Cookie) {
        self.ended.insert(uid, cookie);
    }

    /// The sandboxes that are not among these.
    pub(super) fn others(&self, than: &BTreeSet<ContainerId>) -> Vec<ContainerId> {
        let containers = self.known.values().map(|known| &known.sandbox.container);
        containers
            .filter(|container| !than.contains(container))
            .cloned()
            .collect()
    }

    /// Forgets the sandboxes of pods that a mesh had and that are gone.
    pub(super) fn follow(&mut self, has: impl Fn(&PodUid) -> bool) {
        self.known.retain(|uid, known| {
            let gone = known.met && !has(uid);
            known.met = has(uid);
            !gone
        });
        self.ended.retain(|uid, _| has(uid));
    }

    /// The namespace of a pod, where the runtime has told it.
    pub(super) fn netns(&self, uid: &PodUid) -> Option<&NetNs> {
        Some(&self.known.get(uid)?.sandbox.netns)
    }

    /// Whether the runtime has told of a pod's sandbox just now, and still waits.
    pub(super) fn is_new(&self, uid: &PodUid) -> bool {
        self.known.get(uid).is_some_and(|known| known.told.elapsed() < NEW)
    }

    /// Whether this namespace of the pod has ended.
    pub(super) fn has_ended(&self, uid: &PodUid, netns: &NetNs) -> bool {
        let ended = self.ended.get(uid);
        ended.is_some_and(|ended| netns.cookie().is_ok_and(|cookie| cookie == *ended))
    }

    /// The pod with the addresses that the runtime has told, while the API has none.
    pub(super) fn completed(&self, pod: Arc<Pod>) -> Arc<Pod> {
        match self.known.get(&pod.uid) {
            Some(known) if pod.ips.is_empty() => Arc::new(Pod {
                ips: known.sandbox.ips.clone(),
                ..Pod::clone(&pod)
            }),
            Some(_) | None => pod,
        }
    }
}

/// Far less than any runtime waits for the capture of a pod, and more than that takes.
const NEW: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::mk_pod;

    fn mk_sandbox(uid: &str, container: &str) -> Sandbox {
        Sandbox {
            uid: PodUid::new(uid),
            container: ContainerId::new(container),
            netns: NetNs::current().unwrap(),
            ips: vec!["10.0.0.7".parse().unwrap()],
        }
    }

    #[test]
    fn a_sandbox_ends_by_its_own_name_and_not_by_that_of_the_one_before() {
        let mut sandboxes = Sandboxes::default();
        sandboxes.begin(mk_sandbox("a", "old"));
        sandboxes.begin(mk_sandbox("a", "new"));
        assert_eq!(sandboxes.end(&ContainerId::new("old")), None);
        assert!(sandboxes.netns(&PodUid::new("a")).is_some());
        assert!(sandboxes.end(&ContainerId::new("new")).is_some());
        assert!(sandboxes.netns(&PodUid::new("a")).is_none());
    }

    #[test]
    fn a_sandbox_may_come_before_its_pod_and_goes_with_it() {
        let mut sandboxes = Sandboxes::default();
        sandboxes.begin(mk_sandbox("a", "one"));
        sandboxes.follow(|_| false);
        assert!(sandboxes.netns(&PodUid::new("a")).is_some(), "the pod is still to come");
        sandboxes.follow(|_| true);
        sandboxes.follow(|_| false);
        assert!(sandboxes.netns(&PodUid::new("a")).is_none());
    }

    #[test]
    fn a_namespace_that_has_ended_is_told_until_the_next_sandbox() {
        let mut sandboxes = Sandboxes::default();
        let sandbox = mk_sandbox("a", "one");
        sandboxes.close(sandbox.uid.clone(), sandbox.netns.cookie().unwrap());
        assert!(sandboxes.has_ended(&sandbox.uid, &sandbox.netns));
        assert!(!sandboxes.has_ended(&PodUid::new("b"), &sandbox.netns));
        sandboxes.begin(sandbox.clone());
        assert!(!sandboxes.has_ended(&sandbox.uid, &sandbox.netns));
    }

    #[test]
    fn the_runtimes_addresses_count_until_the_api_has_some() {
        let mut sandboxes = Sandboxes::default();
        sandboxes.begin(mk_sandbox("uid-web", "one"));
        let told = Arc::new(mk_pod("web", "10.0.0.1"));
        let early = Arc::new(Pod {
            ips: Vec::new(),
            ..Pod::clone(&told)
        });
        assert_eq!(sandboxes.completed(Arc::clone(&told)), told);
        assert_eq!(sandboxes.completed(early).ips, mk_sandbox("a", "a").ips);
    }

    #[test]
    fn only_sandboxes_that_the_runtime_lists_stay() {
        let mut sandboxes = Sandboxes::default();
        sandboxes.begin(mk_sandbox("a", "one"));
        sandboxes.begin(mk_sandbox("b", "two"));
        let kept = BTreeSet::from([ContainerId::new("one"), ContainerId::new("three")]);
        assert_eq!(sandboxes.others(&kept), [ContainerId::new("two")]);
    }
}
