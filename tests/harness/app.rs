//! Applications: threads inside a pod that serve one port until they are dropped.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

use crate::Netns;

mod behaviour;

/// What an application does with each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Sends back what it gets; ends its half when the client has ended its own.
    Echo,
    /// Sends the pod's name and a line end first, then is [`App::Echo`].
    Banner,
    /// Sends the pod's name and the client's address in one line, and ends.
    Who,
    /// Reads to the end and then sends the number of bytes, in one line.
    Sink,
    /// Sends that many bytes of a pattern ([`crate::Talk::PATTERN`]) and ends its half; reads nothing before.
    Source(u64),
    /// Ends its half at once, reads to the end, and resets when it got nothing.
    EndFirst,
    /// Reads one byte, sends it back, and closes: it, not the client, keeps the tuple in TIME_WAIT.
    CloseFirst,
    /// Reads one byte and resets.
    Reset,
    /// Never reads.
    Stall,
    /// HTTP/1.1 with keep-alive: 1 KiB for each request.
    Http,
    /// HTTP/1.1 with keep-alive: each request's head is the body of its response; the header `server` is the pod's name.
    HttpMirror,
    /// HTTP/1.1 with keep-alive: the pod's name is the body of each response.
    HttpWho,
    /// HTTP/1.1: half of each response's body comes, and then nothing.
    HttpHalf,
    /// HTTP/1.1 and 2: the body of each request is that of its response, whose length is told where the request's was, or
    /// the pod's name where it has none; the header `x-asked` tells method, target and version.
    HttpEcho,
    /// HTTP/1.1: the body of a response comes without end.
    HttpFlood,
    /// A WebSocket (RFC 6455): each text is sent back behind the pod's name and a blank.
    WebSocket,
    /// HTTP/2: each request's target and headers are the body of its response, which is of its content type and ends with
    /// the trailer `grpc-status: 0`; its header `server` is the pod's name. A stream that asks for a WebSocket (RFC 8441)
    /// gets one as of [`App::WebSocket`].
    Http2Mirror,
}

/// A running application. Dropped, its sockets close.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The two addresses of a connection as the application sees them, v4 as v4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The client.
    pub peer: SocketAddr,
    /// The application.
    pub local: SocketAddr,
}

// === impl Server ===

impl Server {
    pub(crate) fn tcp(netns: &Netns, address: SocketAddr, name: &str, app: App) -> Self {
        let name: Arc<str> = name.into();
        Self::start(netns, address, Type::STREAM, move |socket, seen| async move {
            let listener = TcpListener::from_std(socket.into()).expect("a listener joins the runtime");
            loop {
                // Out of descriptors: the connection's peer sees it wait, which is what a test would report.
                let Ok((stream, peer)) = listener.accept().await else {
                    continue;
                };
                let Ok(local) = stream.local_addr() else { continue };
                let addresses = Seen {
                    peer: canonical(peer),
                    local: canonical(local),
                };
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(addresses);
                let name = Arc::clone(&name);
                spawn_local(async move {
                    // How a connection ends is the client's to check.
                    let _ = behaviour::serve(app, &name, addresses.peer, stream).await;
                });
            }
        })
    }

    pub(crate) fn udp(netns: &Netns, address: SocketAddr) -> Self {
        Self::start(netns, address, Type::DGRAM, |socket, seen| async move {
            let socket = UdpSocket::from_std(socket.into()).expect("a socket joins the runtime");
            let local = socket.local_addr().expect("a bound socket has an address");
            let mut buffer = vec![0; 64 * 1024];
            loop {
                // An ICMP error of an earlier answer is reported here and means nothing for the next.
                let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(Seen {
                    peer: canonical(peer),
                    local,
                });
                let _ = socket.send_to(&buffer[..length], peer).await;
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections accepted so far, in their order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The clients of the connections accepted so far.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.seen().into_iter().map(|seen| seen.peer).collect()
    }

    fn start<F>(
        netns: &Netns,
        address: SocketAddr,
        kind: Type,
        work: impl FnOnce(Socket, Arc<Mutex<Vec<Seen>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let socket = netns.run(|| bind(address, kind));
        let bound = socket
            .local_addr()
            .ok()
            .and_then(|bound| bound.as_socket())
            .expect("a bound socket has an address");
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime starts");
                LocalSet::new().block_on(&runtime, async {
                    ready.send(()).expect("start waits for it");
                    tokio::select! {
                        () = work(socket, seen) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        is_ready.recv().expect("an application starts");
        Self {
            address: canonical(bound),
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; this one may be unwinding itself.
            let _ = thread.join();
        }
    }
}

fn bind(address: SocketAddr, kind: Type) -> Socket {
    let protocol = if kind == Type::STREAM {
        Protocol::TCP
    } else {
        Protocol::UDP
    };
    let open = || {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        if kind == Type::STREAM {
            socket.listen(4096)?;
        }
        socket.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(socket)
    };
    open().unwrap_or_else(|error| panic!("no application at {address}: {error}"))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
