//! The CA of a mesh of one node: it lives in the agent and dies with it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::mpsc;

use super::{AHEAD, Answer, Ask, Attendance, Bundle, Ca, CaError, Outcome, Word};
use crate::{
    model::Identity,
    tls::{Authority, AuthorityError, DenyList, Grant, ProvenKey, Validity, random_mesh},
};

/// A CA within the agent: its root is made at the start, in memory, and no other agent believes it.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Root>);

#[derive(Debug)]
struct Root {
    authority: Authority,
    trust_domain: Arc<str>,
    node: Arc<str>,
    life: Duration,
    mesh: [u8; 16],
}

// === impl Embedded ===

impl Embedded {
    /// Makes the root; certificates live for `life`.
    pub fn create(trust_domain: &str, node: &str, life: Duration) -> Result<Self, AuthorityError> {
        Ok(Self(Arc::new(Root {
            authority: Authority::create(trust_domain, Validity::starting(SystemTime::now(), ROOT_LIFE))?,
            trust_domain: trust_domain.into(),
            node: node.into(),
            life,
            mesh: random_mesh()?,
        })))
    }

    async fn serve(self, mut words: mpsc::Receiver<Word>, answers: mpsc::Sender<Answer>) {
        let mut answer = Answer {
            time: SystemTime::now(),
            bundle: Some(self.bundle()),
            outcomes: Vec::new(),
        };
        while answers.send(answer).await.is_ok() {
            let asks = loop {
                match words.recv().await {
                    Some(Word::Asks(asks)) => break asks,
                    Some(Word::Known(_)) => {}
                    None => return,
                }
            };
            answer = Answer {
                time: SystemTime::now(),
                bundle: None,
                outcomes: asks.into_iter().map(|ask| self.issue(ask)).collect(),
            };
        }
    }

    fn bundle(&self) -> Bundle {
        Bundle {
            version: 1,
            trust_domain: Arc::clone(&self.0.trust_domain),
            mesh: self.0.mesh,
            roots: vec![self.0.authority.root().to_vec()],
            signer: self.0.authority.id().clone(),
            denied: DenyList::default(),
        }
    }

    /// Signs what its own agent asks for.
    fn issue(&self, ask: Ask) -> Outcome {
        let root = &self.0;
        let grant = Grant {
            identity: Identity::new(&root.trust_domain, &ask.pod.namespace, &ask.service_account),
            uid: ask.uid,
            ips: ask.ips,
            node: Some(Arc::clone(&root.node)),
        };
        let validity = Validity::starting(SystemTime::now(), root.life);
        let issued = match ProvenKey::of_request(&ask.request) {
            Ok(key) => root
                .authority
                .sign(&grant, &key, validity)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Outcome {
            uid: grant.uid,
            issued: issued.map(|signed| vec![signed.der]),
        }
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
