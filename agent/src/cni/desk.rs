//! The agent's end of the socket: each plugin asks one question.

use std::{
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::UnixStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    SOCKET,
    admission::{Candidate, Ended, Inputs},
    wire::{self, LONGEST, Reply, Request},
};
use crate::{
    kernel::ContainerId,
    net::{NetNs, RootSocket, RootSocketError, receive_with},
    telemetry::{CniRefusal, with_causes},
};

/// Where plugins ask; bound, and not served yet.
#[derive(Debug)]
pub struct Desk(RootSocket);

/// A question, with the namespace that came along.
struct Question {
    request: Request,
    netns: Option<NetNs>,
}

/// Why a plugin gets no answer.
#[derive(Debug, thiserror::Error)]
enum DeskError {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("the question is too long")]
    TooLong,
    #[error("the question is not understood")]
    NotUnderstood(#[from] serde_json::Error),
    #[error("the question took too long")]
    Slow,
    #[error("the agent ends")]
    Ended,
}

// === impl Desk ===

impl Desk {
    /// Takes the socket unless somebody answers there. Needs a tokio runtime.
    pub fn bind(run_dir: &Path) -> Result<Self, RootSocketError> {
        RootSocket::bind(run_dir.join(SOCKET)).map(Self)
    }

    /// Answers until it is dropped, and with it the socket's file.
    pub async fn run(self, inputs: Inputs) {
        let mut visits = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.0.accept(), if visits.len() < MOST_VISITS => match accepted {
                    Ok((stream, _)) => drop(visits.spawn(visit(stream, inputs.clone()))),
                    Err(error) => {
                        tracing::debug!(%error, "A CNI plugin cannot be accepted");
                        sleep(BREATHER).await;
                    }
                },
                Some(_) = visits.join_next() => {}
            }
        }
    }
}

async fn visit(mut stream: UnixStream, inputs: Inputs) {
    if let Err(error) = serve(&mut stream, inputs).await {
        tracing::debug!(error = %with_causes(&error), "A CNI plugin gets no answer");
    }
}

async fn serve(stream: &mut UnixStream, inputs: Inputs) -> Result<(), DeskError> {
    let question = timeout(QUESTION, listen(stream)).await;
    let Question { request, netns } = question.map_err(|_elapsed| DeskError::Slow)??;
    tracing::debug!(?request, "A CNI plugin asks");
    let reply = answer(request, netns, inputs).await?;
    stream.write_all(&wire::line(&reply)?).await?;
    Ok(())
}

async fn answer(request: Request, netns: Option<NetNs>, mut inputs: Inputs) -> Result<Reply, Ended> {
    match (request, netns) {
        (
            Request::Add {
                container,
                pod,
                ips,
                patience,
            },
            Some(netns),
        ) => {
            let candidate = Candidate {
                container: ContainerId::new(container),
                pod,
                netns,
                ips,
            };
            let patience = Duration::from_millis(patience).clamp(LEAST_PATIENCE, MOST_PATIENCE);
            // The answer must arrive while it is waited for.
            inputs.add(candidate, Instant::now() + patience * 9 / 10).await
        }
        (Request::Check { pod, .. }, Some(netns)) => Ok(inputs.check(&pod, &netns)),
        (Request::Add { .. } | Request::Check { .. }, None) => {
            inputs.metrics.refused(CniRefusal::NoNamespace);
            Ok(Reply::Wait {
                reason: "no network namespace came along".to_owned(),
            })
        }
        (Request::Del { container }, netns) => inputs.del(ContainerId::new(container), netns).await,
        (Request::Gc { containers }, _) => {
            inputs
                .collect(containers.into_iter().map(ContainerId::new).collect())
                .await
        }
    }
}

/// Reads a line, and the first descriptor that comes with it.
async fn listen(stream: &UnixStream) -> Result<Question, DeskError> {
    let mut line = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut descriptor = None;
    while !line.ends_with(b"\n") {
        let passed = stream
            .async_io(Interest::READABLE, || receive_with(stream, &mut chunk))
            .await?;
        if passed.length == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        line.extend_from_slice(&chunk[..passed.length]);
        descriptor = descriptor.or(passed.descriptor);
        if line.len() > LONGEST {
            return Err(DeskError::TooLong);
        }
    }
    let netns = descriptor.map(NetNs::from_descriptor).transpose();
    Ok(Question {
        request: serde_json::from_slice(&line)?,
        netns: netns.unwrap_or_else(|error| {
            tracing::warn!(error = %with_causes(&error), "A CNI plugin passes what is no network namespace");
            None
        }),
    })
}

// === impl DeskError ===

impl From<Ended> for DeskError {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

/// How many plugins are answered at once; the others wait.
const MOST_VISITS: usize = 512;

/// How long a plugin may take to ask.
const QUESTION: Duration = Duration::from_secs(2);

const BREATHER: Duration = Duration::from_millis(100);
const CHUNK: usize = 16 * 1024;

/// A plugin of another version may wait as long as it likes.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
const MOST_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
