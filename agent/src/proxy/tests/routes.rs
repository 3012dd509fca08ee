//! Where routes send connections.

use std::collections::BTreeMap;

use super::*;
use crate::{
    model::{
        Contents, ObjectName, Route, RouteKind, WeightedBackend, WrittenRule,
        route::sample::{mk_backend, mk_route, mk_written_rule},
        sample::{NODE, ZONE},
    },
    tls::sample::mk_hello,
};

/// The service of [`World::serve`] with one application of its own, and two services more, `one` and `two`.
struct Routed {
    world: World,
    apps: [TcpListener; 3],
}

impl Routed {
    fn new(test: &str) -> Option<Self> {
        let world = World::new(test, settings())?;
        let apps = [(); 3].map(|()| {
            let app = world.app("127.0.0.1:0");
            app.set_nonblocking(true).unwrap();
            app
        });
        Some(Self { world, apps })
    }

    fn route(&self, routes: Vec<Route>) {
        let address = |index: usize| self.apps[index].local_addr().unwrap();
        let other = |name: &str, ip: &str, index| Service {
            ports: vec![mk_port(9000, vec![mk_endpoint(&address(index).to_string())])],
            ..mk_service(name, &[ip])
        };
        let services = [
            self.world.api(&[address(0)]),
            other("one", "127.96.0.2", 1),
            other("two", "127.96.0.3", 2),
        ];
        self.world.mesh.send_replace(Arc::new(Mesh::new(Contents {
            generation: 1,
            node: NODE.into(),
            zone: Some(ZONE.into()),
            pods: vec![web().into()],
            services: services.map(Arc::new).into(),
            routes: routes.into_iter().map(Arc::new).collect(),
            ..Contents::default()
        })));
    }

    /// Who serves a client that says `words`; nobody where it is refused.
    fn served_by(&self, words: &[u8]) -> Option<usize> {
        let (client, server) = self.served(words);
        server.map(|(index, server)| {
            let mut heard = vec![0; words.len()];
            (&server).read_exact(&mut heard).unwrap();
            assert_eq!(heard, words, "untouched");
            drop(client);
            index
        })
    }

    fn served(&self, words: &[u8]) -> (TcpStream, Option<(usize, TcpStream)>) {
        let client = self.world.call();
        // One that is refused may have been reset before.
        let _ = (&client).write_all(words);
        client.set_nonblocking(true).unwrap();
        let server = eventually(|| {
            let accepted = self.apps.iter().map(TcpListener::accept);
            let mut accepted = accepted
                .enumerate()
                .filter_map(|(index, app)| Some((index, app.ok()?.0)));
            match accepted.next() {
                Some((index, server)) => {
                    server.set_nonblocking(false).unwrap();
                    server.set_read_timeout(Some(PATIENCE)).unwrap();
                    Some(Some((index, server)))
                }
                None => match (&client).read(&mut [0]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    Ok(0) | Err(_) => Some(None),
                    Ok(_) => panic!("nobody has said anything"),
                },
            }
        });
        client.set_nonblocking(false).unwrap();
        (client, server)
    }
}

/// A route of the kind for all ports of `api`.
fn mk_stream_route(kind: RouteKind, name: &str, backends: Vec<WeightedBackend>) -> Route {
    let mut route = mk_route(name);
    route.id.kind = kind;
    route.parents[0].service = ObjectName::new("default", "api");
    route.rules = vec![WrittenRule {
        backends,
        ..mk_written_rule("all", Vec::new())
    }];
    route
}

fn mk_tcp_route(name: &str, backends: Vec<WeightedBackend>) -> Route {
    mk_stream_route(RouteKind::TcpRoute, name, backends)
}

