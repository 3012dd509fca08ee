//! Where a pod's network namespace is, and how often it is looked for.

use std::{
    cell::OnceCell,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{error::CaptureError, sandbox::Sandboxes};
use crate::{
    model::{Pod, PodUid},
    net::{NetError, NetNs, PodProcesses},
};

/// The namespaces of pods at one moment: processes are looked through at most once.
#[derive(Default)]
pub(super) struct Namespaces {
    sandboxes: Arc<Sandboxes>,
    processes: OnceCell<PodProcesses>,
}

/// A pod that cannot be captured at the moment.
pub(super) struct Waiting {
    pub(super) reason: Arc<str>,
    pause: Duration,
    next: Instant,
}

// === impl Namespaces ===

impl Namespaces {
    /// What the runtime has told goes before what is found.
    pub(super) fn new(sandboxes: &Arc<Sandboxes>) -> Self {
        Self {
            sandboxes: Arc::clone(sandboxes),
            processes: OnceCell::new(),
        }
    }

    /// Finds a pod's namespace: as the runtime has told it, else at the path of its annotation, else by its processes.
    pub(super) fn of(&self, pod: &Pod) -> Result<NetNs, CaptureError> {
        if let Some(netns) = self.sandboxes.netns(&pod.uid) {
            return Ok(netns.clone());
        }
        let found = self.find(pod)?;
        if self.sandboxes.has_ended(&pod.uid, &found) {
            return Err(CaptureError::NoNamespace);
        }
        Ok(found)
    }

    fn find(&self, pod: &Pod) -> Result<NetNs, CaptureError> {
        match &pod.netns {
            Some(path) => NetNs::open(path).map_err(|error| match error {
                // A path exists for a moment before the namespace is mounted on it.
                NetError::NotANamespace { .. } => CaptureError::NoNamespace,
                NetError::Open { ref source, .. } if source.kind() == ErrorKind::NotFound => CaptureError::NoNamespace,
                other => other.into(),
            }),
            None => self
                .processes()?
                .namespace(pod.uid.as_str(), &pod.ips)
                .ok_or(CaptureError::NoNamespace),
        }
    }

    /// Whether a pod's containers run already, as far as can be seen.
    pub(super) fn has_begun(&self, uid: &PodUid) -> bool {
        // The runtime waits: nothing runs before it has its answer.
        !self.sandboxes.is_new(uid)
            && self
                .processes()
                .is_ok_and(|processes| processes.has_begun(uid.as_str()))
    }

    /// Whether a pod is still in the namespace in which it was found.
    pub(super) fn still(&self, pod: &Pod, netns: &NetNs) -> bool {
        if let Some(told) = self.sandboxes.netns(&pod.uid) {
            return told == netns;
        }
        match &pod.netns {
            Some(path) => fs::metadata(path).is_ok_and(|place| place.ino() == netns.inode()),
            None => match self.of(pod) {
                Ok(found) => found == *netns,
                Err(CaptureError::NoNamespace) => false,
                // What cannot be told is no reason to cut connections.
                Err(_) => true,
            },
        }
    }

    fn processes(&self) -> Result<&PodProcesses, NetError> {
        match self.processes.get() {
            Some(processes) => Ok(processes),
            None => {
                let processes = PodProcesses::scan()?;
                Ok(self.processes.get_or_init(|| processes))
            }
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Begins to wait after a first failure at `now`.
    pub(super) fn new(reason: Arc<str>, now: Instant) -> Self {
        Self {
            reason,
            pause: FIRST_PAUSE,
            next: now + FIRST_PAUSE,
        }
    }

    /// Goes on to wait, longer each time.
    pub(super) fn again(&self, reason: Arc<str>, now: Instant) -> Self {
        let pause = (self.pause * 2).min(LAST_PAUSE);
        Self {
            reason,
            pause,
            next: now + pause,
        }
    }

    /// When the pod is to be tried next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}

/// Half of what a new pod may wait in the worst case; to look takes microseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_tried_less_and_less_often_but_each_second() {
        let start = Instant::now();
        let mut waiting = Waiting::new("x".into(), start);
        assert_eq!(waiting.next() - start, Duration::from_millis(20));
        waiting = waiting.again("x".into(), start);
        assert_eq!(waiting.next() - start, Duration::from_millis(40));
        for _ in 0..10 {
            waiting = waiting.again("x".into(), start);
        }
        assert_eq!(waiting.next() - start, Duration::from_secs(1));
    }
}
