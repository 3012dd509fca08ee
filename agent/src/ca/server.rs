//! The running CA: agents attend, ask, and are told what changes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    CaServerError,
    admit::{Refusal, admit},
    folder::Folder,
    live::Live,
    rotate::{self, Pace},
    state::State,
};
use crate::{
    model::{Identity, Roster},
    telemetry::with_causes,
    tls::{
        CaEndpoint, Grant, JoinToken, ProvenKey, Validity,
        issue::{self, Answer, Ask, Attendee, Bundle, Outcome, Reception, Word},
    },
};

/// How a CA is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its folder.
    pub state: PathBuf,
    /// The trust domain of a CA that is made anew.
    pub trust_domain: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long certificates live.
    pub life: Duration,
    /// How long a new root is in the bundle before it signs, at least.
    pub rotation_step: Duration,
}

/// A CA that listens.
pub struct Server {
    folder: Folder,
    endpoint: CaEndpoint,
    listener: TcpListener,
    pace: Pace,
    live: watch::Sender<Arc<Live>>,
    desk: Desk,
}

/// What every agent's stream needs.
#[derive(Clone)]
struct Desk {
    live: watch::Receiver<Arc<Live>>,
    roster: watch::Receiver<Arc<Roster>>,
    life: Duration,
    attending: Arc<Attending>,
}

/// The agents that attend, by the bundle that each has taken.
#[derive(Debug, Default)]
struct Attending {
    known: Mutex<BTreeMap<u64, u64>>,
    next: AtomicU64,
}

/// One agent's place among those that attend, while it does.
struct Seat {
    attending: Arc<Attending>,
    number: u64,
}

// === impl Server ===

impl Server {
    /// Takes the folder and the port.
    pub async fn bind(settings: Settings, roster: watch::Receiver<Arc<Roster>>) -> Result<Self, CaServerError> {
        let Settings {
            state,
            trust_domain,
            listen,
            life,
            rotation_step,
        } = settings;
        let folder = Folder::create(&state, &trust_domain)?;
        let state = folder.read()?;
        let (live, followed) = watch::channel(Arc::new(Live::new(&state)?));
        let listener = TcpListener::bind(listen).await;
        Ok(Self {
            endpoint: CaEndpoint::new(&state.endpoint.load()?)?,
            listener: listener.map_err(|source| CaServerError::Listen {
                address: listen,
                source,
            })?,
            folder,
            pace: Pace {
                step: rotation_step,
                life,
            },
            live,
            desk: Desk {
                live: followed,
                roster,
                life,
                attending: Arc::default(),
            },
        })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        let Self {
            folder,
            endpoint,
            listener,
            pace,
            live,
            desk,
        } = self;
        tokio::join!(
            follow(&folder, pace, &live, &desk.attending),
            listen(&listener, &endpoint, &desk),
        );
    }
}

/// Follows what commands write into the folder, and what time does to a rotation.
async fn follow(folder: &Folder, pace: Pace, live: &watch::Sender<Arc<Live>>, attending: &Attending) {
    let mut seen = None;
    let mut state: Option<State> = None;
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let stamp = folder.stamp();
        if seen != stamp {
            seen = stamp;
            match folder.read().and_then(|state| Ok((Live::new(&state)?, state))) {
                Ok((fresh, read)) => {
                    live.send_replace(Arc::new(fresh));
                    state = Some(read);
                }
                Err(error) => tracing::error!(
                    error = with_causes(&error),
                    "The state cannot be used: the last one holds"
                ),
            }
        }
        let Some(state) = &state else { continue };
        let due = |rotation| rotate::is_due(rotation, pace, attending.all_know(state.bundle), SystemTime::now());
        if state.rotation.is_some_and(due) {
            let advanced = folder.edit(|state| {
                rotate::advance(state, pace, SystemTime::now());
                Ok(state.rotation)
            });
            match advanced {
                Ok(rotation) => tracing::info!(?rotation, "The rotation has reached its next stage"),
                Err(error) => tracing::error!(error = with_causes(&error), "The rotation cannot go on"),
            }
        }
    }
}

async fn listen(listener: &TcpListener, endpoint: &CaEndpoint, desk: &Desk) {
    let mut agents = JoinSet::new();
    loop {
        while agents.try_join_next().is_some() {}
        if agents.len() >= MOST_CONNECTIONS {
            agents.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => drop(agents.spawn(attend(stream, peer, endpoint.clone(), desk.clone()))),
            Err(error) => {
                tracing::warn!(%error, "An agent cannot be accepted");
                // What ran out does not come back at once.
                sleep(BREATHER).await;
            }
        }
    }
}

async fn attend(stream: TcpStream, peer: SocketAddr, endpoint: CaEndpoint, desk: Desk) {
    // Small answers must not wait; the socket is open, and where it is not the handshake says so.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_TIME, endpoint.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%peer, error = with_causes(&error), "No TLS with an agent"),
        Err(_elapsed) => return tracing::info!(%peer, "An agent does not shake hands"),
    };
    if let Err(error) = issue::serve(stream, desk).await {
        tracing::info!(%peer, error = with_causes(&error), "The connection of an agent has failed");
    }
}

