//! The loads that wrk does not make.
//!
//! `load bulk ADDRESS CONNECTIONS SECONDS` reads streams in large pieces and prints the bytes.
//! `load idle ADDRESS CONNECTIONS` makes one request on each connection, prints `open`, and holds them until its standard
//! input ends.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["bulk", address, connections, seconds] => {
            let duration = Duration::from_secs_f64(seconds.parse()?);
            let bytes = bulk(address, connections.parse()?, duration)?;
            writeln!(io::stdout(), "{bytes}")?;
        }
        ["idle", address, connections] => {
            let _held = idle(address, connections.parse()?)?;
            writeln!(io::stdout(), "open")?;
            io::stdin().read_to_end(&mut Vec::new())?;
        }
        _ => bail!("usage: load bulk ADDRESS CONNECTIONS SECONDS | load idle ADDRESS CONNECTIONS"),
    }
    Ok(())
}

fn bulk(address: &str, connections: usize, duration: Duration) -> Result<u64> {
    let end = Instant::now() + duration;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| read_until(address, end)))
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().expect("a reader does not panic"))
            .sum()
    })
}

fn read_until(address: &str, end: Instant) -> Result<u64> {
    let mut stream = request(address, "/bulk")?;
    let mut buffer = vec![0; 1024 * 1024];
    let mut bytes = 0;
    while Instant::now() < end {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            bail!("the stream ended after {bytes} bytes");
        }
        bytes += length as u64;
    }
    Ok(bytes)
}

fn idle(address: &str, connections: usize) -> Result<Vec<TcpStream>> {
    let open = |number| answered(address).with_context(|| format!("connection {number}"));
    (0..connections).map(open).collect()
}

/// A connection which has carried one request and its answer.
fn answered(address: &str) -> Result<TcpStream> {
    let mut stream = request(address, "/")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < 1024 || !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            bail!("closed before it answered");
        }
        answer.extend_from_slice(&piece[..length]);
    }
    Ok(stream)
}

fn request(address: &str, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: origin\r\n\r\n").as_bytes())?;
    Ok(stream)
}

const PATIENCE: Duration = Duration::from_secs(10);
