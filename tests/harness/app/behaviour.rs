//! What each [`App`] does with a connection.

use std::{convert::Infallible, future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Either, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::{Body, Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SERVER},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, protocol::Role},
};

use super::App;
use crate::Talk;

/// Serves one connection to its end.
pub(super) async fn serve(app: App, name: &str, peer: SocketAddr, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match app {
        App::Echo => echo(stream).await,
        App::Banner => {
            stream.write_all(format!("{name}\n").as_bytes()).await?;
            echo(stream).await
        }
        App::Who => {
            stream.write_all(format!("{name} {peer}\n").as_bytes()).await?;
            stream.shutdown().await
        }
        App::Sink => {
            let count = drain(&mut stream).await?;
            stream.write_all(format!("{count}\n").as_bytes()).await?;
            stream.shutdown().await
        }
        App::Source(length) => source(stream, length).await,
        App::EndFirst => {
            stream.shutdown().await?;
            match drain(&mut stream).await? {
                0 => reset(stream),
                _ => Ok(()),
            }
        }
        App::CloseFirst => {
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await
        }
        App::Reset => {
            stream.read_u8().await?;
            reset(stream)
        }
        App::Stall => future::pending().await,
        App::Http => http(stream, name, |_| vec![b'w'; 1024]).await,
        App::HttpMirror => http(stream, name, <[u8]>::to_vec).await,
        App::HttpWho => http(stream, name, |_| name.as_bytes().to_vec()).await,
        App::HttpHalf => {
            begin_response(&mut stream, "content-length: 8\r\n\r\nhalf").await?;
            // Whoever waits for the rest ends it.
            drain(&mut stream).await.map(drop)
        }
        App::HttpEcho => http_echo(stream, name).await,
        App::HttpFlood => {
            begin_response(&mut stream, "\r\n").await?;
            loop {
                stream.write_all(Talk::PATTERN).await?;
            }
        }
        App::WebSocket => web_socket(stream, name).await,
        App::Http2Mirror => http2(stream, name).await,
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

async fn source(mut stream: TcpStream, length: u64) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(Talk::PATTERN.len());
        stream.write_all(&Talk::PATTERN[..chunk]).await?;
        left -= chunk as u64;
    }
    stream.shutdown().await?;
    drain(&mut stream).await?;
    Ok(())
}

/// Reads a request's head, and answers so far.
async fn begin_response(stream: &mut TcpStream, rest: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let response = format!("HTTP/1.1 200 OK\r\n{rest}");
    stream.write_all(response.as_bytes()).await
}

/// Answers each request, by its head.
async fn http(mut stream: TcpStream, name: &str, body: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut request = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        while let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = request.drain(..end + 4).collect();
            let body = body(&head);
            let length = body.len();
            let told = format!("content-type: text/plain\r\ncontent-length: {length}\r\nserver: {name}\r\n");
            let mut answer = format!("HTTP/1.1 200 OK\r\n{told}\r\n").into_bytes();
            answer.extend_from_slice(&body);
            stream.write_all(&answer).await?;
        }
    }
}

async fn http_echo(stream: TcpStream, name: &str) -> io::Result<()> {
    let name: Arc<str> = name.into();
    let echoed = service_fn(move |request: Request<Incoming>| {
        let name = Arc::clone(&name);
        async move {
            let asked = format!("{} {} {:?}", request.method(), request.uri(), request.version());
            let response = Response::builder().header("x-asked", asked);
            // The library would send a body all the same, where it speaks HTTP/2.
            if request.method() == Method::HEAD {
                let response = response.header(CONTENT_LENGTH, name.len());
                return response.body(Either::Left(Full::default())).map_err(io::Error::other);
            }
            let (nothing, length) = (request.body().is_end_stream(), request.body().size_hint().exact());
            let body = request
                .into_body()
                .collect()
                .await
                .map_err(io::Error::other)?
                .to_bytes();
            let frame = || stream::iter([Ok::<_, Infallible>(Frame::data(body.clone()))]);
            let body = match (nothing, length) {
                (true, _) => Either::Left(Full::from(name.to_string())),
                (false, Some(_)) => Either::Left(Full::from(body)),
                (false, None) => Either::Right(StreamBody::new(frame())),
            };
            response.body(body).map_err(io::Error::other)
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let served = server.serve_connection(TokioIo::new(stream), echoed).await;
    served.map_err(io::Error::other)
}

/// A client that does not speak it, or ends without a word, is nobody's failure.
async fn web_socket(stream: TcpStream, name: &str) -> io::Result<()> {
    if let Ok(socket) = accept_async(stream).await {
        chat(socket, name).await;
    }
    Ok(())
}

/// Answers each text by it, with its own name before it.
async fn chat<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>, name: &str) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && socket.send(Message::text(format!("{name} {text}"))).await.is_err()
        {
            break;
        }
    }
}

/// Answers each request, by its head, and takes WebSockets (RFC 8441).
async fn http2(stream: TcpStream, name: &str) -> io::Result<()> {
    let name = HeaderValue::try_from(name).map_err(io::Error::other)?;
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut response = mirror(&request, &name);
        if request.method() == Method::CONNECT {
            *response.body_mut() = Full::default().boxed_unsync();
            let name = name.clone();
            tokio::spawn(async move {
                let Ok(stream) = hyper::upgrade::on(&mut request).await else {
                    return;
                };
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None);
                chat(socket.await, name.to_str().unwrap_or_default()).await;
            });
        }
        future::ready(Ok::<_, Infallible>(response))
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.enable_connect_protocol();
    let served = server.serve_connection(TokioIo::new(stream), service);
    served.await.map_err(io::Error::other)
}

fn mirror(request: &Request<Incoming>, name: &HeaderValue) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut told = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        told += &format!("{name}: {}\n", value.to_str().unwrap_or_default());
    }
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(told)).with_trailers(future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(SERVER, name.clone());
    if let Some(kind) = request.headers().get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

async fn drain(stream: &mut TcpStream) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(count),
            length => count += length as u64,
        }
    }
}

/// Closes with RST.
fn reset(stream: TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
