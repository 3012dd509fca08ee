//! Bodies, expectations, and what comes after HTTP.

use super::*;

#[test]
fn bodies_and_trailers_pass_both_ways_and_a_response_to_head_has_none() {
    let Some((world, app)) = world_of("http bodies", Some(AppProtocol::Http1), |asked| {
        if asked.head.starts_with("HEAD") {
            return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into();
        }
        let body = String::from_utf8_lossy(&asked.body);
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n{:x}\r\n{body}\r\n0\r\nSum: 7\r\n\r\n",
            body.len()
        )
    }) else {
        return;
    };
    let mut client = world.call();
    let chunked = "POST / HTTP/1.1\r\nHost: api\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    client.write_all(chunked.as_bytes()).unwrap();
    let mut got = String::new();
    let mut reader = BufReader::with_capacity(1, &client);
    while !got.ends_with("\r\n\r\n") || !got.contains("\r\n0\r\n") {
        assert_ne!(reader.read_line(&mut got).unwrap(), 0, "{got}");
    }
    assert!(got.ends_with("5\r\nabcde\r\n0\r\nsum: 7\r\n\r\n"), "{got:?}");
    client.write_all(b"HEAD / HTTP/1.1\r\nHost: api\r\n\r\n").unwrap();
    let mut head = String::new();
    let mut reader = BufReader::with_capacity(1, &client);
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    assert_eq!(field(&head, "content-length"), Some("5"));
    assert_eq!(app.connections(), 1);
}

#[test]
fn a_body_waits_for_the_applications_word_where_its_client_does() {
    let Some(world) = World::new("http expect", settings()) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    serve(&world, &[app.local_addr().unwrap()], Some(AppProtocol::Http1));
    let mut client = world.call();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: api\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    let (server, _) = app.accept().unwrap();
    let mut server = BufReader::new(server);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        server.read_line(&mut head).unwrap();
    }
    assert_eq!(field(&head, "expect"), Some("100-continue"));
    server.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    let mut word = [0; 25];
    client.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").unwrap();
    let mut body = [0; 4];
    server.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"body");
    server.get_mut().write_all(answer("done").as_bytes()).unwrap();
    assert_eq!(read_response(&client).1, "done");
}

#[test]
fn other_words_before_a_response_do_not_pass_but_are_counted_and_offers_of_http_3_go() {
    let Some((world, _app)) = world_of("http hints", Some(AppProtocol::Http1), |_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
        format!("{hints}HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"\r\nContent-Length: 2\r\n\r\nok")
    }) else {
        return;
    };
    let (head, body) = ask(&world.call(), GET);
    assert_eq!((status(&head), body.as_str()), ("200", "ok"));
    assert_eq!(field(&head, "alt-svc"), None);
    let metrics = world.exposition.text().unwrap();
    assert!(
        metrics.contains("weft_informational_responses_dropped_total 2\n"),
        "{metrics}"
    );
}

#[test]
fn after_a_switch_of_protocols_bytes_pass_as_they_are() {
    let Some(world) = World::new("http upgrade", settings()) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    serve(&world, &[app.local_addr().unwrap()], Some(AppProtocol::Http1));
    let mut client = world.call();
    client
        .write_all(b"GET /ws HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let (server, _) = app.accept().unwrap();
    let mut server = BufReader::new(server);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        server.read_line(&mut head).unwrap();
    }
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    server
        .get_mut()
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        .unwrap();
    let (head, _) = read_response(&client);
    assert_eq!(status(&head), "101");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    let mut first = [0; 5];
    client.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    client.write_all(b"\x81\x00raw").unwrap();
    let mut raw = [0; 5];
    server.read_exact(&mut raw).unwrap();
    assert_eq!(&raw, b"\x81\x00raw");
    drop(client);
    assert_eq!(read_to_end(server.get_ref()), (Vec::new(), None));
    drop(server);
    let record = request_record(&world);
    assert_eq!((&record["status"], &record["reason"]), (&101.into(), &Value::Null));
    assert_eq!(
        (&record["bytes_sent"], &record["bytes_received"]),
        (&5.into(), &5.into())
    );
}
