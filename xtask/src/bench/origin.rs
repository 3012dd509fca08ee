//! The servers of a pod: the benchmark's own for bytes and HTTP/1.1, nghttpd for HTTP/2 and gRPC.

use std::{
    fs,
    net::{SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use harness::{Lab, Pod, wait};

use super::{
    layer::Layer,
    program::{Cpu, Program},
    release,
};

/// The servers of a pod; killed when dropped.
#[derive(Debug)]
pub(super) struct Origins {
    _servers: Vec<Program>,
}

// === impl Origins ===

impl Origins {
    /// Starts a server for each layer.
    pub(super) fn start(lab: &Lab, pod: &Pod) -> Result<Self> {
        let folder = lab.folder().join("pages");
        pages(&folder)?;
        let servers = Layer::ALL.iter().map(|layer| match layer {
            Layer::Bytes | Layer::Http1 => origin(pod, layer.port()),
            Layer::Http2 => nghttpd(pod, layer.port(), &folder),
        });
        Ok(Self {
            _servers: servers.collect::<Result<_>>()?,
        })
    }
}

fn origin(pod: &Pod, port: u16) -> Result<Program> {
    let mut command = Command::new(release("origin"));
    command.arg(SocketAddr::from(([0, 0, 0, 0], port)).to_string());
    let mut origin = Program::start(pod.netns(), Cpu::Load, command)?;
    origin.line()?;
    Ok(origin)
}

/// Serves files; the trailer makes a gRPC answer of each, which others do not look at.
fn nghttpd(pod: &Pod, port: u16, folder: &Path) -> Result<Program> {
    let mut command = Command::new("nghttpd");
    command
        .args(["--no-tls", "--trailer", "grpc-status: 0", "--htdocs"])
        .arg(folder)
        .arg(port.to_string());
    let server = Program::start(pod.netns(), Cpu::Load, command)?;
    let address = SocketAddrV4::new(pod.addresses().v4, port);
    wait::until(wait::PATIENCE, "nghttpd listens", || {
        pod.run(|| std::net::TcpStream::connect(address)).is_ok()
    });
    Ok(server)
}

/// What nghttpd serves: 1 KiB, and the same as a message of gRPC.
fn pages(folder: &Path) -> Result<()> {
    let method = folder.join(METHOD);
    let parent = method.parent().map_or_else(PathBuf::new, Path::to_owned);
    fs::create_dir_all(parent)?;
    fs::write(folder.join("index.html"), [b'x'; PAGE])?;
    fs::write(method, message(&[0; PAGE]))?;
    Ok(())
}

/// A message as gRPC frames it: not compressed, with its length before it.
pub(super) fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut message = vec![0];
    message.extend(length.to_be_bytes());
    message.extend(content);
    message
}

/// The path of the method that answers, without its slash.
pub(super) const METHOD: &str = "bench.Echo/Unary";

/// How long answers are, in bytes.
const PAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_before_it() {
        assert_eq!(message(b"abc"), b"\0\0\0\0\x03abc");
    }
}