#[test]
fn connections_are_shared_by_weight_and_a_missing_backends_share_is_refused() {
    let Some(routed) = Routed::new("tcp weights") else {
        return;
    };
    routed.route(vec![mk_tcp_route(
        "route",
        vec![
            mk_backend("one", 9000, 1),
            mk_backend("two", 9000, 1),
            mk_backend("three", 9000, 2),
            mk_backend("api", routed.world.out, 0),
        ],
    )]);
    let mut shares: BTreeMap<Option<usize>, usize> = BTreeMap::new();
    for _ in 0..160 {
        // A request, too, is bytes here.
        *shares.entry(routed.served_by(b"GET / HTTP/1.1\r\n\r\n")).or_default() += 1;
    }
    let share = |who| shares.get(&who).copied().unwrap_or_default();
    // Six standard deviations.
    assert!((42..=118).contains(&share(None)), "{shares:?}");
    assert!(
        [1, 2].iter().all(|who| (8..=72).contains(&share(Some(*who)))),
        "{shares:?}"
    );
    assert_eq!(share(Some(0)), 0, "no weight");
    let refused = share(None);
    routed.world.calm();
    let records = routed.world.records();
    let told: Vec<_> = records.iter().filter(|record| !record["reason"].is_null()).collect();
    assert_eq!(told.len(), refused, "{told:?}");
    assert!(
        told.iter()
            .all(|record| record["reason"] == "backend_not_resolved" && record["service"] == "default/api"),
        "{told:?}"
    );
    let decided = |record: &Value| record["route"] == "TCPRoute default/route/all";
    assert!(records.iter().all(decided), "{records:?}");
    for record in &records {
        let expected = match record["reason"].is_null() {
            true => Value::from("same_node"),
            false => Value::Null,
        };
        assert_eq!(record["security"], expected, "nothing has passed where it was refused");
    }
}

#[test]
fn a_route_that_names_no_backend_with_a_weight_refuses_all_and_is_counted() {
    let Some(routed) = Routed::new("tcp nowhere") else {
        return;
    };
    for backends in [Vec::new(), vec![mk_backend("one", 9000, 0)]] {
        routed.route(vec![mk_tcp_route("route", backends)]);
        assert_eq!(routed.served_by(b"x"), None);
    }
    let without_rules = Route {
        rules: Vec::new(),
        ..mk_tcp_route("route", Vec::new())
    };
    routed.route(vec![without_rules]);
    assert_eq!(routed.served_by(b"x"), None);
    eventually(|| {
        let text = routed.world.exposition.text().unwrap();
        let counted = |reason: &str, count: usize| {
            text.lines()
                .any(|line| line.contains(&format!("reason=\"{reason}\"")) && line.ends_with(&format!(" {count}")))
        };
        (counted("backend_not_resolved", 2) && counted("no_route", 1)).then_some(())
    });
}

#[test]
fn a_change_of_a_route_is_for_new_connections_only() {
    let Some(routed) = Routed::new("tcp change") else {
        return;
    };
    routed.route(vec![mk_tcp_route("route", vec![mk_backend("one", 9000, 1)])]);
    let (client, Some((1, server))) = routed.served(b"x") else {
        panic!("the route decides");
    };
    for (routes, expected) in [
        (vec![mk_tcp_route("route", vec![mk_backend("two", 9000, 1)])], Some(2)),
        (vec![mk_tcp_route("route", Vec::new())], None),
        (Vec::new(), Some(0)),
    ] {
        routed.route(routes);
        assert_eq!(routed.served_by(b"x"), expected);
        (&client).write_all(b"y").unwrap();
        (&server).read_exact(&mut [0; 1]).unwrap();
    }
}

#[test]
fn routes_for_requests_go_first_and_one_of_anothers_namespace_is_no_word() {
    let Some(routed) = Routed::new("tcp conflict") else {
        return;
    };
    let tcp = mk_tcp_route("tcp", vec![mk_backend("one", 9000, 1)]);
    let http = mk_stream_route(RouteKind::HttpRoute, "http", vec![mk_backend("two", 9000, 1)]);
    routed.route(vec![tcp.clone(), http]);
    assert_eq!(routed.served_by(b"bytes"), Some(0));
    assert_eq!(routed.world.record()["route"], Value::Null);
    let mut consumers = tcp.clone();
    consumers.id.name = ObjectName::new("other", "tcp");
    routed.route(vec![consumers]);
    assert_eq!(routed.served_by(b"bytes"), Some(0));
    let mut elsewhere = tcp.clone();
    elsewhere.parents[0].port = Some(1);
    routed.route(vec![elsewhere]);
    assert_eq!(routed.served_by(b"bytes"), Some(0));
    let mut older = mk_tcp_route("younger-by-name", vec![mk_backend("two", 9000, 1)]);
    older.created = Some(1);
    older.parents[0].port = Some(routed.world.out);
    routed.route(vec![tcp, older]);
    assert_eq!(routed.served_by(b"bytes"), Some(2), "the oldest decides");
}

