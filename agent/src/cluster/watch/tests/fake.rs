//! An API server of a few kinds that fails as it is told to: what a real one cannot be made to show.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use serde_json::{Value as Json, json};
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
};

use crate::cluster::api::ApiServer;

/// A server, which ends with it.
pub(in crate::cluster::watch) struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

/// What the next requests for a kind meet.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster::watch) enum Fault {
    /// Nothing bad.
    Nothing,
    /// A status instead of an answer.
    Status(u16),
    /// An answer of which nothing ever comes.
    Silence,
    /// A streaming list that ends after so many objects.
    Half(usize),
    /// The version asked for is too old, told by an event.
    GoneEvent,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By plural name; one that is not there is not installed.
    kinds: BTreeMap<String, Kind>,
    streams: bool,
    /// How many objects a page has at most.
    page: usize,
    requests: Vec<String>,
}

#[derive(Default)]
struct Kind {
    objects: BTreeMap<String, Json>,
    /// All events that were ever told, with their versions.
    log: Vec<(u64, String)>,
    watches: Vec<UnboundedSender<Piece>>,
    faults: VecDeque<Fault>,
}

/// A piece of an answer; an error breaks the connection.
type Piece = io::Result<Bytes>;

struct Pieces(UnboundedReceiver<Piece>);

// === impl Fake ===

impl Fake {
    /// Starts a server which knows these kinds, and serves lists as streams.
    pub(in crate::cluster::watch) async fn start(kinds: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            version: 100,
            kinds: kinds.iter().map(|kind| ((*kind).to_owned(), Kind::default())).collect(),
            streams: true,
            page: 2,
            requests: Vec::new(),
        }));
        let served = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let response = served.lock().unwrap().answer(&request);
                        async { Ok::<_, Infallible>(response) }
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    pub(in crate::cluster::watch) fn client(&self) -> ApiServer {
        let mut config = Config::new(format!("http://{}", self.address).parse().unwrap());
        config.default_retry = false;
        ApiServer {
            client: Client::try_from(config).unwrap(),
        }
    }

    /// Creates or changes an object, and tells of it.
    pub(in crate::cluster::watch) fn put(&self, plural: &str, object: Json) {
        let mut state = self.state.lock().unwrap();
        let object = state.versioned(object);
        let kind = state.kinds.get_mut(plural).unwrap();
        let known = kind.objects.insert(key(&object), object.clone());
        kind.tell(if known.is_some() { "MODIFIED" } else { "ADDED" }, &object);
    }

    /// Removes an object, and tells of it.
    pub(in crate::cluster::watch) fn delete(&self, plural: &str, name: &str) {
        let mut state = self.state.lock().unwrap();
        let object = state.kinds.get_mut(plural).unwrap().objects.remove(name).unwrap();
        let object = state.versioned(object);
        state.kinds.get_mut(plural).unwrap().tell("DELETED", &object);
    }

    /// Changes what is stored without a word to those who watch.
    pub(in crate::cluster::watch) fn change_unseen(
        &self,
        plural: &str,
        change: impl FnOnce(&mut BTreeMap<String, Json>),
    ) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        change(&mut state.kinds.get_mut(plural).unwrap().objects);
    }

    /// Installs a kind.
    pub(in crate::cluster::watch) fn install(&self, plural: &str) {
        self.state
            .lock()
            .unwrap()
            .kinds
            .insert(plural.to_owned(), Kind::default());
    }

    /// Lets the next requests for a kind fail.
    pub(in crate::cluster::watch) fn fail(&self, plural: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state.lock().unwrap();
        state.kinds.get_mut(plural).unwrap().faults.extend(faults);
    }

    /// Lets no further request for a kind fail.
    pub(in crate::cluster::watch) fn fail_no_more(&self, plural: &str) {
        self.state.lock().unwrap().kinds.get_mut(plural).unwrap().faults.clear();
    }

    /// Refuses streaming lists from now on.
    pub(in crate::cluster::watch) fn refuse_streams(&self) {
        self.state.lock().unwrap().streams = false;
    }

    /// Sends raw bytes to all who watch a kind.
    pub(in crate::cluster::watch) fn send(&self, plural: &str, text: &str) {
        let state = self.state.lock().unwrap();
        for watch in &state.kinds[plural].watches {
            let _ = watch.send(Ok(Bytes::from(text.to_owned())));
        }
    }

    /// Sends an event to all who watch a kind.
    pub(in crate::cluster::watch) fn send_event(&self, plural: &str, kind: &str, object: &Json) {
        self.send(plural, &format!("{}\n", json!({"type": kind, "object": object})));
    }

    /// Breaks the connections of all who watch a kind.
    pub(in crate::cluster::watch) fn break_off(&self, plural: &str) {
        let mut state = self.state.lock().unwrap();
        for watch in state.kinds.get_mut(plural).unwrap().watches.drain(..) {
            let _ = watch.send(Err(io::ErrorKind::ConnectionAborted.into()));
        }
    }

    /// The paths that were asked for since the last time.
    pub(in crate::cluster::watch) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

