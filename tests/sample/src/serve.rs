//! `sample serve`: a listener for each port that is asked for, on all addresses of both families.

use std::{
    future::Future,
    io,
    net::{Ipv6Addr, SocketAddr},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use tokio::net::{TcpListener, TcpStream};

use crate::{grpc, http, me::Me, stopped, streams};

/// Serve until SIGTERM
///
/// Every answer tells the pod and the client's address.
#[derive(Args)]
pub(crate) struct Serve {
    /// HTTP/1.1 and HTTP/2 in plaintext: the request as JSON; /status/503, /delay/250ms, /bytes/1000, /ready
    #[arg(long, value_name = "PORT")]
    http: Vec<u16>,

    /// Waits for lines and sends each back
    #[arg(long, value_name = "PORT")]
    tcp: Vec<u16>,

    /// Speaks first, as databases do, then the same
    #[arg(long, value_name = "PORT")]
    server_first: Vec<u16>,

    /// The health service of gRPC
    #[arg(long, value_name = "PORT")]
    grpc: Vec<u16>,

    /// How long to serve after SIGTERM, with /ready answering 503
    #[arg(long, value_name = "TIME", default_value = "0s")]
    drain: humantime::Duration,
}

/// What all servers of the process share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) me: Me,
    ending: AtomicBool,
}

// === impl Serve ===

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let state = Arc::new(State {
            me: Me::from_environment(),
            ending: AtomicBool::new(false),
        });
        for port in self.http {
            listen(port, &state, http::serve).await?;
        }
        for port in self.tcp {
            listen(port, &state, streams::serve).await?;
        }
        for port in self.server_first {
            listen(port, &state, streams::serve_first).await?;
        }
        for port in self.grpc {
            listen(port, &state, grpc::serve).await?;
        }
        stopped().await?;
        state.ending.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.drain.into()).await;
        Ok(ExitCode::SUCCESS)
    }
}

// === impl State ===

impl State {
    /// Whether it has been told to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// Listens at a port, and gives each connection to `serve`.
async fn listen<F>(port: u16, state: &Arc<State>, serve: fn(Arc<State>, TcpStream, SocketAddr) -> F) -> io::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await?;
    let state = Arc::clone(state);
    tokio::spawn(async move {
        loop {
            let Ok((stream, client)) = listener.accept().await else {
                // Out of descriptors: those that are served free theirs.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            // Nagle would hold small answers back.
            let _ = stream.set_nodelay(true);
            let client = SocketAddr::new(client.ip().to_canonical(), client.port());
            // How a connection ends is the client's to see.
            tokio::spawn(serve(Arc::clone(&state), stream, client));
        }
    });
    Ok(())
}
