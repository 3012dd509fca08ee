//! What is asked of the rest of the agent.

use tokio::sync::{mpsc, oneshot};

use crate::{
    model::{
        CertificateView, EndpointView, Explanation, PodView, PolicyView, Question, RouteQuestion, RouteVerdict,
        RouteView, ServiceView, Unanswerable, Unaskable,
    },
    telemetry::{ConnectionId, LiveConnection, Refusal},
};

/// A question, with where its answer goes.
#[derive(Debug)]
pub enum Request {
    /// Is the agent ready?
    Readiness(oneshot::Sender<Readiness>),
    /// Which connections are open?
    Connections(oneshot::Sender<Vec<LiveConnection>>),
    /// Cut this connection; was there one?
    Kill {
        /// Which one.
        id: ConnectionId,
        /// Whether there was one.
        answer: oneshot::Sender<bool>,
    },
    /// Which pods has the node?
    Pods(oneshot::Sender<Vec<PodView>>),
    /// Which services are there?
    Services(oneshot::Sender<Vec<ServiceView>>),
    /// Which endpoints have they?
    Endpoints(oneshot::Sender<Vec<EndpointView>>),
    /// Which certificates have its pods?
    Certificates(oneshot::Sender<Vec<CertificateView>>),
    /// Which policies hold for the pods?
    Policies(oneshot::Sender<Vec<PolicyView>>),
    /// What do they make of a connection?
    Explain {
        /// Which one.
        question: Question,
        /// What they make of it.
        answer: oneshot::Sender<Result<Vec<Explanation>, Unanswerable>>,
    },
    /// Where do routes decide?
    Routes(oneshot::Sender<Vec<RouteView>>),
    /// What do they make of a request, or of a connection?
    TestRoute {
        /// Which one.
        question: Box<RouteQuestion>,
        /// What they make of it.
        answer: oneshot::Sender<Result<RouteVerdict, Unaskable>>,
    },
    /// What is wrong with the objects that the mesh is read from?
    Problems(oneshot::Sender<Vec<serde_json::Value>>),
    /// Which connections are refused, from here on?
    Refusals(oneshot::Sender<mpsc::Receiver<Refusal>>),
}

/// Whether the agent serves its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does, by a mesh of which nobody can say whether it still is so, for this reason.
    Stale(String),
    /// It does not, for these reasons.
    Waiting(Vec<String>),
}