// === impl State ===

impl State {
    fn versioned(&mut self, mut object: Json) -> Json {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object
    }

    fn answer(&mut self, request: &Request<Incoming>) -> Response<Pieces> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        self.requests.push(request.uri().to_string());
        let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let plural = path.rsplit('/').next().unwrap_or_default();
        let version = self.version;
        let streams = self.streams;
        let page = self.page;
        let Some(kind) = self.kinds.get_mut(plural) else {
            return status(404);
        };
        let fault = kind.faults.pop_front();
        if let Some(Fault::Status(code)) = fault {
            return status(code);
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(Fault::Silence) = fault {
            // Held open by whoever holds the sender.
            kind.watches.push(sender);
            return Response::new(Pieces(receiver));
        }
        if query.get("watch") != Some(&"true") {
            let from: usize = query.get("continue").map_or(0, |from| from.parse().unwrap());
            let items: Vec<&Json> = kind.objects.values().skip(from).take(page).collect();
            let rest = from + items.len() < kind.objects.len();
            let next = rest.then(|| (from + items.len()).to_string());
            let list = json!({
                "metadata": {"resourceVersion": version.to_string(), "continue": next},
                "items": items,
            });
            let _ = sender.send(Ok(Bytes::from(list.to_string())));
            return Response::new(Pieces(receiver));
        }
        let say = |kind: &str, object: &Json| {
            let line = json!({"type": kind, "object": object});
            let _ = sender.send(Ok(Bytes::from(format!("{line}\n"))));
        };
        if let Some(Fault::GoneEvent) = fault {
            say("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old"}));
            return Response::new(Pieces(receiver));
        }
        if query.get("sendInitialEvents") == Some(&"true") {
            if !streams {
                return status(422);
            }
            let count = match fault {
                Some(Fault::Half(count)) => count,
                Some(Fault::Nothing | Fault::Status(_) | Fault::Silence | Fault::GoneEvent) | None => usize::MAX,
            };
            for object in kind.objects.values().take(count) {
                say("ADDED", object);
            }
            if count < usize::MAX {
                return Response::new(Pieces(receiver));
            }
            let end = json!({"k8s.io/initial-events-end": "true"});
            say(
                "BOOKMARK",
                &json!({"metadata": {"resourceVersion": version.to_string(), "annotations": end}}),
            );
        } else {
            let after: u64 = query["resourceVersion"].parse().unwrap();
            for (_, line) in kind.log.iter().filter(|(version, _)| *version > after) {
                let _ = sender.send(Ok(Bytes::from(line.clone())));
            }
        }
        kind.watches.push(sender);
        Response::new(Pieces(receiver))
    }
}

// === impl Kind ===

impl Kind {
    fn tell(&mut self, kind: &str, object: &Json) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        let version = object["metadata"]["resourceVersion"].as_str().unwrap();
        self.log.push((version.parse().unwrap(), line.clone()));
        self.watches
            .retain(|watch| watch.send(Ok(Bytes::from(line.clone()))).is_ok());
    }
}

// === impl Pieces ===

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map_ok(Frame::data)
    }
}

fn status(code: u16) -> Response<Pieces> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let text = json!({"kind": "Status", "code": code, "message": format!("fault {code}")});
    let _ = sender.send(Ok(Bytes::from(text.to_string())));
    let mut response = Response::new(Pieces(receiver));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn key(object: &Json) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}
