//! The desk over its real socket, between a mesh and a kernel room that the test plays.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc, thread};

use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::*;
use crate::{
    cni::{
        Held,
        ask::{Away, ask},
        call::PodRef,
        patience::Patience,
    },
    kernel::{PodStatus, Sandbox, SandboxNews, Status},
    model::{Contents, Enrolment, Mesh, NotEnrolled, OnAgentFailure, Pod, PodUid, Policies, sample::mk_pod},
    telemetry::{CniMetrics, CniOutcome},
};

struct Agent {
    folder: TempDir,
    meshes: watch::Sender<Arc<Mesh>>,
    status: watch::Sender<Arc<Status>>,
    news: mpsc::Receiver<SandboxNews>,
    metrics: CniMetrics,
    held: Held,
    task: AbortHandle,
}

impl Agent {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let meshes = watch::Sender::default();
        let status = watch::Sender::default();
        let (sandboxes, news) = mpsc::channel(8);
        let metrics = CniMetrics::default();
        let held = Held::default();
        let inputs = Inputs {
            mesh: meshes.subscribe(),
            status: status.subscribe(),
            sandboxes,
            metrics: metrics.clone(),
            held: held.clone(),
        };
        let desk = Desk::bind(folder.path()).unwrap();
        Self {
            folder,
            meshes,
            status,
            news,
            metrics,
            held,
            task: tokio::spawn(desk.run(inputs)).abort_handle(),
        }
    }

    fn mesh(&self, pods: Vec<Pod>) {
        let mesh = Mesh::new(Contents {
            generation: 1,
            pods: pods.into_iter().map(Arc::new).collect(),
            failing_closed: ["closed".into()].into(),
            policies: Policies {
                enrolled_namespaces: ["default".into(), "closed".into()].into(),
                ..Policies::default()
            },
            ..Contents::default()
        });
        self.meshes.send_replace(Arc::new(mesh));
    }

    /// Says of the sandbox's pod that it is captured in the sandbox.
    fn captured(&self, sandbox: &Sandbox) {
        let captured = PodStatus::Captured {
            netns: sandbox.netns.cookie().unwrap(),
            uncaptured_devices: Arc::default(),
            late: false,
        };
        self.says(&sandbox.uid, captured);
    }

    fn says(&self, uid: &PodUid, pod: PodStatus) {
        self.status.send_replace(Arc::new(Status {
            generation: 1,
            pods: [(uid.clone(), pod)].into(),
        }));
    }

    fn ask(&self, request: Request) -> oneshot::Receiver<Result<Reply, Away>> {
        let folder = self.folder.path().to_owned();
        let patience = Patience {
            away: Duration::ZERO,
            answer: Duration::from_secs(60),
        };
        let (done, told) = oneshot::channel();
        thread::spawn(move || {
            let answer = ask(&folder, &request, Some(&NetNs::current().unwrap()), patience);
            done.send(answer)
        });
        told
    }

    async fn asked(&self, request: Request) -> Reply {
        self.ask(request).await.unwrap().unwrap()
    }

    async fn up(&mut self) -> Sandbox {
        match self.news.recv().await {
            Some(SandboxNews::Up(sandbox)) => sandbox,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn add(namespace: &str, name: &str, patience: u64) -> Request {
    Request::Add {
        container: "c1".to_owned(),
        pod: PodRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: Some(format!("uid-{name}")),
        },
        ips: vec!["10.0.0.1".parse().unwrap()],
        patience,
    }
}

const LONG: u64 = 60_000;
const SHORT: u64 = 100;

#[tokio::test]
async fn a_pod_is_held_until_it_is_captured_in_the_namespace_that_came_along() {
    let mut agent = Agent::start();
    agent.mesh(vec![mk_pod("web", "10.0.0.1")]);
    let asked = agent.ask(add("default", "web", LONG));
    let sandbox = agent.up().await;
    assert_eq!(
        sandbox,
        Sandbox {
            uid: PodUid::new("uid-web"),
            container: ContainerId::new("c1"),
            netns: NetNs::current().unwrap(),
            ips: vec!["10.0.0.1".parse().unwrap()],
        }
    );
    // That of the sandbox before.
    let elsewhere = PodStatus::Captured {
        netns: crate::net::Cookie(1),
        uncaptured_devices: Arc::default(),
        late: false,
    };
    agent.says(&sandbox.uid, elsewhere);
    tokio::task::yield_now().await;
    assert!(asked.is_empty());
    agent.captured(&sandbox);
    assert_eq!(asked.await.unwrap().unwrap(), Reply::Captured);
    assert!(agent.held.time(&sandbox.uid).is_some());
    assert_eq!(agent.metrics.counted(CniOutcome::Captured), 1);
}

#[tokio::test]
async fn a_pod_that_the_api_tells_late_is_waited_for() {
    let mut agent = Agent::start();
    let asked = agent.ask(add("default", "web", LONG));
    agent.mesh(vec![mk_pod("other", "10.0.0.2")]);
    agent.mesh(vec![mk_pod("other", "10.0.0.2"), mk_pod("web", "10.0.0.1")]);
    let sandbox = agent.up().await;
    agent.captured(&sandbox);
    assert_eq!(asked.await.unwrap().unwrap(), Reply::Captured);
}

#[tokio::test]
async fn a_pod_that_is_not_enrolled_or_opts_out_starts_at_once() {
    let agent = Agent::start();
    let out = |reason| Pod {
        enrolment: Enrolment::Out(reason),
        ..mk_pod("web", "10.0.0.1")
    };
    for reason in [NotEnrolled::NoLabel, NotEnrolled::OptedOut] {
        agent.mesh(vec![out(reason)]);
        assert_eq!(agent.asked(add("default", "web", LONG)).await, Reply::NotEnrolled);
    }
    assert_eq!(agent.metrics.counted(CniOutcome::NotEnrolled), 2);
}

#[tokio::test]
async fn a_pod_that_leaves_the_mesh_meanwhile_is_held_no_longer() {
    let mut agent = Agent::start();
    agent.mesh(vec![mk_pod("web", "10.0.0.1")]);
    let asked = agent.ask(add("default", "web", LONG));
    agent.up().await;
    agent.mesh(vec![]);
    assert_eq!(asked.await.unwrap().unwrap(), Reply::NotEnrolled);
}

#[tokio::test]
async fn when_time_is_over_the_namespace_says_whether_the_pod_may_start() {
    let agent = Agent::start();
    let closed = Pod {
        on_agent_failure: OnAgentFailure::Closed,
        ..mk_pod("shut", "10.0.0.2")
    };
    agent.mesh(vec![mk_pod("web", "10.0.0.1"), closed]);
    let reason = "its network namespace is not there yet";
    let waiting = || PodStatus::Waiting { reason: reason.into() };
    agent.says(&PodUid::new("uid-web"), waiting());
    let reason = reason.to_owned();
    assert_eq!(
        agent.asked(add("default", "web", SHORT)).await,
        Reply::LetStart { reason: reason.clone() }
    );
    agent.says(&PodUid::new("uid-shut"), waiting());
    assert_eq!(agent.asked(add("default", "shut", SHORT)).await, Reply::Wait { reason });

    assert!(matches!(
        agent.asked(add("closed", "unknown", SHORT)).await,
        Reply::Wait { .. }
    ));
    assert!(matches!(
        agent.asked(add("default", "unknown", SHORT)).await,
        Reply::LetStart { .. }
    ));
    assert_eq!(
        agent.asked(add("elsewhere", "unknown", SHORT)).await,
        Reply::NotEnrolled
    );
    assert_eq!(agent.metrics.counted(CniOutcome::Refused), 2);
    assert_eq!(agent.metrics.counted(CniOutcome::LetStart), 2);
}

#[tokio::test]
async fn a_deletion_is_answered_when_nothing_is_held_any_longer() {
    let mut agent = Agent::start();
    let container = "c1".to_owned();
    let asked = agent.ask(Request::Del { container });
    let Some(SandboxNews::Down { container, netns, done }) = agent.news.recv().await else {
        panic!("it is a deletion");
    };
    assert_eq!((container, netns.is_some()), (ContainerId::new("c1"), true));
    assert!(asked.is_empty());
    done.send(()).unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), Reply::Done);
}

