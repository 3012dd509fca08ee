//! HTTP/2 through the proxy, between a client and an application of the library's.

mod bounds;
mod mirrors;
mod raw;
mod spec;
mod stalls;
mod switches;

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use ::bytes::Bytes;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{sync::Notify, task::JoinHandle};

use super::*;

/// An application that echoes bodies, with trailers, and remembers the heads that it got. What is asked for `/wait`
/// waits for the gate, and so do the trailers of `/stream`; `/speak` has words of its own.
struct Echo {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<Parts>>>,
    /// What came after each head, once it was whole.
    bodies: Arc<Mutex<Vec<(Bytes, HeaderMap)>>>,
    connections: Arc<AtomicUsize>,
    gate: Arc<Notify>,
}

/// A client's connection.
struct Client {
    sender: http2::SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

// === impl Echo ===

impl Echo {
    fn start(listener: TcpListener) -> Self {
        let echo = Self {
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
            bodies: Arc::default(),
            connections: Arc::default(),
            gate: Arc::default(),
        };
        listener.set_nonblocking(true).unwrap();
        let (heads, connections, gate) = (echo.heads.clone(), echo.connections.clone(), echo.gate.clone());
        let bodies = echo.bodies.clone();
        thread::spawn(move || {
            block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, SeqCst);
                    let (heads, bodies, gate) = (heads.clone(), bodies.clone(), gate.clone());
                    let service =
                        service_fn(move |request| echo_request(request, heads.clone(), bodies.clone(), gate.clone()));
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
                }
            });
        });
        echo
    }

    fn heads(&self) -> Vec<Parts> {
        self.heads.lock().unwrap().clone()
    }
}

async fn echo_request(
    request: Request<Incoming>,
    heads: Arc<Mutex<Vec<Parts>>>,
    bodies: Arc<Mutex<Vec<(Bytes, HeaderMap)>>>,
    gate: Arc<Notify>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let waits = head.uri.path() == "/wait";
    let streams = head.uri.path() == "/stream";
    let speaks = head.uri.path() == "/speak" && head.method != Method::HEAD;
    heads.lock().unwrap().push(head);
    if waits {
        gate.notified().await;
    }
    let asked = body.collect().await?;
    let trailers = asked.trailers().cloned().unwrap_or_default();
    let asked = asked.to_bytes();
    bodies.lock().unwrap().push((asked.clone(), trailers));
    let body = if speaks {
        Bytes::from_static(b"some words")
    } else {
        asked
    };
    let trailers = HeaderMap::from_iter([(END, HeaderValue::from_static("whole"))]);
    let body = Full::new(body).with_trailers(async move {
        if streams {
            gate.notified().await;
        }
        Some(Ok(trailers))
    });
    Ok(Response::new(body.boxed_unsync()))
}

// === impl Client ===

impl Client {
    async fn open(stream: TcpStream) -> Self {
        Self::with_window(2 << 20, stream).await
    }

    /// One that lets so many bytes of a response come before it reads them.
    async fn with_window(window: u32, stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        Self {
            sender,
            connection: tokio::spawn(connection),
        }
    }

    fn ask(&self, request: Request<Full<Bytes>>) -> impl Future<Output = hyper::Result<Answer>> + use<> {
        let mut sender = self.sender.clone();
        async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                trailers: body.trailers().cloned().unwrap_or_default(),
                body: body.to_bytes(),
            })
        }
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://api{path}")).body(Full::default()).unwrap()
}

fn post(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://api{path}")).header("content-type", content_type);
    request.body(Full::new(body.into())).unwrap()
}

/// A world with an application, at a service whose port is declared as `app_protocol`.
fn two(test: &str, app_protocol: Option<AppProtocol>) -> Option<(World, Echo)> {
    let world = World::new(test, settings())?;
    let echo = Echo::start(world.app("127.0.0.1:0"));
    serve(&world, &[echo.address], app_protocol);
    Some((world, echo))
}

fn requests(world: &World, count: usize) -> Vec<Value> {
    let mut requests = Vec::new();
    eventually(|| {
        requests = world.log.records();
        requests.retain(|record| record["method"].is_string());
        (requests.len() >= count).then_some(())
    });
    requests
}

#[test]
fn requests_go_side_by_side_on_one_connection_and_are_told_one_by_one() {
    let Some((world, echo)) = two("h2", Some(AppProtocol::Http2)) else {
        return;
    };
    block_on(async {
        let client = Client::open(world.call()).await;
        let asked =
            (0..20).map(|index| client.ask(post(&format!("/a{index}?secret"), "text/plain", vec![b'x'; 200_000])));
        for answer in join_all(asked).await {
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 200_000));
            assert_eq!(answer.trailers[END], "whole");
        }
    });
    assert_eq!(echo.connections.load(SeqCst), 1);
    let requests = requests(&world, 20);
    assert_eq!(requests.len(), 20);
    let request = requests.iter().find(|request| request["path"] == "/a7").unwrap();
    for (key, value) in [("protocol", "HTTP/2"), ("authority", "api"), ("service", "default/api")] {
        assert_eq!(request[key], value, "{request}");
    }
    assert_eq!((&request["status"], &request["reason"]), (&200.into(), &Value::Null));
    assert_eq!(request["bytes_sent"], 200_000);
    assert_eq!(request["bytes_received"], 200_000);
}

