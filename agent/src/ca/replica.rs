//! One of several replicas of a CA in a cluster. All of them issue at once; what they share lies in the API:
//!
//! ```text
//! Secret weft-ca ──followed──▶ Replica ──▶ Live (what agents are told, who signs)
//!        ▲                        ├──────▶ ConfigMap weft-ca-bundle (roots, for who has no stream yet)
//!   weft ca rotate, deny, allow   └──────▶ ConfigMap weft-ca-rotation (which agents believe the new root)
//! ```
//!
//! No replica leads: each change of the Secret is made by who sees first that it is due, and refused to the others by
//! the version that they have read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    CaServerError,
    announced::{Issuer, IssuerFiles},
    attending::Attending,
    live::{Live, bundle_text},
    reviews::Reviews,
    rotate::{self, Pace},
    secret::{StateSecret, parse, write},
    state::{Rotation, State, seconds},
};
use crate::{
    cluster::{
        ApiServer, Followed, FollowedBoard, Following, RotationBoard, RotationNotes, RotationStage, SharedConfigMap,
        TokenReviewer,
    },
    model::ObjectName,
    telemetry::{CaMetrics, with_causes},
};

/// How a replica is run.
#[derive(Clone, Debug)]
pub struct ReplicaSettings {
    /// The API server.
    pub server: ApiServer,
    /// The namespace of the mesh's own objects.
    pub namespace: String,
    /// The trust domain of a CA that is made anew.
    pub trust_domain: String,
    /// The authority that signs, where it is not the CA's own.
    pub issuer: Option<IssuerFiles>,
}

/// A replica, with the state as it was read last.
pub(super) struct Replica {
    secret: StateSecret,
    bundle: SharedConfigMap,
    board: RotationBoard,
    names: Vec<String>,
    files: Option<IssuerFiles>,
    live: watch::Sender<Arc<Live>>,
    held: Mutex<Held>,
}

/// What a replica works with.
struct Held {
    state: State,
    issuer: Option<Issuer>,
    /// What is wrong with the issuer's files, as it was told.
    trouble: Option<String>,
}

// === impl ReplicaSettings ===

impl ReplicaSettings {
    /// Reviews tokens of agents for this CA.
    pub(super) fn reviews(&self, metrics: CaMetrics) -> Reviews {
        let agent = ObjectName::new(self.namespace.as_str(), AGENT);
        Reviews::new(TokenReviewer::new(&self.server, AUDIENCE), agent, metrics)
    }
}

// === impl Replica ===

impl Replica {
    /// Reads the Secret, or makes it, and announces the authority from files where there is one.
    pub(super) async fn open(settings: ReplicaSettings, life: Duration) -> Result<Self, CaServerError> {
        let ReplicaSettings {
            server,
            namespace,
            trust_domain,
            issuer: files,
        } = settings;
        let issuer = files.as_ref().map(IssuerFiles::read).transpose()?;
        let secret = StateSecret::new(&server, &namespace);
        let mut state = secret
            .read_or_make(|| State::for_cluster(&trust_domain, issuer.as_ref()))
            .await?;
        if state.trust_domain != trust_domain {
            tracing::warn!(
                state.trust_domain,
                "The CA was made for another trust domain, which stays"
            );
        }
        match &issuer {
            Some(issuer) => {
                state = announce(&secret, issuer, life).await?;
                sleep(issuer.wait(&state, SystemTime::now())).await;
            }
            None if state.roots.is_empty() => return Err(CaServerError::ForeignRoots),
            None => {}
        }
        let names = names(&namespace);
        let (live, _) = watch::channel(Arc::new(Live::replica(&state, &names, issuer.as_ref())?));
        Ok(Self {
            secret,
            bundle: SharedConfigMap::new(&server, &namespace, BUNDLE),
            board: RotationBoard::new(&server, &namespace),
            names,
            files,
            live,
            held: Mutex::new(Held {
                state,
                issuer,
                trouble: None,
            }),
        })
    }

