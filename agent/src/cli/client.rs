//! The client of the agent's unix socket: HTTP/1 with JSON bodies.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, runtime::Runtime, time::timeout};

/// A running agent, as far as its socket answers.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    socket: PathBuf,
}

/// An agent that could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgentError {
    #[error("no agent answers at {}", socket.display())]
    Unreachable { socket: PathBuf, source: io::Error },
    #[error("the agent at {} did not answer within {} s", socket.display(), TIMEOUT.as_secs())]
    Silent { socket: PathBuf },
    #[error("the agent broke off its answer to {path}")]
    Broken { path: String, source: hyper::Error },
    #[error("the agent answered {status} to {path}: {message}")]
    Refused {
        path: String,
        status: StatusCode,
        message: String,
    },
    #[error("the agent's answer to {path} is of another version")]
    Unreadable { path: String, source: serde_json::Error },
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot print")]
    Print(#[source] io::Error),
}

// === impl Agent ===

impl Agent {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for a value.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AgentError> {
        self.ask(Method::GET, path)
    }

    /// Asks for a deed, and takes its outcome.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, AgentError> {
        self.ask(Method::POST, path)
    }

    /// Whether an agent answers at all.
    pub(super) fn lives(&self) -> Result<bool, AgentError> {
        let runtime = runtime()?;
        match runtime.block_on(self.connect()) {
            Ok(_) => Ok(true),
            Err(AgentError::Unreachable { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Follows an endless answer, one JSON value a line, until the agent ends it.
    pub(super) fn follow<T: DeserializeOwned>(
        &self,
        path: &str,
        mut each: impl FnMut(T) -> io::Result<()>,
    ) -> Result<(), AgentError> {
        runtime()?.block_on(async {
            let mut body = self.request(Method::GET, path).await?.into_body();
            let mut lines = Lines::default();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|source| AgentError::Broken {
                    path: path.to_owned(),
                    source,
                })?;
                let Ok(data) = frame.into_data() else { continue };
                for line in lines.take(&data) {
                    let value = serde_json::from_slice(&line).map_err(unreadable(path))?;
                    each(value).map_err(AgentError::Print)?;
                }
            }
            Ok(())
        })
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, AgentError> {
        let answer = runtime()?.block_on(async {
            let answering = async {
                let response = self.request(method, path).await?;
                self.body(path, response).await
            };
            match timeout(TIMEOUT, answering).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(AgentError::Silent {
                    socket: self.socket.clone(),
                }),
            }
        })?;
        serde_json::from_slice(&answer).map_err(unreadable(path))
    }

    async fn request(&self, method: Method, path: &str) -> Result<Response<Incoming>, AgentError> {
        let broken = |source| AgentError::Broken {
            path: path.to_owned(),
            source,
        };
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the response's body, and is dropped with the runtime at the latest.
        tokio::spawn(connection);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("paths are built from constants and numbers");
        request
            .headers_mut()
            .insert(hyper::header::HOST, hyper::header::HeaderValue::from_static("weft"));
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(path, response).await?;
        Err(AgentError::Refused {
            path: path.to_owned(),
            status,
            message: String::from_utf8_lossy(&body).trim().to_owned(),
        })
    }

    async fn connect(&self) -> Result<UnixStream, AgentError> {
        let connected = UnixStream::connect(&self.socket).await;
        connected.map_err(|source| AgentError::Unreachable {
            socket: self.socket.clone(),
            source,
        })
    }

    async fn body(&self, path: &str, response: Response<Incoming>) -> Result<Bytes, AgentError> {
        let collected = response.into_body().collect().await;
        let collected = collected.map_err(|source| AgentError::Broken {
            path: path.to_owned(),
            source,
        })?;
        Ok(collected.to_bytes())
    }
}

/// Cuts a stream of chunks into lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

// === impl Lines ===

impl Lines {
    /// Takes a chunk and gives the lines that it completes, without empty ones.
    fn take(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(chunk);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let complete = std::mem::replace(&mut self.rest, rest);
        complete
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }
}

fn runtime() -> Result<Runtime, AgentError> {
    super::runtime().map_err(AgentError::Runtime)
}

fn unreadable(path: &str) -> impl Fn(serde_json::Error) -> AgentError {
    let path = path.to_owned();
    move |source| AgentError::Unreadable {
        path: path.clone(),
        source,
    }
}

/// How long an agent may take to answer; one that is stopped or stuck must not hang its operator's terminal.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