fn mk_tls_route(name: &str, servers: &[&str], backend: &str) -> Route {
    let backends = vec![mk_backend(backend, 9000, 1)];
    Route {
        server_names: servers.iter().map(|server| (*server).into()).collect(),
        ..mk_stream_route(RouteKind::TlsRoute, name, backends)
    }
}

#[test]
fn the_server_that_a_client_of_tls_names_decides_and_its_hello_passes_untouched() {
    let Some(routed) = Routed::new("tls names") else {
        return;
    };
    routed.route(vec![
        mk_tls_route("own", &["a.example"], "one"),
        mk_tls_route("below", &["*.example"], "two"),
        mk_tls_route("missing", &["*.b.example"], "three"),
        mk_tcp_route("bytes", vec![mk_backend("api", routed.world.out, 1)]),
    ]);
    for (server, expected) in [
        ("a.example", Some(1)),
        ("A.Example", Some(1)),
        ("b.example", Some(2)),
        ("x.c.example", Some(2)),
        ("x.b.example", None),
        ("example", None),
        ("a.example.org", None),
    ] {
        assert_eq!(routed.served_by(&mk_hello(server)), expected, "{server}");
    }
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\0\0", b"SSH-2.0-x\r\n"] {
        assert_eq!(routed.served_by(words), None, "{}", words.escape_ascii());
    }
    let reasons = |reason: &str| {
        let records = routed.world.log.records();
        records.iter().filter(|record| record["reason"] == reason).count()
    };
    eventually(|| (reasons("no_route") == 5 && reasons("backend_not_resolved") == 1).then_some(()));
    let by = |route: Value| {
        let records = routed.world.log.records();
        records.iter().filter(|record| record["route"] == route).count()
    };
    let names = ["own", "below", "missing"].map(|name| by(format!("TLSRoute default/{name}/all").into()));
    assert_eq!((names, by(Value::Null)), ([2, 2, 1], 5));
}

#[test]
fn a_hello_in_pieces_is_waited_for_and_one_that_ends_in_the_middle_is_refused() {
    let Some(routed) = Routed::new("tls pieces") else {
        return;
    };
    routed.route(vec![mk_tls_route("own", &["a.example"], "one")]);
    let hello = mk_hello("a.example");
    let client = routed.world.call();
    client.set_nodelay(true).unwrap();
    for piece in hello.chunks(hello.len() / 3) {
        (&client).write_all(piece).unwrap();
    }
    let server = eventually(|| routed.apps[1].accept().ok()).0;
    server.set_nonblocking(false).unwrap();
    let mut heard = vec![0; hello.len()];
    (&server).read_exact(&mut heard).unwrap();
    assert_eq!(heard, hello);

    let client = routed.world.call();
    (&client).write_all(&hello[..hello.len() / 2]).unwrap();
    assert_eq!(read_to_end(&client).0, b"");
    let silent = routed.world.call();
    silent.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&silent).0, b"");
    let refused = || {
        let records = routed.world.log.records();
        records.iter().filter(|record| record["reason"] == "no_route").count()
    };
    eventually(|| (refused() == 2).then_some(()));
}

#[test]
fn a_connection_of_requests_goes_on_when_server_names_begin_to_decide() {
    let Some(routed) = Routed::new("tls later") else {
        return;
    };
    let until = |mut stream: &TcpStream, end: &[u8]| {
        let mut heard = Vec::new();
        while !heard.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            heard.extend(byte);
        }
        Some(heard)
    };
    routed.route(Vec::new());
    let client = routed.world.call();
    (&client).write_all(GET).unwrap();
    // The first may be one that was dialled before it was clear that the client speaks HTTP.
    let server = eventually(|| {
        let (server, _) = routed.apps[0].accept().ok()?;
        server.set_nonblocking(false).unwrap();
        until(&server, b"\r\n\r\n").map(|_head| server)
    });
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.";
    (&server).write_all(answer).unwrap();
    until(&client, b"\r\n\r\n.").unwrap();
    routed.route(vec![mk_tls_route("own", &["a.example"], "one")]);
    (&client).write_all(GET).unwrap();
    until(&server, b"\r\n\r\n").unwrap();
    (&server).write_all(answer).unwrap();
    assert!(until(&client, b"\r\n\r\n.").unwrap().starts_with(b"HTTP/1.1 200"));
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: api\r\n\r\n";
