//! Who is to get a certificate, and when: at once, at half life, when addresses or the signing root change, and again
//! after a while where one was refused or names too few addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use tokio::time::Instant;

use crate::{
    model::{Mesh, ObjectName, Pod, PodUid},
    tls::{AuthorityId, certificate::PodCertificate, key::PodKey},
};

/// The pods that are to have certificates.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pods: BTreeMap<PodUid, Planned>,
    signer: Option<AuthorityId>,
}

/// What a certificate is to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) pod: ObjectName,
    pub(super) service_account: Arc<str>,
    pub(super) ips: BTreeSet<IpAddr>,
}

/// A request that is on its way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: PodKey,
    pub(super) subject: Subject,
    since: Instant,
}

#[derive(Debug)]
struct Planned {
    subject: Subject,
    /// Who has signed the last certificate.
    held: Option<AuthorityId>,
    due: Instant,
    asked: Option<Asked>,
    /// How many tries in a row have not brought all that was asked for.
    failures: u32,
    /// Why there was none the last time.
    refusal: Option<Arc<str>>,
}

// === impl Plan ===

impl Plan {
    /// Follows the mesh: this node's enrolled pods.
    pub(super) fn follow(&mut self, mesh: &Mesh, now: Instant) {
        let enrolled = mesh.pods.values().filter(|pod| pod.enrolled());
        let subjects: BTreeMap<&PodUid, Subject> = enrolled.map(|pod| (&pod.uid, Subject::of(pod))).collect();
        self.pods.retain(|uid, _| subjects.contains_key(uid));
        for (uid, subject) in subjects {
            match self.pods.get_mut(uid) {
                Some(planned) if planned.subject == subject => {}
                Some(planned) => {
                    planned.subject = subject;
                    planned.due = now;
                    planned.failures = 0;
                }
                None => drop(self.pods.insert(uid.clone(), Planned::new(subject, now))),
            }
        }
    }

    /// Renews what another root has signed, spread over a moment.
    pub(super) fn signed_by(&mut self, signer: AuthorityId, now: Instant) {
        for planned in self.pods.values_mut() {
            if planned.held.as_ref().is_some_and(|held| held != &signer) {
                planned.due = planned.due.min(now + part_of(SPREAD));
            }
        }
        self.signer = Some(signer);
    }

    /// Whether a pod is in the plan.
    pub(super) fn has(&self, uid: &PodUid) -> bool {
        self.pods.contains_key(uid)
    }

    /// The pods whose time has come, at most `most`.
    pub(super) fn due(&self, now: Instant, most: usize) -> Vec<(PodUid, Subject)> {
        let due = self.pods.iter().filter(|(_, planned)| planned.next() <= now);
        due.map(|(uid, planned)| (uid.clone(), planned.subject.clone()))
            .take(most)
            .collect()
    }

    /// When the next time comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pods.values().map(Planned::next).min()
    }

    /// Notes a request on its way.
    pub(super) fn ask(&mut self, uid: &PodUid, key: PodKey, subject: Subject, now: Instant) {
        if let Some(planned) = self.pods.get_mut(uid) {
            planned.asked = Some(Asked {
                key,
                subject,
                since: now,
            });
        }
    }

    /// Takes the request that is answered.
    pub(super) fn answered(&mut self, uid: &PodUid) -> Option<Asked> {
        self.pods.get_mut(uid)?.asked.take()
    }

    /// Forgets what is on its way: the stream has ended.
    pub(super) fn lose(&mut self) {
        for planned in self.pods.values_mut() {
            planned.asked = None;
        }
    }

    /// Notes a certificate for what was asked, as far as `certificate` says so.
    pub(super) fn hold(&mut self, uid: &PodUid, subject: &Subject, certificate: &PodCertificate) {
        let Some(planned) = self.pods.get_mut(uid) else {
            return;
        };
        let now = Instant::now();
        let authority = certificate.authority.clone();
        let left = certificate
            .not_after
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        // Between 40 and 50 per cent of what is left, so that a node's pods do not come all at once.
        let renewal = now + SHORTEST.max(left * 2 / 5 + part_of(left / 10));
        let is_whole = subject.ips.iter().all(|ip| certificate.ips.contains(ip));
        planned.due = if &planned.subject != subject {
            now
        } else if self.signer.as_ref().is_some_and(|signer| signer != &authority) {
            now + part_of(SPREAD)
        } else if is_whole {
            renewal
        } else {
            // The CA has not heard of these addresses yet, or they are another pod's; it never may for all we know.
            renewal.min(now + pause(planned.failures))
        };
        planned.failures = if is_whole {
            0
        } else {
            planned.failures.saturating_add(1)
        };
        planned.held = Some(authority);
        planned.refusal = None;
    }

    /// Notes that there was no certificate for what was asked: the next try comes later, and later again.
    pub(super) fn refuse(&mut self, uid: &PodUid, subject: &Subject, reason: &str) {
        let Some(planned) = self.pods.get_mut(uid) else {
            return;
        };
        planned.refusal = Some(reason.into());
        // What the refusal is about may be over.
        if &planned.subject == subject {
            planned.due = Instant::now() + backoff(planned.failures);
            planned.failures = planned.failures.saturating_add(1);
        }
    }

    /// The pods whose last request was refused, and why.
    pub(super) fn refusals(&self) -> BTreeMap<PodUid, Arc<str>> {
        let pods = self.pods.iter();
        pods.filter_map(|(uid, planned)| Some((uid.clone(), Arc::clone(planned.refusal.as_ref()?))))
            .collect()
    }
}

// === impl Planned ===

impl Planned {
    fn new(subject: Subject, now: Instant) -> Self {
        Self {
            subject,
            held: None,
            due: now,
            asked: None,
            failures: 0,
            refusal: None,
        }
    }

    /// When it is to be asked for: not while an answer may still come.
    fn next(&self) -> Instant {
        match &self.asked {
            Some(asked) => self.due.max(asked.since + PATIENCE),
            None => self.due,
        }
    }
}

// === impl Subject ===

impl Subject {
    fn of(pod: &Pod) -> Self {
        Self {
            pod: pod.name.clone(),
            service_account: Arc::clone(&pod.service_account),
            ips: pod.ips.iter().map(|ip| ip.to_canonical()).collect(),
        }
    }
}

/// How long to wait after so many failures: from half a second, doubled, to a minute, with jitter.
pub(super) fn backoff(failures: u32) -> Duration {
    pause(failures).min(LONGEST / 2 + part_of(LONGEST / 2))
}

/// From half a second, doubled with each failure, with jitter.
fn pause(failures: u32) -> Duration {
    let longest = SHORTEST.saturating_mul(1 << failures.min(MOST_DOUBLED));
    longest / 2 + part_of(longest / 2)
}

/// A random part of a time.
fn part_of(most: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness there is no jitter, which is no reason to fail.
    let _ = rand::fill(&mut random);
    most.mul_f64(f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX))
}

/// Over which time a node's pods renew when another root signs.
const SPREAD: Duration = Duration::from_secs(2);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// A pause of nine hours, longer than any half life.
const MOST_DOUBLED: u32 = 15;
