//! The client against an agent that gives one answer.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    thread,
};

use super::*;

#[test]
fn lines_are_cut_wherever_the_chunks_end() {
    let mut lines = Lines::default();
    assert!(lines.take(b"{\"a\"").is_empty());
    assert_eq!(lines.take(b":1}\n\n{}\n{"), [b"{\"a\":1}".to_vec(), b"{}".to_vec()]);
    assert_eq!(lines.take(b"}\n"), [b"{}".to_vec()]);
}

#[test]
fn a_value_is_asked_for_over_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let agent = mk_agent(folder.path(), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[1,2]");
    assert_eq!(agent.get::<Vec<u32>>("/connections").unwrap(), [1, 2]);
}

#[test]
fn a_refusal_is_told_with_the_agents_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let agent = mk_agent(
        folder.path(),
        "HTTP/1.1 404 Not Found\r\ncontent-length: 18\r\n\r\nno such connection",
    );
    let error = agent.post::<serde_json::Value>("/connections/7/kill").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the agent answered 404 Not Found to /connections/7/kill: no such connection"
    );
}

#[test]
fn an_endless_answer_is_followed_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let agent = mk_agent(
        folder.path(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n1\n2\r\n2\r\n3\n\r\n0\r\n\r\n",
    );
    let mut seen = Vec::new();
    agent
        .follow("/drops", |number: u32| {
            seen.push(number);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [1, 23]);
}

#[test]
fn a_socket_where_nobody_listens_is_a_dead_agent() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new(folder.path().join("weft.sock"));
    assert!(!agent.lives().unwrap());
    assert!(matches!(
        agent.get::<Vec<u32>>("/connections"),
        Err(AgentError::Unreachable { .. })
    ));
}

/// An agent that gives one answer to whatever it is asked first.
fn mk_agent(folder: &Path, answer: &'static str) -> Agent {
    let socket = folder.join("weft.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    Agent::new(socket)
}