#[tokio::test]
async fn a_check_tells_a_pod_that_is_not_captured() {
    let agent = Agent::start();
    agent.mesh(vec![mk_pod("web", "10.0.0.1")]);
    let check = |name: &str| {
        let Request::Add { container, pod, .. } = add("default", name, LONG) else {
            unreachable!("it is an addition");
        };
        Request::Check { container, pod }
    };
    assert!(matches!(agent.asked(check("web")).await, Reply::Wait { .. }));
    assert_eq!(agent.asked(check("unknown")).await, Reply::NotEnrolled);
    let sandbox = Sandbox {
        uid: PodUid::new("uid-web"),
        container: ContainerId::new("c1"),
        netns: NetNs::current().unwrap(),
        ips: Vec::new(),
    };
    agent.captured(&sandbox);
    assert_eq!(agent.asked(check("web")).await, Reply::Captured);
}

#[tokio::test]
async fn nonsense_gets_no_answer_and_others_do() {
    let agent = Agent::start();
    agent.mesh(vec![]);
    let path = agent.folder.path().join(SOCKET);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for nonsense in [&b"{\"verb\":\"dance\"}\n"[..], b"\n", b"half"] {
        let path = path.clone();
        let (done, told) = oneshot::channel();
        thread::spawn(move || {
            use std::{io::Read as _, io::Write as _, net::Shutdown, os::unix::net::UnixStream};
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(nonsense).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // It may be cut.
            let _ = stream.read_to_end(&mut answer);
            done.send(answer).unwrap();
        });
        assert_eq!(told.await.unwrap(), b"");
    }
    assert_eq!(agent.asked(add("elsewhere", "web", SHORT)).await, Reply::NotEnrolled);
}