    /// What agents are told, as it changes.
    pub(super) fn live(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    /// Follows the Secret and does what is due, for ever. What fails is tried again with the next look.
    pub(super) async fn follow(&self, pace: Pace, attending: &Attending) {
        let mut secret = self.secret.0.follow();
        let mut bundle = self.bundle.follow();
        let mut board = self.board.follow();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told: Option<Instant> = None;
        loop {
            tokio::select! {
                () = secret.changed() => {}
                () = bundle.changed() => {}
                () = board.changed() => {}
                _ = ticks.tick() => {}
            }
            let done = async {
                self.take(secret.now()).await?;
                self.renew(pace).await?;
                self.publish(&mut bundle).await?;
                self.rotate(pace, attending, &mut board).await
            };
            match done.await {
                Ok(()) => told = None,
                Err(error) if told.is_none_or(|told| told.elapsed() > REPEATED) => {
                    told = Some(Instant::now());
                    tracing::warn!(
                        error = with_causes(&error),
                        "The CA's objects cannot be kept: what was known holds"
                    );
                }
                Err(_) => {}
            }
        }
    }

    fn state(&self) -> State {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Takes what the Secret says. One that is gone is put back: what has signed must go on being believed.
    async fn take(&self, followed: Followed) -> Result<(), CaServerError> {
        let Followed { texts, lost: None } = followed else {
            return Ok(());
        };
        let Some(texts) = texts else {
            tracing::error!("The CA's Secret is gone: it is put back as it was");
            self.secret.0.write(None, write(&self.state())).await?;
            return Ok(());
        };
        self.work_with(parse(&texts)?)
    }

    /// Works with another state from here on, unless it is an older one or the same.
    fn work_with(&self, state: State) -> Result<(), CaServerError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = write(&held.state) == write(&state);
        // A watch may be behind what this replica has written itself.
        let is_older = state.mesh().ok() == held.state.mesh().ok() && state.bundle < held.state.bundle;
        if is_same || is_older {
            return Ok(());
        }
        let live = Live::replica(&state, &self.names, held.issuer.as_ref())?;
        held.state = state;
        self.live.send_replace(Arc::new(live));
        Ok(())
    }

    /// Follows the files of an authority that is not the CA's own: a new one is announced, and signs when agents know it.
    async fn renew(&self, pace: Pace) -> Result<(), CaServerError> {
        let Some(files) = &self.files else { return Ok(()) };
        let read = files.read();
        let fresh = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            match read {
                Ok(issuer) => {
                    held.trouble = None;
                    issuer
                }
                Err(error) => {
                    let trouble = with_causes(&error);
                    if held.trouble.as_ref() != Some(&trouble) {
                        tracing::error!(error = trouble, "The authority cannot be read: the last one signs");
                        held.trouble = Some(trouble);
                    }
                    return Ok(());
                }
            }
        };
        let is_held = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.issuer.as_ref().is_some_and(|held| held.is_same(&fresh))
        };
        if is_held {
            return Ok(());
        }
        let state = announce(&self.secret, &fresh, pace.life).await?;
        let ready = fresh.wait(&state, SystemTime::now()).is_zero();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if ready {
            tracing::info!(signer = %fresh.authority.id(), "Another authority signs");
            held.issuer = Some(fresh);
        }
        let live = Live::replica(&state, &self.names, held.issuer.as_ref())?;
        held.state = state;
        drop(held);
        self.live.send_replace(Arc::new(live));
        Ok(())
    }

    /// Keeps the roots in the ConfigMap as the Secret has them.
    async fn publish(&self, bundle: &mut Following) -> Result<(), CaServerError> {
        let Followed { texts, lost: None } = bundle.now() else {
            return Ok(());
        };
        let is = |wanted: &str| {
            texts
                .as_ref()
                .and_then(|texts| texts.get(BUNDLE_KEY))
                .is_some_and(|is| is == wanted)
        };
        if is(&bundle_text(&self.state())?) {
            return Ok(());
        }
        // The ConfigMap before the Secret: whoever writes an older bundle has read an older ConfigMap, and is refused.
        let found = self.bundle.read().await?;
        let wanted = bundle_text(&self.secret.read().await?)?;
        let mut texts = found.as_ref().map(|found| found.texts()).unwrap_or_default();
        if texts.insert(BUNDLE_KEY.to_owned(), wanted.clone()).as_ref() != Some(&wanted) {
            self.bundle.write(found, texts).await?;
        }
        Ok(())
    }

    /// Tells what a rotation waits for and who has come, and goes to its next stage when that is due.
    async fn rotate(&self, pace: Pace, attending: &Attending, board: &mut FollowedBoard) -> Result<(), CaServerError> {
        let state = self.state();
        let Some(notes) = board.now() else { return Ok(()) };
        let is_due = match state.rotation {
            None => {
                if notes.stage.is_some() {
                    self.board.end(&notes).await?;
                }
                return Ok(());
            }
            Some(Rotation::Leaving { until }) => seconds(SystemTime::now()) >= until,
            Some(Rotation::Joining { since, forced }) => {
                let stage = RotationStage {
                    bundle: state.bundle,
                    since,
                    step: pace.step.as_secs(),
                    patience: pace.patience.as_secs(),
                };
                self.tell(stage, attending, &notes).await?;
                forced || is_decided(stage, &notes, SystemTime::now())
            }
        };
        if !is_due {
            return Ok(());
        }
        let seen = (state.bundle, state.rotation);
        let edited = self.secret.edit(|state| {
            // Another replica may have been faster.
            if (state.bundle, state.rotation) == seen {
                rotate::advance(state, pace, SystemTime::now());
            }
            Ok(())
        });
        let (state, ()) = edited.await?;
        tracing::info!(rotation = ?state.rotation, "The rotation has reached its next stage");
        self.work_with(state)
    }

    /// Tells the stage, and which agents of this replica have taken its bundle.
    async fn tell(
        &self,
        stage: RotationStage,
        attending: &Attending,
        notes: &RotationNotes,
    ) -> Result<(), CaServerError> {
        if notes.stage.is_none_or(|told| told.bundle < stage.bundle) {
            self.board.begin(stage, notes).await?;
        }
        let taken = attending
            .taken()
            .into_iter()
            .filter(|(node, bundle)| *bundle >= stage.bundle && notes.taken.get(node).is_none_or(|told| told < bundle));
        let taken = taken.collect::<BTreeMap<_, _>>();
        if !taken.is_empty() {
            self.board.tell_taken(&taken).await?;
        }
        Ok(())
    }
}