#[test]
fn http_2_is_found_where_nothing_is_declared_and_the_application_sees_whom_it_was_asked_for() {
    let Some((world, echo)) = two("h2 found", None) else {
        return;
    };
    let mut asked = get("/");
    for (name, value) in [
        ("weft-stream", "forged"),
        ("x-forwarded-client-cert", "URI=spiffe://forged"),
        ("te", "trailers"),
    ] {
        asked.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = block_on(async { Client::open(world.call()).await.ask(asked).await }).unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let head = &echo.heads()[0];
    assert_eq!(head.uri.to_string(), "http://api/");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["x-request-id"].len(), 36);
    assert!(
        !head.headers["x-forwarded-client-cert"]
            .to_str()
            .unwrap()
            .contains("forged")
    );
    for gone in ["weft-stream", "host"] {
        assert!(!head.headers.contains_key(gone), "{head:?}");
    }
}

#[test]
fn a_refusal_is_told_in_http_or_in_grpc_as_it_was_asked() {
    let Some(world) = World::new("h2 refused", settings()) else {
        return;
    };
    serve(&world, &[], Some(AppProtocol::Grpc));
    let [plain, head, grpc] = block_on(async {
        let client = Client::open(world.call()).await;
        let plain = client.ask(get("/")).await.unwrap();
        let head = client.ask(Request::head("http://api/").body(Full::default()).unwrap());
        let grpc = client.ask(post("/shop.Cart/Add", "application/grpc+proto", "x"));
        [plain, head.await.unwrap(), grpc.await.unwrap()]
    });
    assert_eq!(plain.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(plain.headers["x-weft-reason"], "no_endpoint");
    assert_eq!(plain.body, "weft: no_endpoint\n");
    assert_eq!((head.status, head.body.len()), (StatusCode::SERVICE_UNAVAILABLE, 0));
    assert_eq!(head.headers["x-weft-reason"], "no_endpoint");
    assert_eq!(head.headers["content-length"], plain.body.len().to_string());
    assert_eq!((grpc.status, grpc.body.len()), (StatusCode::OK, 0));
    assert_eq!(grpc.headers["content-type"], "application/grpc");
    assert_eq!(grpc.headers["grpc-status"], "14");
    assert_eq!(grpc.headers["grpc-message"], "no_endpoint");
    assert!(
        requests(&world, 3)
            .iter()
            .all(|request| request["reason"] == "no_endpoint")
    );
}

#[test]
fn malformed_requests_are_refused_and_never_reach_the_application() {
    let Some((world, echo)) = two("h2 malformed", Some(AppProtocol::Http2)) else {
        return;
    };
    let other_host = {
        let mut request = get("/");
        request.headers_mut().insert("host", HeaderValue::from_static("other"));
        request
    };
    let tunnel = Request::connect("api:80").body(Full::default()).unwrap();
    block_on(async {
        let client = Client::open(world.call()).await;
        for (request, status) in [
            (other_host, StatusCode::BAD_REQUEST),
            (tunnel, StatusCode::METHOD_NOT_ALLOWED),
        ] {
            assert_eq!(client.ask(request).await.unwrap().status, status);
        }
        assert_eq!(
            client.ask(get("/good")).await.unwrap().status,
            StatusCode::OK,
            "the connection goes on"
        );
    });
    assert_eq!(echo.heads().len(), 1);
    let requests = requests(&world, 3);
    assert_eq!(requests[0]["reason"], "bad_request");
}

#[test]
fn a_request_that_is_cut_ends_alone() {
    let Some((world, echo)) = two("h2 cut", Some(AppProtocol::Http2)) else {
        return;
    };
    let runtime = runtime();
    let client = runtime.block_on(Client::open(world.call()));
    let cut = thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(client.ask(get("/wait"))));
        eventually(|| (!echo.heads().is_empty()).then_some(()));
        let request = eventually(|| {
            let connections = block_on(world.proxy().connections());
            connections.into_iter().find(|connection| connection.request.is_some())
        });
        assert!(block_on(world.proxy().kill(request.id)));
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(cut.headers["x-weft-reason"], "killed");
    let answer = runtime.block_on(client.ask(get("/"))).unwrap();
    assert_eq!(answer.status, StatusCode::OK, "its connection goes on");
    assert_eq!(echo.connections.load(SeqCst), 1, "and that of the application, too");
}

#[test]
fn a_pod_that_leaves_has_its_requests_served_and_its_client_sent_away() {
    let Some((world, echo)) = two("h2 goaway", Some(AppProtocol::Http2)) else {
        return;
    };
    let runtime = runtime();
    let client = runtime.block_on(Client::open(world.call()));
    let served = thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(client.ask(get("/wait"))));
        eventually(|| (!echo.heads().is_empty()).then_some(()));
        world.close(Closing::Leave);
        echo.gate.notify_one();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(served.status, StatusCode::OK);
    let ended = runtime.block_on(client.connection).unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap()
}

const END: HeaderName = HeaderName::from_static("x-end");
