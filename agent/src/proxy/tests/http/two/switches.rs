//! Other protocols on a stream of HTTP/2 (RFC 8441).

use ::http::Uri;
use hyper::{ext::Protocol, upgrade::Upgraded};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::*;

/// An application which takes websockets at `/chat` and refuses all else, if it `offers` to.
fn app(listener: TcpListener, offers: bool) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                if offers {
                    server.enable_connect_protocol();
                }
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(take)));
            }
        });
    });
    address
}

/// Says what was asked for, and then what it hears, until it has heard all.
async fn take(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let protocol = request.extensions().get::<Protocol>().map(|it| it.as_str().to_owned());
    let target = request.uri().to_string();
    let asked = (
        request.method() == Method::CONNECT,
        protocol.as_deref(),
        target.as_str(),
    );
    if asked != (true, Some("websocket"), "http://api/chat?room=1") {
        let mut refusal = Response::new(Full::from(format!("{asked:?}")));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        return Ok(refusal);
    }
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
        let mut heard = vec![0; 5];
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(&heard).await.unwrap();
        assert_eq!(stream.read(&mut heard).await.unwrap(), 0);
        stream.write_all(b"bye").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    Ok(Response::new(Full::default()))
}

fn connect(target: &'static str, protocol: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::from_static(target);
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

/// Talks until both sides have ended.
async fn talk(upgraded: Upgraded) -> Vec<u8> {
    let mut stream = TokioIo::new(upgraded);
    let mut heard = vec![0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    stream.write_all(b"\x81\x03raw").await.unwrap();
    stream.shutdown().await.unwrap();
    stream.read_to_end(&mut heard).await.unwrap();
    heard
}

#[test]
fn a_websocket_has_a_stream_among_others() {
    let Some(world) = World::new("h2 websocket", settings()) else {
        return;
    };
    let app = app(world.app("127.0.0.1:0"), true);
    serve(&world, &[app], Some(AppProtocol::Http2));
    block_on(async {
        let client = Client::open(world.call()).await;
        let mut sender = client.sender.clone();
        let chat = connect("http://api/chat?room=1", "websocket");
        let mut switched = timeout(PATIENCE, sender.send_request(chat)).await.unwrap().unwrap();
        assert_eq!(switched.status(), StatusCode::OK);
        for hop in ["connection", "upgrade"] {
            assert!(!switched.headers().contains_key(hop), "{switched:?}");
        }
        let upgraded = hyper::upgrade::on(&mut switched).await.unwrap();
        assert_eq!(client.ask(get("/other")).await.unwrap().status, StatusCode::FORBIDDEN);
        assert_eq!(timeout(PATIENCE, talk(upgraded)).await.unwrap(), b"hello\x81\x03rawbye");
    });
    let requests = requests(&world, 2);
    let chat = requests.iter().find(|request| request["path"] == "/chat").unwrap();
    assert_eq!(
        (&chat["status"], &chat["reason"]),
        (&101.into(), &Value::Null),
        "{chat}"
    );
    assert_eq!((&chat["bytes_sent"], &chat["bytes_received"]), (&5.into(), &13.into()));
}

#[test]
fn what_the_application_says_to_another_protocol_than_its_own_is_passed_on() {
    let Some(world) = World::new("h2 other protocol", settings()) else {
        return;
    };
    let app = app(world.app("127.0.0.1:0"), true);
    serve(&world, &[app], Some(AppProtocol::Http2));
    let refused = block_on(async {
        let client = Client::open(world.call()).await;
        timeout(PATIENCE, client.ask(connect("http://api/chat", "other"))).await
    });
    let refused = refused.unwrap().unwrap();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.body, r#"(true, Some("other"), "http://api/chat")"#);
}

#[test]
fn an_application_that_offers_no_other_protocol_is_not_asked_for_one() {
    let Some((world, echo)) = two("h2 no websocket", Some(AppProtocol::Http2)) else {
        return;
    };
    let (refused, served) = block_on(async {
        let client = Client::open(world.call()).await;
        let refused = timeout(PATIENCE, client.ask(connect("http://api/chat", "websocket"))).await;
        (refused.unwrap().unwrap(), client.ask(get("/")).await.unwrap())
    });
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    assert_eq!(refused.headers["x-weft-reason"], "upstream_protocol");
    assert_eq!(served.status, StatusCode::OK, "the connection goes on");
    assert_eq!(echo.heads().len(), 1);
}
