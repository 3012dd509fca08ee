//! The running CA: agents attend, ask, and are told what changes.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
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
    attending::{Attending, Seat},
    book::Book,
    folder::Folder,
    live::Live,
    rotate::Pace,
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
    /// How much longer it waits for agents that attend and do not take the new root.
    pub rotation_patience: Duration,
}

/// A CA that listens.
pub struct Server {
    endpoint: CaEndpoint,
    listener: TcpListener,
    pace: Pace,
    desk: Desk,
}

/// What every agent's stream needs.
#[derive(Clone)]
struct Desk {
    book: Arc<Book>,
    live: watch::Receiver<Arc<Live>>,
    roster: watch::Receiver<Arc<Roster>>,
    life: Duration,
    attending: Arc<Attending>,
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
            rotation_patience,
        } = settings;
        let folder = Folder::create(&state, &trust_domain)?;
        let endpoint = CaEndpoint::new(&folder.read()?.endpoint.load()?)?;
        let book = Book::open(folder)?;
        let listener = TcpListener::bind(listen).await;
        Ok(Self {
            endpoint,
            listener: listener.map_err(|source| CaServerError::Listen {
                address: listen,
                source,
            })?,
            pace: Pace {
                step: rotation_step,
                patience: rotation_patience,
                life,
            },
            desk: Desk {
                live: book.live(),
                book: Arc::new(book),
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
            endpoint,
            listener,
            pace,
            desk,
        } = self;
        tokio::join!(
            follow(&desk.book, pace, &desk.attending),
            listen(&listener, &endpoint, &desk),
        );
    }
}

/// Follows what commands write into the folder, and what time does to a rotation.
async fn follow(book: &Book, pace: Pace, attending: &Attending) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        book.look();
        book.rotate(pace, |bundle| attending.without(bundle));
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
        let mut known = self.live.borrow().knows(token);
        if known.is_err() {
            // It may have been made a moment ago.
            self.book.look();
            known = self.live.borrow().knows(token);
        }
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
        let seat = Seat::take(&self.attending, &token.node);
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
