//! Copies of requests of HTTP/2, and of calls of gRPC, for mirrors.

use super::{
    super::ruled::{mirrored, mk_contents, mk_mirror, mk_rule},
    raw::*,
    *,
};
use crate::model::{Contents, PathMatch, RouteKind, route::sample::mk_match};

/// A world with an application, and another one that gets copies of all.
fn mirrors(test: &str, settings: Settings) -> Option<(World, Echo, Echo)> {
    let world = World::new(test, settings)?;
    let [echo, mirror] = [(); 2].map(|()| Echo::start(world.app("127.0.0.1:0")));
    copied(&world, &echo, &[mirror.address], |_| ());
    Some((world, echo, mirror))
}

fn copied(world: &World, echo: &Echo, mirrors: &[SocketAddr], change: impl FnOnce(&mut Contents)) {
    let mut rule = mk_rule(world);
    rule.filters.mirrors = vec![mk_mirror(1, 1)];
    let mut contents = mk_contents(world, AppProtocol::Http2, &[echo.address], mirrors, rule);
    change(&mut contents);
    world.mesh.send_replace(Arc::new(Mesh::new(contents)));
}

#[test]
fn a_mirror_gets_whole_requests_with_their_trailers_side_by_side() {
    let Some((world, echo, mirror)) = mirrors("h2 mirror", settings()) else {
        return;
    };
    block_on(async {
        let client = Client::open(world.call()).await;
        let asked = (0..20).map(|index| client.ask(post(&format!("/a{index}"), "text/plain", vec![b'x'; 20_000])));
        for answer in join_all(asked).await {
            assert_eq!(answer.unwrap().body.len(), 20_000);
        }
    });
    let mut raw = greeted(&world);
    let trailers = Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x05x-sum\x015");
    for frame in [headers(1, END_HEADERS), Frame::new(DATA, 0, 1, b"words"), trailers] {
        raw.write_all(&frame.bytes()).unwrap();
    }
    eventually(|| (mirrored(&world, "answered", "") == 21).then_some(()));
    let told = |echo: &Echo| {
        let mut bodies = echo.bodies.lock().unwrap().clone();
        bodies.sort_by_key(|(body, _)| body.len());
        bodies
    };
    assert_eq!(told(&mirror), told(&echo));
    let (body, trailers) = &told(&mirror)[0];
    assert_eq!(
        (&body[..], &trailers["x-sum"]),
        (&b"words"[..], &HeaderValue::from_static("5"))
    );
    let connections = [&echo, &mirror].map(|echo| echo.connections.load(SeqCst));
    assert_eq!(connections, [1, 1], "each has one, for all");
    drop(raw);
    world.calm();
    assert_eq!(requests(&world, 21).len(), 21, "of copies there are no records");
}

#[test]
fn a_call_of_grpc_is_copied_by_its_own_route_and_gets_its_own_answer_whatever_the_mirror_says() {
    let Some((world, echo, mirror)) = mirrors("grpc mirror", settings()) else {
        return;
    };
    let of_grpc = |contents: &mut Contents| {
        let mut route = (*contents.routes[0]).clone();
        route.id.kind = RouteKind::GrpcRoute;
        route.rules[0].matches = vec![mk_match(PathMatch::GrpcMethod("Add".into()))];
        contents.routes = vec![route.into()];
    };
    let call = |method: &str| {
        let mut call = post(&format!("/shop.Cart/{method}"), "application/grpc", "message");
        call.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        block_on(async { Client::open(world.call()).await.ask(call).await }).unwrap()
    };
    copied(&world, &echo, &[mirror.address], of_grpc);
    assert_eq!(call("Add").body, "message");
    eventually(|| (mirrored(&world, "answered", "") == 1).then_some(()));
    let head = &mirror.heads()[0];
    assert_eq!(head.uri.path(), "/shop.Cart/Add");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        assert_eq!(head.headers[name], value);
    }
    assert_eq!(call("Remove").headers["grpc-status"], "12", "no rule is for it");
    copied(&world, &echo, &[], of_grpc);
    assert_eq!(call("Add").body, "message");
    eventually(|| (mirrored(&world, "failed", "no_endpoint") == 1).then_some(()));
    assert_eq!(mirror.heads().len(), 1);
}

#[test]
fn calls_that_say_nothing_take_no_room_from_others() {
    let small = Settings {
        max_buffer_per_pod: 64 << 10,
        ..settings()
    };
    let Some((world, echo, mirror)) = mirrors("h2 mirror room", small) else {
        return;
    };
    let mut quiet = greeted(&world);
    for stream in [1, 3, 5, 7] {
        quiet.write_all(&headers(stream, END_HEADERS).bytes()).unwrap();
    }
    eventually(|| (echo.heads().len() == 4).then_some(()));
    let body = vec![b'x'; 20_000];
    let answer = block_on(async {
        Client::open(world.call())
            .await
            .ask(post("/", "text/plain", body))
            .await
    });
    assert_eq!(answer.unwrap().body.len(), 20_000);
    eventually(|| (mirrored(&world, "answered", "") == 1).then_some(()));
    assert_eq!(mirror.heads().len(), 1, "of the others not all has come");
}
