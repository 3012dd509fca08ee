//! Questions passed on to the resolver that the pod asked.

use std::{io, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::Name,
};
use tokio::{net::UdpSocket, time::timeout};

use super::{answer::Answer, server::Asker};
use crate::{
    net::{NetError, connect_datagrams},
    telemetry::DnsOutcome,
};

/// Why a resolver's answer did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    /// It took too long.
    #[error("the resolver did not answer in time")]
    Timeout,
    /// The network or the resolver's node said that nobody is there.
    #[error("the resolver cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The agent could not ask.
    #[error("the resolver cannot be asked")]
    Net(#[source] NetError),
}

// === impl ForwardError ===

impl ForwardError {
    /// Tells a missing route, which is the network's business, from what is the agent's.
    fn from_connect(error: NetError) -> Self {
        match error.io().map(io::Error::kind) {
            Some(kind @ (io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)) => {
                Self::Unreachable(kind.into())
            }
            _ => Self::Net(error),
        }
    }

    pub(super) fn outcome(&self) -> DnsOutcome {
        match self {
            Self::Timeout => DnsOutcome::ResolverTimeout,
            Self::Unreachable(_) => DnsOutcome::ResolverUnreachable,
            Self::Net(_) => DnsOutcome::AgentError,
        }
    }
}

/// Asks the resolver from the pod's namespace, on a port of this question's own, and waits for its answer.
pub(super) async fn ask(asker: &Asker, question: &[u8]) -> Result<Vec<u8>, ForwardError> {
    let socket = connect_datagrams(&asker.netns, asker.resolver, asker.mark).map_err(ForwardError::from_connect)?;
    timeout(PATIENCE, exchange(&socket, question))
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ForwardError::Timeout,
            _ => ForwardError::Unreachable(error),
        })
}

/// Completes an answer whose alias leads out of the mesh with what the resolver knows about its end.
pub(super) async fn complete(asker: &Asker, mut answer: Answer, target: Name) -> Result<Answer, ForwardError> {
    let Some(question) = answer.message.queries.first() else {
        return Ok(answer);
    };
    let mut request = Message::new(answer.message.metadata.id, MessageType::Query, OpCode::Query);
    request.metadata.recursion_desired = true;
    request.queries = vec![Query::query(target, question.query_type)];
    request.edns = answer.message.edns.clone();
    let Ok(request) = request.to_vec() else {
        return Ok(answer);
    };
    // An alias alone is an answer still, if a poor one.
    if let Ok(reply) = Message::from_vec(&ask(asker, &request).await?) {
        answer.message.metadata.response_code = reply.metadata.response_code;
        answer.message.metadata.truncation = reply.metadata.truncation;
        answer.message.metadata.authoritative = false;
        answer.message.answers.extend(reply.answers);
    }
    Ok(answer)
}

async fn exchange(socket: &UdpSocket, question: &[u8]) -> io::Result<Vec<u8>> {
    socket.send(question).await?;
    loop {
        let mut reply = Vec::with_capacity(LARGEST_REPLY);
        socket.recv_buf(&mut reply).await?;
        // What bears another id is no answer to this question.
        if reply.get(..2) == question.get(..2) {
            return Ok(reply);
        }
    }
}

/// As long as a stub resolver waits by default.
const PATIENCE: Duration = Duration::from_secs(5);

const LARGEST_REPLY: usize = 65_535;
