//! What each [`App`] does with a connection.

use std::{future, io, net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

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
        App::Http => http(stream, |_| vec![b'w'; 1024]).await,
        App::HttpMirror => http(stream, <[u8]>::to_vec).await,
        App::HttpWho => http(stream, |_| name.as_bytes().to_vec()).await,
        App::WebSocket => web_socket(stream, name).await,
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

/// Answers each request, by its head.
async fn http(mut stream: TcpStream, body: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut request = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        while let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = request.drain(..end + 4).collect();
            let body = body(&head);
            let length = body.len();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n").into_bytes();
            answer.extend_from_slice(&body);
            stream.write_all(&answer).await?;
        }
    }
}

/// A client that does not speak it, or ends without a word, is nobody's failure.
async fn web_socket(stream: TcpStream, name: &str) -> io::Result<()> {
    let Ok(mut socket) = accept_async(stream).await else {
        return Ok(());
    };
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && socket.send(Message::text(format!("{name} {text}"))).await.is_err()
        {
            break;
        }
    }
    Ok(())
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
