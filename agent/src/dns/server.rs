//! The way of a question: taken in a pod's namespace, answered from there in the resolver's name.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hickory_proto::{
    op::{Header, Message, Query, ResponseCode},
    serialize::binary::{BinDecodable as _, BinDecoder},
};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{
    answer::{Answer, LARGEST_REQUEST},
    forward::{self, ForwardError},
    question::Question,
};
use crate::{
    model::{Mesh, ObjectName},
    net::{CapturedDatagrams, ForeignSender, Mark, NetError, NetNs},
    telemetry::{DnsMetrics, DnsOutcome},
};

#[cfg(test)]
mod tests;

/// Where a pod's questions come in.
#[derive(Debug)]
pub struct Door {
    /// The pod.
    pub pod: ObjectName,
    /// Its network namespace.
    pub netns: NetNs,
    /// What takes its questions, one for each address family.
    pub sockets: Vec<std::net::UdpSocket>,
    /// The mark by which the agent's own datagrams are not taken again.
    pub mark: Mark,
}

/// Why a pod's questions cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("DNS of {pod}")]
pub struct DnsError {
    /// The pod.
    pub pod: ObjectName,
    /// What failed.
    pub source: NetError,
}

/// Who asked whom.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) client: SocketAddr,
    pub(super) resolver: SocketAddr,
    pub(super) netns: NetNs,
    pub(super) mark: Mark,
    sender: Arc<ForeignSender>,
    metrics: DnsMetrics,
}

/// Both ends of one address family.
struct Ends {
    questions: CapturedDatagrams,
    answers: Arc<ForeignSender>,
}

struct Server {
    pod: ObjectName,
    netns: NetNs,
    mark: Mark,
    mesh: watch::Receiver<Arc<Mesh>>,
    metrics: DnsMetrics,
}

/// Serves a pod's questions until the future is dropped; needs a tokio runtime.
pub async fn serve(door: Door, mesh: watch::Receiver<Arc<Mesh>>, metrics: DnsMetrics) -> Result<(), DnsError> {
    let Door {
        pod,
        netns,
        sockets,
        mark,
    } = door;
    let server = Arc::new(Server {
        pod: pod.clone(),
        netns,
        mark,
        mesh,
        metrics,
    });
    let mut families = JoinSet::new();
    for socket in sockets {
        let ends = Ends::open(socket, &server.netns, mark).map_err(|source| DnsError {
            pod: pod.clone(),
            source,
        })?;
        families.spawn(server.clone().serve_family(ends));
    }
    families.join_all().await;
    Ok(())
}

// === impl Ends ===

impl Ends {
    fn open(socket: std::net::UdpSocket, netns: &NetNs, mark: Mark) -> Result<Self, NetError> {
        let questions = CapturedDatagrams::new(socket)?;
        let answers = ForeignSender::open(netns, questions.family()?, mark)?;
        Ok(Self {
            questions,
            answers: Arc::new(answers),
        })
    }
}

// === impl Server ===

impl Server {
    async fn serve_family(self: Arc<Self>, ends: Ends) {
        let mut waiting = JoinSet::new();
        let mut buffer = vec![0; usize::from(LARGEST_REQUEST) + 1];
        loop {
            let datagram = match ends.questions.receive(&mut buffer).await {
                Ok(datagram) => datagram,
                Err(error) => {
                    self.rest_after(error).await;
                    continue;
                }
            };
            while waiting.try_join_next().is_some() {}
            let asker = Asker {
                client: datagram.source,
                resolver: datagram.original_destination,
                netns: self.netns.clone(),
                mark: self.mark,
                sender: ends.answers.clone(),
                metrics: self.metrics.clone(),
            };
            self.take(asker, &buffer[..datagram.length], &mut waiting);
        }
    }

    /// Answers at once what the mesh knows; what needs the resolver waits in a task of its own.
    fn take(&self, asker: Asker, bytes: &[u8], waiting: &mut JoinSet<()>) {
        if bytes.len() > LARGEST_REQUEST.into() {
            return self.metrics.count(DnsOutcome::Malformed);
        }
        let mesh = self.mesh.borrow().clone();
        let question = match Question::read(&mesh, bytes) {
            Ok(question) => question,
            Err(error) => {
                tracing::debug!(pod = %self.pod, %error, "DNS datagram dropped");
                return self.metrics.count(DnsOutcome::Malformed);
            }
        };
        match question {
            Question::Known(answer) => asker.answer(answer.encode(), DnsOutcome::Answered),
            _ if waiting.len() >= MOST_WAITING => self.metrics.count(DnsOutcome::TooManyWaiting),
            Question::Alias(answer, target) => {
                let bytes = bytes.to_vec();
                waiting.spawn(async move {
                    let completed = forward::complete(&asker, *answer, target).await;
                    asker.conclude(&bytes, completed.map(Answer::encode), ResponseCode::ServFail);
                });
            }
            Question::Others => ask_resolver(asker, bytes, ResponseCode::ServFail, waiting),
            Question::Unknown => ask_resolver(asker, bytes, ResponseCode::NXDomain, waiting),
        }
    }

    /// What fails in receiving may fail again at once, for ever.
    async fn rest_after(&self, error: io::Error) {
        tracing::debug!(pod = %self.pod, %error, "DNS socket failed");
        self.metrics.count(DnsOutcome::AgentError);
        sleep(REST).await;
    }
}

// === impl Asker ===

impl Asker {
    /// Tells the client how its question ended; silence where the resolver was silent.
    fn conclude(&self, question: &[u8], reply: Result<Option<Vec<u8>>, ForwardError>, otherwise: ResponseCode) {
        match reply {
            Ok(reply) => self.answer(reply, DnsOutcome::Forwarded),
            Err(error @ ForwardError::Timeout) => self.metrics.count(error.outcome()),
            Err(error @ (ForwardError::Unreachable(_) | ForwardError::Net(_))) => {
                self.answer(failure(question, otherwise), error.outcome());
            }
        }
    }

    fn answer(&self, reply: Option<Vec<u8>>, outcome: DnsOutcome) {
        let sent = reply.map(|reply| self.sender.send(self.resolver, self.client, &reply));
        self.metrics.count(match sent {
            Some(Ok(())) => outcome,
            None => DnsOutcome::AgentError,
            Some(Err(error)) => {
                tracing::debug!(client = %self.client, resolver = %self.resolver, %error, "DNS answer not sent");
                DnsOutcome::AgentError
            }
        });
    }
}

/// Passes a question on; `otherwise` is said where no resolver can be reached.
fn ask_resolver(asker: Asker, question: &[u8], otherwise: ResponseCode, waiting: &mut JoinSet<()>) {
    let question = question.to_vec();
    waiting.spawn(async move {
        let reply = forward::ask(&asker, &question).await;
        asker.conclude(&question, reply.map(Some), otherwise);
    });
}

/// The answer to a question that nobody answers; SERVFAIL makes a client try its next resolver.
fn failure(question: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let mut decoder = BinDecoder::new(question);
    let header = Header::read(&mut decoder).ok()?;
    let mut response = Message::error_msg(header.metadata.id, header.metadata.op_code, code);
    response.metadata.recursion_desired = header.metadata.recursion_desired;
    response.queries.extend(Query::read(&mut decoder).ok());
    response.to_vec().ok()
}

/// So many questions of one pod and family may wait for their resolvers: each holds a socket.
const MOST_WAITING: usize = 128;

/// How long receiving rests after an error.
const REST: Duration = Duration::from_millis(100);
