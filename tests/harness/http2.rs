//! A client of HTTP/2 with prior knowledge, and with it of gRPC.

use std::net::TcpStream;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// A connection, whose requests name a service called `web`.
#[derive(Debug)]
pub struct Http2 {
    runtime: Runtime,
    sender: http2::SendRequest<Full<Bytes>>,
}

/// A response of HTTP/2, whole.
#[derive(Debug)]
pub struct Http2Answer {
    /// The status.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
    /// The body, which is text.
    pub body: String,
    /// The trailers; empty where none came.
    pub trailers: HeaderMap,
}

// === impl Http2 ===

impl Http2 {
    /// Begins to speak it; none where the other end does not.
    pub fn open(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let sender = runtime.block_on(async {
            let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).ok()?);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.ok()?;
            tokio::spawn(connection);
            Some(sender)
        })?;
        Some(Self { runtime, sender })
    }

    /// Posts a few words of such a type, and reads the whole answer.
    pub fn post(&self, path: &str, content_type: &str, headers: &[(&str, &str)]) -> Option<Http2Answer> {
        let request = Request::post(format!("http://web{path}")).header("content-type", content_type);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(Full::from("words"))
            .ok()?;
        let mut sender = self.sender.clone();
        self.runtime.block_on(async {
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?;
            Some(Http2Answer {
                status: head.status,
                headers: head.headers,
                trailers: body.trailers().cloned().unwrap_or_default(),
                body: String::from_utf8(body.to_bytes().into()).ok()?,
            })
        })
    }

    /// Opens a WebSocket on a stream of it (RFC 8441), says the texts one by one and hears an answer to each, and closes it.
    pub fn chat(&self, texts: &[&str]) -> Option<Vec<String>> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from_static("http://web/chat");
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let mut sender = self.sender.clone();
        self.runtime.block_on(async {
            let response = sender.send_request(request).await.ok()?;
            let stream = TokioIo::new(hyper::upgrade::on(response).await.ok()?);
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
            let mut heard = Vec::new();
            for text in texts {
                socket.send(Message::text(*text)).await.ok()?;
                heard.push(socket.next().await?.ok()?.into_text().ok()?.to_string());
            }
            socket.close(None).await.ok()?;
            // The other's word of the end.
            while socket.next().await.transpose().ok()?.is_some() {}
            Some(heard)
        })
    }

    /// A call of gRPC.
    pub fn call(&self, method: &str) -> Option<Http2Answer> {
        self.post(method, "application/grpc", &[])
    }
}

// === impl Http2Answer ===

impl Http2Answer {
    /// A call's status, which is among the trailers, or in the header where nothing else came.
    pub fn grpc_status(&self) -> Option<&str> {
        let status = self
            .trailers
            .get("grpc-status")
            .or_else(|| self.headers.get("grpc-status"));
        status.and_then(|status| status.to_str().ok())
    }
}
