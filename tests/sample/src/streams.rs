//! Servers of lines: one waits for its client, the other speaks first.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::serve::State;

/// Sends each line back behind who answers and whom.
pub(crate) async fn serve(state: Arc<State>, stream: TcpStream, client: SocketAddr) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = format!("{} {client} {line}", state.me.pod);
        stream.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(stream.shutdown().await?)
}

/// Greets before the client has said anything.
pub(crate) async fn serve_first(state: Arc<State>, mut stream: TcpStream, client: SocketAddr) -> anyhow::Result<()> {
    let greeting = format!("{} {client} hello\n", state.me.pod);
    stream.write_all(greeting.as_bytes()).await?;
    serve(state, stream, client).await
}
