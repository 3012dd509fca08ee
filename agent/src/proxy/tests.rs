//! The whole proxy over real sockets. The pod's listeners are plain ones in a namespace `front`, and the pod's own
//! namespace is another, `back`: a connection to 127.0.0.5 in front is one whose original destination is 127.0.0.5, and
//! what the proxy dials is found in back.

mod bytes;
mod endpoints;
mod ends;
mod http;
mod limits;
mod routes;
mod ways;

use std::{
    future::Future,
    io::{self, Read as _, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

use super::{Closing, Door, Hold, Listeners, Pair, Proxy, SameNode, Settings};
use crate::{
    model::{
        Mesh, Pod, PodUid, Service,
        sample::{mk_endpoint, mk_mesh, mk_pod, mk_port, mk_service},
    },
    net::{NetNs, tests::namespace},
    telemetry::{AccessLog, AccessLogFormat, ConnectionMetrics, Exposition, LiveConnection, Phase, Telemetry},
    tls::Identities,
};

/// A proxy with the pod `web` captured.
struct World {
    proxy: Option<Proxy>,
    mesh: watch::Sender<Arc<Mesh>>,
    front: NetNs,
    back: NetNs,
    /// The port at which `web`'s connections come in.
    out: u16,
    /// The port at which connections to `web` come in.
    into: u16,
    log: Log,
    exposition: Exposition,
    /// Fails to upgrade when nothing of `web` is held any more.
    hold: std::sync::Weak<()>,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl World {
    /// None, and says so, where no namespaces can be made.
    fn new(test: &str, settings: Settings) -> Option<Self> {
        let (front, back) = (namespace(test)?, namespace(test)?);
        let log = Log::default();
        let access_log = AccessLog::start(AccessLogFormat::Json, Box::new(log.clone())).unwrap();
        let mut registry = Default::default();
        let telemetry = Telemetry::new(ConnectionMetrics::register(&mut registry), access_log);
        let mesh = watch::Sender::new(Arc::new(mk_mesh(vec![web()], Vec::new())));
        let proxy = Proxy::start(settings, mesh.subscribe(), Identities::none(), telemetry).unwrap();
        let held = Arc::new(());
        let mut world = Self {
            proxy: Some(proxy),
            mesh,
            front,
            back,
            out: 0,
            into: 0,
            log,
            exposition: Exposition::new(registry),
            hold: Arc::downgrade(&held),
        };
        (world.out, world.into) = world.capture(web(), Hold::new(held));
        Some(world)
    }

    /// Captures a pod and returns the ports at which its connections come in.
    fn capture(&self, pod: Pod, hold: Hold) -> (u16, u16) {
        let listener = || {
            let listener = self.front.run(|| TcpListener::bind("0.0.0.0:0")).unwrap().unwrap();
            listener.set_nonblocking(true).unwrap();
            (listener.local_addr().unwrap().port(), listener)
        };
        let ((out, outbound), (into, inbound)) = (listener(), listener());
        let pair = |listener| Pair {
            v4: Some(listener),
            v6: None,
        };
        self.proxy().open(Door {
            pod: Arc::new(pod),
            netns: self.back.clone(),
            listeners: Listeners {
                outbound: pair(outbound),
                inbound: pair(inbound),
            },
            hold,
        });
        (out, into)
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// An application in the pods' namespace.
    fn app(&self, address: &str) -> TcpListener {
        self.back.run(|| TcpListener::bind(address)).unwrap().unwrap()
    }

    /// Makes the service `default/api` at 127.96.0.1 of these endpoints.
    fn serve(&self, endpoints: &[SocketAddr]) {
        self.change(vec![web()], self.api(endpoints));
    }

    fn api(&self, endpoints: &[SocketAddr]) -> Service {
        let endpoints = endpoints.iter().map(|address| mk_endpoint(&address.to_string()));
        Service {
            ports: vec![mk_port(self.out, endpoints.collect())],
            ..mk_service("api", &["127.96.0.1"])
        }
    }

    fn change(&self, pods: Vec<Pod>, service: Service) {
        self.mesh.send_replace(Arc::new(mk_mesh(pods, vec![service])));
    }

    /// A connection that `web` opens to the service of [`Self::serve`].
    fn call(&self) -> TcpStream {
        self.dial(API)
    }

    /// A connection that `web` opens to this address.
    fn dial(&self, ip: &str) -> TcpStream {
        self.connect(ip, self.out)
    }

    fn connect(&self, ip: &str, port: u16) -> TcpStream {
        let stream = self.front.run(|| TcpStream::connect((ip, port))).unwrap().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection to the service, from both its ends, once the proxy knows that it is open.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let app = self.app("127.0.0.1:0");
        self.serve(&[app.local_addr().unwrap()]);
        let client = self.call();
        let (server, _) = app.accept().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let source = client.local_addr().unwrap();
        eventually(|| self.open().into_iter().find(|connection| connection.source == source));
        (client, server)
    }

    /// The connections whose upstream has answered.
    fn open(&self) -> Vec<LiveConnection> {
        let mut connections = block_on(self.proxy().connections());
        connections.retain(|connection| connection.phase == Phase::Open);
        connections
    }

    /// Waits until no connection is left.
    fn calm(&self) {
        eventually(|| block_on(self.proxy().connections()).is_empty().then_some(()));
    }

    /// Ends the proxy and returns the records.
    fn records(mut self) -> Vec<Value> {
        self.proxy = None;
        self.log.records()
    }

    /// Waits for the record of the next connection that ends.
    fn record(&self) -> Value {
        eventually(|| self.log.records().pop())
    }

    fn close(&self, closing: Closing) {
        self.proxy().close(&PodUid::new("uid-web"), closing);
    }
}

impl Log {
    fn records(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn web() -> Pod {
    mk_pod("web", "127.0.0.1")
}

fn settings() -> Settings {
    Settings {
        lanes: 2.try_into().unwrap(),
        connect_timeout: Duration::from_secs(2),
        // The pods of these tests have listeners that nothing leads a lease to.
        same_node: SameNode::Trusted,
        ..Settings::default()
    }
}

/// Runs what waits for the proxy's own answers.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

/// Asks again and again until there is something.
fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "it did not come in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How reading to the end ends: the bytes, and the error if it was not a FIN.
fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.kind()))
}

fn reset(stream: TcpStream) {
    crate::net::reset_on_close(&stream).unwrap();
}

const API: &str = "127.96.0.1";
const PATIENCE: Duration = Duration::from_secs(10);
const RESET: Option<io::ErrorKind> = Some(io::ErrorKind::ConnectionReset);
