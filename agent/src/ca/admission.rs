//! Whose agent connects: by a token of `weft ca token`, or by the service account token of its pod.

use std::{sync::Arc, time::SystemTime};

use tokio::sync::watch;

use super::{admit::BEHIND, book::Book, live::Live, reviews::Reviews};
use crate::{
    cluster::{FollowedRoster, ReviewedToken},
    model::{Enrolment, NotEnrolled, ObjectName, PodUid, Roster},
    tls::{
        JoinToken,
        issue::{NotAdmitted, Proof},
    },
};

/// An agent that was admitted.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// By a token of this CA.
    Join(JoinToken),
    /// By its pod's service account token.
    Pod(AgentPod),
}

/// The pod of an agent, as its token proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentPod {
    pub(super) uid: PodUid,
    pub(super) service_account: ObjectName,
    pub(super) node: Arc<str>,
    /// When its token ends.
    pub(super) expires: SystemTime,
}

/// Who may attend.
#[derive(Clone, Debug)]
pub(super) enum Gate {
    /// Whoever has a token that the state names.
    Tokens(Arc<Book>),
    /// The agents of a cluster.
    Pods(Arc<Reviews>),
}

/// Why an agent may not attend, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error("in Kubernetes agents prove themselves by the service account token of their pod")]
    JoinToken,
    #[error("this CA knows agents by the tokens of `weft ca token`")]
    PodToken,
    #[error("{0}")]
    Token(String),
    #[error("the token is bound to no pod")]
    Unbound,
    #[error("the token is of {0}, and not of an agent")]
    NoAgent(ObjectName),
    #[error("the token's pod is not on the node {0}")]
    OtherNode(Arc<str>),
    #[error("the token's pod is not there, or not any more")]
    Gone,
    #[error("the deny-list has the node")]
    Denied,
}

// === impl Gate ===

impl Gate {
    /// Finds out whose agent this is.
    pub(super) async fn admit(
        &self,
        proof: Proof,
        live: &watch::Receiver<Arc<Live>>,
        roster: &FollowedRoster,
    ) -> Result<Known, NotAdmitted> {
        let known = match (self, proof) {
            (Self::Tokens(book), Proof::Join(token)) => {
                // It may have been made a moment ago.
                if live.borrow().knows(&token).is_err() {
                    book.look();
                }
                Known::Join(token)
            }
            (Self::Tokens(_), Proof::Pod { .. }) => return Err(refused(&Stranger::PodToken)),
            (Self::Pods(_), Proof::Join(_)) => return Err(refused(&Stranger::JoinToken)),
            (Self::Pods(reviews), Proof::Pod { token, node }) => {
                let reviewed = reviews.review(&token).await?;
                let pod = AgentPod::new(reviewed, node, reviews.agent());
                Known::Pod(pod.map_err(|stranger| refused(&stranger))?)
            }
        };
        let live = Arc::clone(&live.borrow());
        // An agent may be faster than the news of its own pod.
        let there = |roster: &Roster| known.standing(&live, roster) != Err(Stranger::Gone);
        let roster = roster.until(BEHIND, there).await;
        known.standing(&live, &roster).map_err(|stranger| match stranger {
            Stranger::Gone => NotAdmitted::Unavailable(stranger.to_string()),
            Stranger::JoinToken
            | Stranger::PodToken
            | Stranger::Token(_)
            | Stranger::Unbound
            | Stranger::NoAgent(_)
            | Stranger::OtherNode(_)
            | Stranger::Denied => refused(&stranger),
        })?;
        Ok(known)
    }
}

// === impl AgentPod ===

impl AgentPod {
    /// Takes what the API server says of a token that is to be of the agent of a node.
    fn new(reviewed: ReviewedToken, node: Arc<str>, agent: &ObjectName) -> Result<Self, Stranger> {
        let ReviewedToken {
            service_account,
            pod,
            node: of_pod,
            expires,
        } = reviewed;
        if &service_account != agent {
            return Err(Stranger::NoAgent(service_account));
        }
        if of_pod.is_some_and(|of_pod| of_pod != node) {
            return Err(Stranger::OtherNode(node));
        }
        Ok(Self {
            uid: pod.ok_or(Stranger::Unbound)?,
            service_account,
            node,
            expires,
        })
    }
}

// === impl Known ===

impl Known {
    /// Its node.
    pub(super) fn node(&self) -> &Arc<str> {
        match self {
            Self::Join(token) => &token.node,
            Self::Pod(pod) => &pod.node,
        }
    }

    /// Whether it still may attend.
    pub(super) fn standing(&self, live: &Live, roster: &Roster) -> Result<(), Stranger> {
        match self {
            Self::Join(token) => live.knows(token).map_err(Stranger::Token),
            Self::Pod(agent) => {
                let pod = roster.pods.get(&agent.uid).ok_or(Stranger::Gone)?;
                let AgentPod {
                    uid: _,
                    service_account,
                    node,
                    expires: _,
                } = agent;
                if pod.enrolment == Enrolment::Out(NotEnrolled::Ended) {
                    return Err(Stranger::Gone);
                }
                if pod.name.namespace != service_account.namespace || pod.service_account != service_account.name {
                    return Err(Stranger::NoAgent(service_account.clone()));
                }
                if pod.node.as_ref() != Some(node) {
                    return Err(Stranger::OtherNode(Arc::clone(node)));
                }
                if live.bundle.denied.has_node(node) {
                    return Err(Stranger::Denied);
                }
                Ok(())
            }
        }
    }

    /// Whether the time of its token is over, where that has one of its own.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Join(_) => false,
            Self::Pod(pod) => pod.expires <= SystemTime::now(),
        }
    }
}

fn refused(stranger: &Stranger) -> NotAdmitted {
    NotAdmitted::Refused(stranger.to_string())
}

#[cfg(test)]
mod tests;
