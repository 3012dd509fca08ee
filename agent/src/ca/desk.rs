//! What becomes of an agent's stream: it is told whom to believe, and what it asks for is issued or refused.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    admission::{Gate, Known},
    admit::{BEHIND, Refusal, admit, may_be_behind},
    attending::{Attending, Seat},
    audit::{AUDIT, Audit, Settled},
    live::Live,
};
use crate::{
    cluster::FollowedRoster,
    model::{Identity, Roster},
    telemetry::{CaMetrics, CertificateRefusal, with_causes},
    tls::{
        AuthorityError, Grant, InvalidRequest, ProvenKey, Signed, Validity,
        issue::{Answer, Ask, Attendee, Bundle, NotAdmitted, Outcome, Proof, Reception, Word},
    },
};

/// What every agent's stream needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) live: watch::Receiver<Arc<Live>>,
    pub(super) roster: FollowedRoster,
    pub(super) gate: Gate,
    pub(super) life: Duration,
    pub(super) attending: Arc<Attending>,
    pub(super) audit: Audit,
    pub(super) metrics: CaMetrics,
}

/// What an agent asks for, until the roster has caught up with what the agent knows.
struct Open {
    ask: Ask,
    /// When it is settled by what the roster says, whatever that is.
    until: Instant,
}

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
enum NotIssued {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

// === impl Desk ===

impl Reception for Desk {
    type Known = Known;

    async fn admit(&self, proof: Proof) -> Result<Known, NotAdmitted> {
        let node = Arc::clone(proof.node());
        let admitted = self.gate.admit(proof, &self.live, &self.roster).await;
        if let Err(refusal) = &admitted {
            tracing::warn!(target: AUDIT, %node, reason = %refusal, "Agent refused");
            self.metrics.turned_away();
        }
        admitted
    }

    fn welcome(&self, attendee: Attendee<Known>) {
        tokio::spawn(self.clone().serve(attendee));
    }
}

impl Desk {
    /// With nobody attending yet.
    pub(super) fn new(live: watch::Receiver<Arc<Live>>, roster: FollowedRoster, gate: Gate) -> Self {
        Self {
            live,
            roster,
            gate,
            life: Duration::ZERO,
            attending: Arc::default(),
            audit: Audit::default(),
            metrics: CaMetrics::default(),
        }
    }

    async fn serve(mut self, attendee: Attendee<Known>) {
        let Attendee {
            known,
            mut words,
            answers,
        } = attendee;
        let node = Arc::clone(known.node());
        let seat = Seat::take(&self.attending, &node);
        tracing::info!(target: AUDIT, %node, "Agent attends");
        let mut told = None;
        let mut open: Vec<Open> = Vec::new();
        loop {
            let live = Arc::clone(&self.live.borrow_and_update());
            let roster = self.roster.look();
            if let Err(stranger) = known.standing(&live, &roster) {
                tracing::warn!(target: AUDIT, %node, reason = %stranger, "Agent sent away");
                return;
            }
            // While nobody can say whether its token is good yet, what was known holds.
            if known.is_over() && self.roster.is_fresh() {
                tracing::debug!(target: AUDIT, %node, "The token of an agent is over: it is to come back with a new one");
                return;
            }
            // Another authority may sign though what agents believe is the same.
            let news_of = Some((live.bundle.version, live.bundle.signer.clone()));
            if told != news_of {
                told = news_of;
                if answers.send(news(Some(live.bundle.clone()), Vec::new())).await.is_err() {
                    break;
                }
            }
            let now = Instant::now();
            let due = open.extract_if(.., |open| {
                open.until <= now || !may_be_behind(&roster, &node, &open.ask)
            });
            let outcomes: Vec<_> = due.map(|due| self.settle(&live, &roster, &node, due.ask)).collect();
            if !outcomes.is_empty() && answers.send(news(None, outcomes)).await.is_err() {
                break;
            }
            let regard = open.iter().map(|open| open.until).fold(now + REGARD, Instant::min);
            tokio::select! {
                changed = self.live.changed() => if changed.is_err() {
                    break;
                },
                word = words.recv(), if open.len() < MOST_OPEN => match word {
                    Some(Word::Known(version)) => seat.knows(version),
                    Some(Word::Asks(asks)) => {
                        let until = Instant::now() + BEHIND;
                        open.extend(asks.into_iter().map(|ask| Open { ask, until }));
                    }
                    None => break,
                },
                () = self.roster.changed(), if !open.is_empty() => {}
                () = sleep_until(regard) => {}
            }
        }
        tracing::info!(target: AUDIT, %node, "Agent has left");
    }

    /// Issues or refuses one certificate, with a line for the audit.
    fn settle(&self, live: &Live, roster: &Roster, node: &Arc<str>, ask: Ask) -> Outcome {
        let issued = self.issue(live, roster, node, &ask);
        let settled = match &issued {
            Ok((grant, validity, signed)) => {
                self.metrics.issued();
                Settled::Issued {
                    grant,
                    serial: &signed.serial,
                    not_after: validity.not_after,
                }
            }
            Err(error) => {
                self.metrics.refused(error.reason());
                Settled::Refused {
                    reason: with_causes(error),
                }
            }
        };
        self.audit.tell(node, &ask, &settled);
        Outcome {
            uid: ask.uid,
            issued: issued
                .map(|(_, _, signed)| signed.chain)
                .map_err(|error| with_causes(&error)),
        }
    }

    fn issue(
        &self,
        live: &Live,
        roster: &Roster,
        node: &Arc<str>,
        ask: &Ask,
    ) -> Result<(Grant, Validity, Signed), NotIssued> {
        let grant = Grant {
            ips: admit(roster, node, ask)?,
            identity: Identity::new(live.trust_domain(), &ask.pod.namespace, &ask.service_account),
            uid: ask.uid.clone(),
            node: Some(Arc::clone(node)),
        };
        if let Some(denial) = live.bundle.denied.find_grant(&grant) {
            return Err(Refusal::Denied(denial).into());
        }
        let key = ProvenKey::of_request(&ask.request)?;
        let validity = Validity::starting(SystemTime::now(), self.life).until(live.signer().not_after());
        let signed = live.signer().sign(&grant, &key, validity)?;
        Ok((grant, validity, signed))
    }
}

// === impl NotIssued ===

impl NotIssued {
    fn reason(&self) -> CertificateRefusal {
        match self {
            Self::Refused(refusal) => match refusal {
                Refusal::NoSuchPod | Refusal::OtherName(_) => CertificateRefusal::Pod,
                Refusal::OtherNode => CertificateRefusal::Node,
                Refusal::OtherServiceAccount(_) => CertificateRefusal::ServiceAccount,
                Refusal::NotEnrolled(_) => CertificateRefusal::NotEnrolled,
                Refusal::Denied(_) => CertificateRefusal::Denied,
            },
            Self::Request(_) => CertificateRefusal::Request,
            Self::Authority(_) => CertificateRefusal::Authority,
        }
    }
}

fn news(bundle: Option<Bundle>, outcomes: Vec<Outcome>) -> Answer {
    Answer {
        time: SystemTime::now(),
        bundle,
        outcomes,
    }
}

/// How often it is looked whether an agent may attend yet, beside when it says something.
const REGARD: Duration = Duration::from_secs(5);

/// How much an agent may have open: more than its node may have pods. Beyond it, its words wait.
const MOST_OPEN: usize = 1024;

#[cfg(test)]
mod tests;
