//! The client: one kept connection to a target of whatever protocol, and one question after the other.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::{http1, http2},
    header,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::grpc;

/// Whom to call, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    protocol: Protocol,
    authority: String,
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    H2,
    Grpc,
    Tcp,
    ServerFirst,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Which pod answered.
    pub(crate) pod: String,
    /// As whom it saw the caller.
    pub(crate) client: String,
    /// All of it.
    pub(crate) said: Value,
}

/// A caller with its connection.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    connection: Option<Connection>,
}

#[derive(Debug)]
enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
    Stream(BufReader<TcpStream>),
}

// === impl Target ===

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let protocol = match uri.scheme_str() {
            Some("http") => Protocol::Http,
            Some("h2") => Protocol::H2,
            Some("grpc") => Protocol::Grpc,
            Some("tcp") => Protocol::Tcp,
            Some("server-first") => Protocol::ServerFirst,
            _ => return Err("want http://, h2://, grpc://, tcp:// or server-first://".to_owned()),
        };
        let authority = uri.authority().ok_or("want a host")?;
        let authority = match (authority.port(), protocol) {
            (Some(_), _) => authority.to_string(),
            (None, Protocol::Http | Protocol::H2) => format!("{authority}:80"),
            (None, Protocol::Grpc | Protocol::Tcp | Protocol::ServerFirst) => return Err("want a port".to_owned()),
        };
        Ok(Self {
            protocol,
            authority,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            connection: None,
        }
    }

    /// Asks once, on the connection that there is, or a new one.
    pub(crate) async fn call(&mut self) -> anyhow::Result<Answer> {
        // A server may end a connection that is idle; that is no failure of the next call.
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = self.ask(&mut connection).await?;
        self.connection = Some(connection);
        Ok(answer)
    }

    /// Ends the connection; the next call makes another.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let authority = &self.target.authority;
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("cannot connect to {authority}"))?;
        stream.set_nodelay(true)?;
        Ok(match self.target.protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                Connection::Http(sender)
            }
            Protocol::H2 | Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                Connection::H2(sender)
            }
            Protocol::Tcp => Connection::Stream(BufReader::new(stream)),
            Protocol::ServerFirst => {
                let mut stream = BufReader::new(stream);
                read_line(&mut stream).await.context("no greeting")?;
                Connection::Stream(stream)
            }
        })
    }

    async fn ask(&self, connection: &mut Connection) -> anyhow::Result<Answer> {
        let response = match connection {
            Connection::Stream(stream) => {
                stream.write_all(b"hello\n").await?;
                return Answer::of_line(&read_line(stream).await?);
            }
            Connection::Http(sender) => {
                sender.ready().await?;
                sender.send_request(self.request()?).await?
            }
            Connection::H2(sender) => {
                sender.ready().await?;
                sender.send_request(self.request()?).await?
            }
        };
        match self.target.protocol {
            Protocol::Grpc => Answer::of_grpc(response).await,
            Protocol::Http | Protocol::H2 | Protocol::Tcp | Protocol::ServerFirst => Answer::of_http(response).await,
        }
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let Target {
            protocol,
            authority,
            path,
        } = &self.target;
        let request = match protocol {
            Protocol::Grpc => Request::post(format!("http://{authority}{}", grpc::CHECK))
                .header(header::CONTENT_TYPE, "application/grpc")
                .header(header::TE, "trailers")
                .body(Full::new(Bytes::from_static(grpc::QUESTION))),
            Protocol::H2 => Request::get(format!("http://{authority}{path}")).body(Full::default()),
            Protocol::Http | Protocol::Tcp | Protocol::ServerFirst => Request::get(path.as_str())
                .header(header::HOST, authority)
                .body(Full::default()),
        };
        Ok(request?)
    }
}

// === impl Connection ===

impl Connection {
    fn is_open(&self) -> bool {
        match self {
            Self::Http(sender) => !sender.is_closed(),
            Self::H2(sender) => !sender.is_closed(),
            Self::Stream(_) => true,
        }
    }
}

// === impl Answer ===

impl Answer {
    /// `POD CLIENT WORDS`.
    fn of_line(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next().filter(|word| !word.is_empty()).map(str::to_owned);
        let (Some(pod), Some(client)) = (word(), word()) else {
            bail!("not understood: {line:?}");
        };
        Ok(Self {
            pod,
            client,
            said: line.trim_end().into(),
        })
    }

    async fn of_http(response: Response<Incoming>) -> anyhow::Result<Self> {
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let said: Value =
            serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        if status != StatusCode::OK {
            bail!("{status}: {said}");
        }
        let text = |key| said[key].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            pod: text("pod"),
            client: text("client"),
            said,
        })
    }

    async fn of_grpc(response: Response<Incoming>) -> anyhow::Result<Self> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        // A call that fails at once has its outcome among the headers.
        let trailers = body.trailers().unwrap_or(&parts.headers);
        let status = trailers
            .get(grpc::STATUS)
            .map(|status| String::from_utf8_lossy(status.as_bytes()).into_owned());
        if parts.status != StatusCode::OK || status.as_deref() != Some("0") {
            bail!("{}, {} {status:?}", parts.status, grpc::STATUS);
        }
        let text = |key| {
            parts
                .headers
                .get(key)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Ok(Self {
            pod: text("pod").unwrap_or_default(),
            client: text("client").unwrap_or_default(),
            said: "SERVING".into(),
        })
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        bail!("the connection ended");
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_protocol_and_a_port() {
        let target: Target = "http://cart.shop/status/503".parse().unwrap();
        assert_eq!(
            (target.authority.as_str(), target.path.as_str()),
            ("cart.shop:80", "/status/503")
        );
        let target: Target = "server-first://[fd00::1]:5432".parse().unwrap();
        assert_eq!(
            (target.protocol, target.authority.as_str()),
            (Protocol::ServerFirst, "[fd00::1]:5432")
        );
        for wrong in ["cart", "ftp://cart", "tcp://cart", "https://cart"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