async fn announce(secret: &StateSecret, issuer: &Issuer, life: Duration) -> Result<State, CaServerError> {
    let edited = secret.edit(|state| {
        if !state.roots.is_empty() {
            return Err(CaServerError::OwnRoots);
        }
        Ok(issuer.announce(state, life, SystemTime::now()))
    });
    Ok(edited.await?.0)
}

/// Whether the controller lets the new root sign, or has been silent for too long.
fn is_decided(stage: RotationStage, notes: &RotationNotes, now: SystemTime) -> bool {
    let decision = notes
        .decision
        .as_ref()
        .filter(|decision| decision.bundle == stage.bundle);
    let waits = [stage.step, stage.patience, SILENCE.as_secs()];
    let end = waits.into_iter().fold(stage.since, u64::saturating_add);
    match decision {
        Some(decision) if decision.advance => true,
        Some(_) | None if seconds(now) >= end => {
            tracing::warn!("No controller decides about the rotation: the new root signs, whoever knows it");
            true
        }
        Some(_) | None => false,
    }
}

/// The names of the CA's Service.
fn names(namespace: &str) -> Vec<String> {
    let tails = ["", ".svc", ".svc.cluster.local"].map(|end| format!(".{namespace}{end}"));
    let long = tails.into_iter().map(|tail| format!("{SERVICE}{tail}"));
    [SERVICE.to_owned()].into_iter().chain(long).collect()
}

/// The Service of the CA.
const SERVICE: &str = "weft-ca";
/// The service account of agents.
const AGENT: &str = "weft-agent";
/// What agents' tokens are for.
const AUDIENCE: &str = "weft-ca";
const BUNDLE: &str = "weft-ca-bundle";
const BUNDLE_KEY: &str = "bundle.pem";
/// How often it is looked at what no event tells: files, time, and who has taken a bundle.
const LOOK: Duration = Duration::from_millis(500);
/// How much longer than its patience a rotation waits for a controller that says nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the same trouble is not told again.
const REPEATED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
