//! Which upstream a request gets, on which connection, and what its client hears where there is none.

use super::*;

#[test]
fn a_refusal_says_why_to_the_client_and_in_the_record() {
    let Some(world) = World::new("http refused", settings()) else {
        return;
    };
    let nobody = world.app("127.0.0.1:0").local_addr().unwrap();
    serve(&world, &[nobody], Some(AppProtocol::Http1));
    let client = world.call();
    let (head, body) = ask(&client, GET);
    assert_eq!(status(&head), "503");
    assert_eq!(field(&head, "x-weft-reason"), Some("upstream_refused"));
    assert_eq!(body, "weft: upstream_refused\n");
    let (head, _) = ask(
        &client,
        "POST / HTTP/1.1\r\nHost: api\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status(&head), "200");
    assert_eq!(field(&head, "grpc-status"), Some("14"));
    assert_eq!(field(&head, "grpc-message"), Some("upstream_refused"));
    let record = request_record(&world);
    assert_eq!(
        (&record["reason"], &record["status"]),
        (&"upstream_refused".into(), &503.into())
    );
    serve(&world, &[], Some(AppProtocol::Http1));
    let (head, _) = ask(&client, GET);
    assert_eq!(
        field(&head, "x-weft-reason"),
        Some("no_endpoint"),
        "the mesh of this moment decides"
    );
}

#[test]
fn a_connection_that_the_application_has_closed_is_replaced_where_that_is_safe() {
    // The application closes each connection behind its response without saying so, when the next request comes.
    let asked = Arc::new(Mutex::new(0));
    let Some((world, app)) = world_of("http stale", Some(AppProtocol::Http1), move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        if *asked % 2 == 0 {
            String::new()
        } else {
            answer("hello")
        }
    }) else {
        return;
    };
    let client = world.call();
    for _ in 0..3 {
        let (head, _) = ask(&client, GET);
        assert_eq!(status(&head), "200", "{:?}", app.heads());
    }
    let (head, _) = ask(&client, "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(status(&head), "502", "a change is never asked for twice");
    assert_eq!(field(&head, "x-weft-reason"), Some("upstream_reset"));
}

#[test]
fn a_connection_that_is_authenticated_as_such_serves_one_client_only() {
    let Some((world, app)) = world_of("http pinned", Some(AppProtocol::Http1), |asked| {
        if field(&asked.head, "authorization").is_some() {
            answer("hello")
        } else {
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n".into()
        }
    }) else {
        return;
    };
    let client = world.call();
    assert_eq!(status(&ask(&client, GET).0), "401");
    let authorised = "GET / HTTP/1.1\r\nHost: api\r\nAuthorization: Negotiate abc\r\n\r\n";
    assert_eq!(status(&ask(&client, authorised).0), "200");
    assert_eq!(app.connections(), 1, "the client stays with its connection");
    assert_eq!(status(&ask(&world.call(), authorised).0), "200");
    assert_eq!(app.connections(), 2, "and nobody else gets it");
}

#[test]
fn each_request_goes_its_own_way() {
    let Some((world, first)) = world_of("http each", Some(AppProtocol::Http1), |_| answer("first")) else {
        return;
    };
    let second = App::start(world.app("127.0.0.1:0"), |_| answer("second"));
    let client = world.call();
    assert_eq!(ask(&client, GET).1, "first");
    serve(&world, &[second.address], Some(AppProtocol::Http1));
    assert_eq!(
        ask(&client, GET).1,
        "second",
        "the connection is the same, the endpoints are not"
    );
    assert_eq!((first.heads().len(), second.heads().len()), (1, 1));
}

#[test]
fn while_the_agent_drains_connections_end_with_their_next_response_and_not_before() {
    let Some((world, _app)) = world("http drain", Some(AppProtocol::Http1)) else {
        return;
    };
    let client = world.call();
    let (head, _) = ask(&client, GET);
    assert_eq!(field(&head, "connection"), None);
    thread::scope(|scope| {
        let draining = scope.spawn(|| block_on(world.proxy().drain(PATIENCE, PATIENCE)));
        // Its listeners are closed: it drains.
        eventually(|| {
            let refused = world.front.run(|| TcpStream::connect((API, world.out))).unwrap();
            refused.is_err().then_some(())
        });
        client.set_nonblocking(true).unwrap();
        let idle = (&client).read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(idle, Err(io::ErrorKind::WouldBlock), "it is not closed first");
        client.set_nonblocking(false).unwrap();
        let (head, body) = ask(&client, GET);
        assert_eq!((field(&head, "connection"), body.as_str()), (Some("close"), "hello"));
        assert_eq!(read_to_end(&client), (Vec::new(), None));
        draining.join().unwrap();
    });
}

#[test]
fn requests_from_elsewhere_pass_too_and_nobody_says_who_he_is() {
    let Some(world) = World::new("http inbound", settings()) else {
        return;
    };
    let app = App::start(world.app(&format!("127.0.0.1:{}", world.into)), |_| answer("hello"));
    let (head, _) = ask(
        &world.connect("127.0.0.1", world.into),
        "GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\n",
    );
    assert_eq!(status(&head), "200");
    assert_eq!(field(&app.heads()[0], "x-forwarded-client-cert"), None);
    let record = request_record(&world);
    assert_eq!(
        (&record["direction"], &record["destination_pod"]),
        (&"inbound".into(), &"default/web".into())
    );
}
