//! Both places over real sockets, before an agent of which one connection is open.

use std::{
    fs,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener as StdUnixListener, UnixStream},
    },
    path::Path,
    time::SystemTime,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
};

use super::*;
use crate::{
    model::{Opening, RouteQuestion, Unanswerable, Unaskable},
    telemetry::{ConnectionId, Refusal, Refuser, Timestamp},
};

#[tokio::test]
async fn the_port_tells_metrics_and_life() {
    let agent = Agent::start(Readiness::Ready).await;

    let metrics = agent.at_port("GET /metrics").await;
    let life = agent.at_port("GET /livez").await;

    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(metrics.ends_with("# EOF\n"));
    assert!(life.starts_with("HTTP/1.1 200 OK\r\n"), "{life}");
}

#[tokio::test]
async fn readiness_is_what_the_agent_says() {
    let ready = Agent::start(Readiness::Ready).await.at_port("GET /readyz").await;
    let stale = Readiness::Stale("7s old".to_owned());
    let stale = Agent::start(stale).await.at_port("GET /readyz").await;
    let reasons = vec!["no manifests".to_owned(), "no kernel".to_owned()];
    let waiting = Agent::start(Readiness::Waiting(reasons))
        .await
        .at_port("GET /readyz")
        .await;

    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");
    assert!(stale.starts_with("HTTP/1.1 200 OK\r\n"), "{stale}");
    assert!(stale.ends_with("ready, stale: 7s old\n"), "{stale}");
    assert!(waiting.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{waiting}");
    assert!(waiting.ends_with("no manifests\nno kernel\n"), "{waiting}");
}

#[tokio::test]
async fn an_agent_that_waits_is_alive_and_not_ready() {
    let admin = Admin::bind_port(any_port()).await.unwrap();
    let address = admin.address().unwrap();
    let ask = async |path| exchange(TcpStream::connect(address).await.unwrap(), path).await;
    let work = async { (ask("GET /livez").await, ask("GET /readyz").await) };

    let (life, readiness) = admin.during("no mesh yet", work).await;

    assert!(life.starts_with("HTTP/1.1 200 OK\r\n"), "{life}");
    assert!(
        readiness.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{readiness}"
    );
    assert!(readiness.ends_with("no mesh yet\n"), "{readiness}");
}

#[tokio::test]
async fn the_port_neither_shows_nor_cuts_connections() {
    let agent = Agent::start(Readiness::Ready).await;

    assert!(agent.at_port("GET /connections").await.starts_with("HTTP/1.1 404 "));
    assert!(
        agent
            .at_port("POST /connections/7/kill")
            .await
            .starts_with("HTTP/1.1 405 ")
    );
}

#[tokio::test]
async fn the_socket_shows_and_cuts_connections() {
    let agent = Agent::start(Readiness::Ready).await;

    assert!(agent.at_socket("GET /connections").await.ends_with("\r\n\r\n[]"));
    assert!(
        agent
            .at_socket("POST /connections/7/kill")
            .await
            .ends_with("\r\n\r\n{\"killed\":7}")
    );
    assert!(
        agent
            .at_socket("POST /connections/8/kill")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    assert!(
        agent
            .at_socket("POST /connections/x/kill")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
    assert!(
        agent
            .at_socket("GET /connections/7/kill")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test]
async fn the_socket_answers_about_policies_what_the_agent_says() {
    let agent = Agent::start(Readiness::Ready).await;
    let test = |query: &str| format!("GET /mesh/policies/test?{query}");

    let unknown = agent.at_socket(&test("from=shop/front&to=shop/cart&port=80")).await;
    let unasked = agent.at_socket(&test("from=shop/front")).await;

    assert!(agent.at_socket("GET /mesh/policies").await.ends_with("\r\n\r\n[]"));
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    assert!(unknown.contains("no pod here is called shop/front"), "{unknown}");
    assert!(unasked.starts_with("HTTP/1.1 400 "), "{unasked}");
}

#[tokio::test]
async fn the_socket_asks_the_agent_about_a_request_as_it_was_told() {
    let agent = Agent::start(Readiness::Ready).await;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let query = |to: &str| {
        let (from, header) = (hex("a/b"), hex("x: y&z"));
        format!(
            "GET /mesh/routes/test?from={from}&to={}&method={}&header={header}",
            hex(to),
            hex("PUT")
        )
    };

    let asked = agent.at_socket(&query("http://web/?a=b&c")).await;
    let broken = agent.at_socket(&query("no url")).await;
    let (from, to, name) = (hex("a/b"), hex("https://web"), hex("a.example"));
    let of_tls = format!("GET /mesh/routes/test?from={from}&to={to}&server-name={name}");
    let of_tls = agent.at_socket(&of_tls).await;

    assert!(
        asked.contains("no pod here is called a/b PUT http://web/?a=b&c {\"x\": \"y&z\"}"),
        "{asked}"
    );
    assert!(
        of_tls.contains("no pod here is called a/b https://web/ a.example"),
        "{of_tls}"
    );
    assert!(broken.starts_with("HTTP/1.1 400 "), "{broken}");
    assert!(agent.at_socket("GET /mesh/routes").await.ends_with("\r\n\r\n[]"));
}

#[tokio::test]
async fn refusals_come_as_lines_until_the_agent_ends() {
    let agent = Agent::start(Readiness::Ready).await;

    let lines = agent.at_socket("GET /drops").await;

    assert!(
        lines.contains("{\"time\":\"1970-01-01T00:00:00.000Z\",\"by\":\"agent\",\"reason\":\"no_endpoint\""),
        "{lines}"
    );
}

#[tokio::test]
async fn only_the_owner_may_open_the_socket() {
    let agent = Agent::start(Readiness::Ready).await;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&agent.socket), 0o600);
    assert_eq!(mode(agent.socket.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_socket_is_replaced_only_where_nobody_answers() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("agent.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    let replaced = bind(path.clone()).await.unwrap();

    let second = bind(path.clone()).await;

    assert!(
        matches!(second, Err(AdminError::Socket(RootSocketError::Taken { .. }))),
        "{second:?}"
    );
    UnixStream::connect(&path).unwrap();
    drop(replaced);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("agent.sock");
    fs::write(&path, "precious").unwrap();

    let bound = bind(path.clone()).await;

    assert!(
        matches!(bound, Err(AdminError::Socket(RootSocketError::Socket { .. }))),
        "{bound:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let agent = Agent::start(Readiness::Ready).await;

    let answer = agent.at_port(&format!("GET /{}", "x".repeat(100_000))).await;

    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

struct Agent {
    address: SocketAddr,
    socket: PathBuf,
    tasks: [AbortHandle; 2],
    _folder: TempDir,
}

impl Agent {
    async fn start(readiness: Readiness) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("run/agent.sock");
        let admin = bind(socket.clone()).await.unwrap();
        let address = admin.address().unwrap();
        let (requests, questions) = mpsc::channel(1);
        let answering = tokio::spawn(answer_all(readiness, questions));
        let running = tokio::spawn(admin.run(Exposition::new(Default::default()), requests));
        Self {
            address,
            socket,
            tasks: [answering.abort_handle(), running.abort_handle()],
            _folder: folder,
        }
    }

    async fn at_port(&self, request: &str) -> String {
        exchange(TcpStream::connect(self.address).await.unwrap(), request).await
    }

    async fn at_socket(&self, request: &str) -> String {
        exchange(tokio::net::UnixStream::connect(&self.socket).await.unwrap(), request).await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Both places.
async fn bind(socket: PathBuf) -> Result<Admin, AdminError> {
    Admin::bind_port(any_port()).await?.with_socket(socket)
}

/// The rest of an agent whose one connection is 7.
async fn answer_all(readiness: Readiness, mut questions: mpsc::Receiver<Request>) {
    while let Some(question) = questions.recv().await {
        match question {
            Request::Readiness(answer) => answer.send(readiness.clone()).unwrap(),
            Request::Connections(answer) => answer.send(Vec::new()).unwrap(),
            Request::Kill { id, answer } => answer.send(id == ConnectionId(7)).unwrap(),
            Request::Pods(answer) => answer.send(Vec::new()).unwrap(),
            Request::Services(answer) => answer.send(Vec::new()).unwrap(),
            Request::Endpoints(answer) => answer.send(Vec::new()).unwrap(),
            Request::Certificates(answer) => answer.send(Vec::new()).unwrap(),
            Request::Policies(answer) => answer.send(Vec::new()).unwrap(),
            Request::Explain { question, answer } => {
                let nobody = Unanswerable::NoCaller(question.from.to_string());
                answer.send(Err(nobody)).unwrap();
            }
            Request::Routes(answer) => answer.send(Vec::new()).unwrap(),
            Request::TestRoute { question, answer } => {
                let RouteQuestion { from, to, opening } = &*question;
                let asked = match opening {
                    Opening::Request { method, headers } => format!("{from} {method} {to} {headers:?}"),
                    Opening::Tls(name) => format!("{from} {to} {name}"),
                };
                answer.send(Err(Unaskable::NoPod(asked))).unwrap();
            }
            Request::Problems(answer) => answer.send(Vec::new()).unwrap(),
            Request::Refusals(answer) => {
                let (refusals, follower) = mpsc::channel(1);
                refusals.send(mk_refusal()).await.unwrap();
                answer.send(follower).unwrap();
            }
        }
    }
}

/// Sends a request and reads until the agent closes.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    let head = format!("{request} HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A head that is refused unread ends by a RST.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn mk_refusal() -> Refusal {
    Refusal {
        time: Timestamp(SystemTime::UNIX_EPOCH).to_string(),
        by: Refuser::Agent,
        reason: "no_endpoint".to_owned(),
        pod: None,
        source: ([10, 0, 0, 1], 40_000).into(),
        destination: ([10, 96, 0, 1], 80).into(),
    }
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