// === impl Desk ===

impl Reception for Desk {
    fn knows(&self, token: &JoinToken) -> Result<(), String> {
        let known = self.live.borrow().knows(token);
        if let Err(reason) = &known {
            tracing::warn!(target: AUDIT, node = %token.node, reason, "Agent refused");
        }
        known
    }

    fn welcome(&self, attendee: Attendee) {
        tokio::spawn(self.clone().serve(attendee));
    }
}

impl Desk {
    async fn serve(mut self, attendee: Attendee) {
        let Attendee {
            token,
            mut words,
            answers,
        } = attendee;
        let seat = Seat::take(&self.attending);
        tracing::info!(target: AUDIT, node = %token.node, "Agent attends");
        let mut told = 0;
        loop {
            let live = Arc::clone(&self.live.borrow_and_update());
            if let Err(reason) = live.knows(&token) {
                tracing::warn!(target: AUDIT, node = %token.node, reason, "Agent sent away");
                return;
            }
            if live.bundle.version != told {
                told = live.bundle.version;
                if answers.send(news(Some(live.bundle.clone()), Vec::new())).await.is_err() {
                    break;
                }
            }
            tokio::select! {
                changed = self.live.changed() => if changed.is_err() {
                    break;
                },
                word = words.recv() => match word {
                    Some(Word::Known(version)) => seat.knows(version),
                    Some(Word::Asks(asks)) => {
                        let roster = Arc::clone(&self.roster.borrow());
                        let outcomes = asks.into_iter().map(|ask| self.settle(&live, &roster, &token, ask)).collect();
                        if answers.send(news(None, outcomes)).await.is_err() {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        tracing::info!(target: AUDIT, node = %token.node, "Agent has left");
    }

    /// Issues or refuses one certificate, with a line for the audit.
    fn settle(&self, live: &Live, roster: &Roster, token: &JoinToken, ask: Ask) -> Outcome {
        let (node, pod, uid) = (&token.node, ask.pod.clone(), ask.uid.clone());
        let issued = match self.issue(live, roster, token, &ask) {
            Ok((grant, serial, der)) => {
                let Grant { identity, ips, .. } = grant;
                tracing::info!(target: AUDIT, %node, %pod, %uid, %identity, serial, ?ips, "Certificate issued");
                Ok(vec![der])
            }
            Err(error) => {
                let reason = with_causes(&error);
                tracing::warn!(target: AUDIT, %node, %pod, %uid, reason, "Certificate refused");
                Err(reason)
            }
        };
        Outcome { uid, issued }
    }

    fn issue(
        &self,
        live: &Live,
        roster: &Roster,
        token: &JoinToken,
        ask: &Ask,
    ) -> Result<(Grant, String, Vec<u8>), NotIssued> {
        let grant = Grant {
            ips: admit(roster, &token.node, ask)?,
            identity: Identity::new(live.trust_domain(), &ask.pod.namespace, &ask.service_account),
            uid: ask.uid.clone(),
            node: Some(Arc::clone(&token.node)),
        };
        if let Some(denial) = live.bundle.denied.find_grant(&grant) {
            return Err(Refusal::Denied(denial).into());
        }
        let key = ProvenKey::of_request(&ask.request)?;
        let validity = Validity::starting(SystemTime::now(), self.life);
        let signed = live.signer().sign(&grant, &key, validity)?;
        Ok((grant, signed.serial.to_string(), signed.der))
    }
}

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
enum NotIssued {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Request(#[from] crate::tls::InvalidRequest),
    #[error(transparent)]
    Authority(#[from] crate::tls::AuthorityError),
}

// === impl Attending ===

impl Attending {
    /// Whether every agent that attends has taken this bundle.
    fn all_know(&self, version: u64) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().all(|known| *known >= version)
    }
}

// === impl Seat ===

impl Seat {
    fn take(attending: &Arc<Attending>) -> Self {
        let seat = Self {
            attending: Arc::clone(attending),
            number: attending.next.fetch_add(1, Ordering::Relaxed),
        };
        seat.knows(0);
        seat
    }

    fn knows(&self, version: u64) {
        let mut known = self.attending.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(self.number, version);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut known = self.attending.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&self.number);
    }
}

fn news(bundle: Option<Bundle>, outcomes: Vec<Outcome>) -> Answer {
    Answer {
        time: SystemTime::now(),
        bundle,
        outcomes,
    }
}

/// Whom `--log weft_audit=info` shows.
const AUDIT: &str = "weft_audit";
/// How often the folder is looked at: what a command writes reaches the agents within this time.
const LOOK: Duration = Duration::from_millis(200);
/// More agents than any cluster has nodes, and fewer than descriptors.
const MOST_CONNECTIONS: usize = 15_000;
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
const BREATHER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
