//! Asks servers in a namespace, and reads what they count in the text format of Prometheus.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
};

use anyhow::Result;
use harness::{Netns, wait};

/// The answer to a GET, from a server that closes behind it.
pub(super) fn get(netns: &Netns, address: SocketAddrV4, path: &str) -> Result<String> {
    let mut answer = String::new();
    ask(netns, address, path)?.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether a server answers at all, which may keep the connection.
pub(super) fn answers(netns: &Netns, address: SocketAddrV4) -> bool {
    let mut start = [0; 5];
    ask(netns, address, "/").is_ok_and(|mut stream| stream.read_exact(&mut start).is_ok())
}

fn ask(netns: &Netns, address: SocketAddrV4, path: &str) -> Result<TcpStream> {
    let mut stream = netns.run(|| TcpStream::connect(address))?;
    stream.set_read_timeout(Some(wait::PATIENCE))?;
    // In one piece, which the benchmark's own server insists on.
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// The sum over the series of a metric whose labels hold all of `labels`.
pub(super) fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .fold(0.0, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_added_by_their_labels() {
        let text = "a{x=\"1\"} 2\na{x=\"2\"} 3\nab{x=\"1\"} 5\na 7\n";
        assert_eq!(sum(text, "a", &[]), 12.0);
        assert_eq!(sum(text, "a", &["x=\"1\""]), 2.0);
        assert_eq!(sum(text, "b", &[]), 0.0);
    }
}
