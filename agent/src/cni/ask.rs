//! The plugin's end of the socket: blocking, bounded in time whatever the agent does.

use std::{
    io::{self, ErrorKind, Read as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    SOCKET,
    patience::Patience,
    wire::{self, LONGEST, Reply, Request},
};
use crate::net::{NetNs, send_with};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Away {
    /// Nobody answers at the socket.
    #[error("the agent is away")]
    NotThere(#[source] io::Error),
    /// Somebody does, and says nothing.
    #[error("the agent does not answer")]
    Silent,
    /// What it says is not understood.
    #[error("the agent's answer is not understood")]
    NotUnderstood(#[source] serde_json::Error),
}

/// Asks until there is an answer or patience ends.
pub(super) fn ask(run_dir: &Path, request: &Request, netns: Option<&NetNs>, patience: Patience) -> Result<Reply, Away> {
    let line = wire::line(request).map_err(Away::NotUnderstood)?;
    let given_up = Instant::now() + patience.away;
    loop {
        match ask_once(&run_dir.join(SOCKET), &line, netns, patience.answer) {
            // An agent that ends in between closes the connection: the next one is asked anew.
            Err(Away::NotThere(_)) if Instant::now() + PAUSE < given_up => thread::sleep(PAUSE),
            answered => return answered,
        }
    }
}

fn ask_once(socket: &Path, line: &[u8], netns: Option<&NetNs>, patience: Duration) -> Result<Reply, Away> {
    let deadline = Instant::now() + patience;
    let stream = connect(socket, patience)?;
    send(&stream, line, netns)?;
    let answer = receive(stream, deadline)?;
    serde_json::from_slice(&answer).map_err(Away::NotUnderstood)
}

/// A full backlog makes even connect() wait, for no longer than sending may take (`unix_stream_connect`, 6.18).
fn connect(path: &Path, patience: Duration) -> Result<UnixStream, Away> {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_write_timeout(Some(patience))?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
    };
    connect().map_err(Away::of)
}

fn send(stream: &UnixStream, line: &[u8], netns: Option<&NetNs>) -> Result<(), Away> {
    let mut descriptor = netns.map(|netns| netns.as_fd());
    let mut rest = line;
    while !rest.is_empty() {
        let sent = send_with(stream, rest, descriptor.take()).map_err(Away::of)?;
        rest = &rest[sent..];
    }
    Ok(())
}

fn receive(mut stream: UnixStream, deadline: Instant) -> Result<Vec<u8>, Away> {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.ends_with(b"\n") && answer.len() < LONGEST {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Away::Silent);
        }
        stream.set_read_timeout(Some(left)).map_err(Away::of)?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(Away::NotThere(ErrorKind::UnexpectedEof.into())),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Away::of(error)),
        }
    }
    Ok(answer)
}

// === impl Away ===

impl Away {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent,
            _ => Self::NotThere(error),
        }
    }
}

/// How often an agent that is away is looked for.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixListener};

    use tempfile::TempDir;

    use super::*;

    const SOON: Patience = Patience {
        away: Duration::ZERO,
        answer: Duration::from_millis(100),
    };

    fn mk_request() -> Request {
        Request::Del {
            container: "c1".to_owned(),
        }
    }

    fn answered(with: &'static [u8], patience: Patience) -> Result<Reply, Away> {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 4096];
            let length = stream.read(&mut question).unwrap();
            assert_eq!(&question[..length], b"{\"verb\":\"del\",\"container\":\"c1\"}\n");
            // The client may have given up.
            let _ = stream.write_all(with);
            let _ = stream.read(&mut question);
        });
        ask(folder.path(), &mk_request(), None, patience)
    }

    #[test]
    fn an_answer_is_an_answer() {
        let long = Patience {
            answer: Duration::from_secs(60),
            ..SOON
        };
        assert_eq!(answered(b"{\"verdict\":\"done\"}\n", long).unwrap(), Reply::Done);
        let unknown = answered(b"{\"verdict\":\"what\"}\n", long);
        assert!(matches!(unknown, Err(Away::NotUnderstood(_))), "{unknown:?}");
    }

    #[test]
    fn an_agent_that_says_nothing_or_half_a_word_is_not_waited_for_for_ever() {
        for half in [&b""[..], b"{\"verdict\":"] {
            let silent = answered(half, SOON);
            assert!(matches!(silent, Err(Away::Silent)), "{silent:?}");
        }
    }

    #[test]
    fn an_agent_that_accepts_nobody_is_not_waited_for_for_ever() {
        let folder = TempDir::new().unwrap();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket
            .bind(&SockAddr::unix(folder.path().join(SOCKET)).unwrap())
            .unwrap();
        socket.listen(0).unwrap();
        let _first = UnixStream::connect(folder.path().join(SOCKET)).unwrap();
        let asked = ask(folder.path(), &mk_request(), None, SOON);
        assert!(matches!(asked, Err(Away::Silent)), "{asked:?}");
    }

    #[test]
    fn an_agent_that_is_not_there_is_looked_for_until_patience_ends() {
        let folder = TempDir::new().unwrap();
        let asked = ask(folder.path(), &mk_request(), None, SOON);
        assert!(matches!(asked, Err(Away::NotThere(_))), "{asked:?}");
        let patient = Patience {
            away: Duration::from_secs(60),
            answer: Duration::from_secs(60),
        };
        let path = folder.path().join(SOCKET);
        let late = thread::spawn(move || ask(folder.path(), &mk_request(), None, patient));
        let listener = UnixListener::bind(path).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"{\"verdict\":\"done\"}\n").unwrap();
        assert_eq!(late.join().unwrap().unwrap(), Reply::Done);
    }
}
