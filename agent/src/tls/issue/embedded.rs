//! The CA of a mesh of one node: it lives in the agent and dies with it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::{mpsc, watch};

use super::{AHEAD, Answer, Ask, Attendance, Bundle, Ca, CaError, Outcome, Word};
use crate::{
    model::{Identity, Mesh},
    telemetry::with_causes,
    tls::{Authority, AuthorityError, DenyList, Grant, ProvenKey, Validity, random_mesh},
};

/// A CA within the agent: its root is made at the start, in memory, and no other agent believes it.
///
/// It is of the mesh's trust domain; another one gets another root.
#[derive(Clone, Debug)]
pub struct Embedded {
    mesh: watch::Receiver<Arc<Mesh>>,
    node: Arc<str>,
    life: Duration,
    /// The random number of the mesh, which stays.
    id: [u8; 16],
    root: Arc<Mutex<Arc<Root>>>,
}

#[derive(Debug)]
struct Root {
    authority: Authority,
    trust_domain: Arc<str>,
    /// The version of the bundle that tells of it.
    bundle: u64,
}

// === impl Embedded ===

impl Embedded {
    /// Makes the root; certificates live for `life`.
    pub fn create(mesh: watch::Receiver<Arc<Mesh>>, node: &str, life: Duration) -> Result<Self, AuthorityError> {
        let trust_domain = mesh.borrow().config.trust_domain.clone();
        Ok(Self {
            root: Arc::new(Mutex::new(Arc::new(Root::create(&trust_domain, 1)?))),
            mesh,
            node: node.into(),
            life,
            id: random_mesh()?,
        })
    }

    async fn serve(mut self, mut words: mpsc::Receiver<Word>, answers: mpsc::Sender<Answer>) {
        let mut told = 0;
        let mut outcomes = Vec::new();
        loop {
            let root = self.root();
            let bundle = (root.bundle != told).then(|| self.bundle(&root));
            told = root.bundle;
            let answer = Answer {
                time: SystemTime::now(),
                bundle,
                outcomes,
            };
            if (answer.bundle.is_some() || !answer.outcomes.is_empty()) && answers.send(answer).await.is_err() {
                return;
            }
            outcomes = tokio::select! {
                word = words.recv() => match word {
                    Some(Word::Asks(asks)) => asks.into_iter().map(|ask| self.issue(&root, ask)).collect(),
                    Some(Word::Known(_)) => Vec::new(),
                    None => return,
                },
                changed = self.mesh.changed() => match changed {
                    Ok(()) => Vec::new(),
                    Err(_gone) => return,
                },
            };
        }
    }

    /// The root of the mesh's trust domain.
    fn root(&mut self) -> Arc<Root> {
        let trust_domain = self.mesh.borrow_and_update().config.trust_domain.clone();
        let mut root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if *root.trust_domain != *trust_domain {
            match Root::create(&trust_domain, root.bundle + 1) {
                Ok(next) => *root = Arc::new(next),
                Err(error) => tracing::error!(
                    error = with_causes(&error),
                    trust_domain,
                    "There is no root for the trust domain: certificates stay of the last one"
                ),
            }
        }
        Arc::clone(&root)
    }

    fn bundle(&self, root: &Root) -> Bundle {
        Bundle {
            version: root.bundle,
            trust_domain: Arc::clone(&root.trust_domain),
            mesh: self.id,
            roots: vec![root.authority.certificate().to_vec()],
            intermediates: Vec::new(),
            signer: root.authority.id().clone(),
            denied: DenyList::default(),
        }
    }

    /// Signs what its own agent asks for.
    fn issue(&self, root: &Root, ask: Ask) -> Outcome {
        let grant = Grant {
            identity: Identity::new(&root.trust_domain, &ask.pod.namespace, &ask.service_account),
            uid: ask.uid,
            ips: ask.ips,
            node: Some(Arc::clone(&self.node)),
        };
        let validity = Validity::starting(SystemTime::now(), self.life);
        let issued = match ProvenKey::of_request(&ask.request) {
            Ok(key) => root
                .authority
                .sign(&grant, &key, validity)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Outcome {
            uid: grant.uid,
            issued: issued.map(|signed| signed.chain),
        }
    }
}

// === impl Root ===

impl Root {
    fn create(trust_domain: &str, bundle: u64) -> Result<Self, AuthorityError> {
        Ok(Self {
            authority: Authority::create(trust_domain, Validity::starting(SystemTime::now(), ROOT_LIFE))?,
            trust_domain: trust_domain.into(),
            bundle,
        })
    }
}

impl Ca for Embedded {
    async fn attend(&self) -> Result<Attendance, CaError> {
        let (say, words) = mpsc::channel(AHEAD);
        let (sender, answers) = mpsc::channel(AHEAD);
        // It ends with the stream.
        tokio::spawn(self.clone().serve(words, sender));
        Ok(Attendance { say, answers })
    }
}

/// Longer than any agent runs.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
