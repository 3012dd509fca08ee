//! A real API server on a real etcd, without nodes: up in seconds, with nothing in it but what its clients write.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use cluster::{ControlPlane, Daemon, Place, Program, Programs, Scope};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{
    Netns, Outcome,
    peer::{self, NotThere},
    skip, sweep, wait,
};

/// A running API server with its etcd. Dropped, both are killed and their files removed.
#[derive(Debug)]
pub struct ApiServer {
    plane: ControlPlane,
    etcd: Running,
    server: Running,
    place: Place,
    kubectl: PathBuf,
    folder: TempDir,
    netns: Option<Arc<Netns>>,
}

/// A daemon and its process.
#[derive(Debug)]
struct Running {
    daemon: Daemon,
    child: Child,
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts one on loopback, and waits until it is ready.
    ///
    /// A test without one ends by `let Ok(api) = ApiServer::start() else { skip!("…") }`, or [`crate::api_server!`].
    pub fn start() -> Result<Self, NotThere> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), None)
    }

    pub(crate) fn start_at(address: IpAddr, netns: Option<Arc<Netns>>) -> Result<Self, NotThere> {
        let programs = peer::built(&Program::API)?;
        sweep::leftovers();
        // A port that was free a moment ago may be another's by the time it is listened at.
        let attempts = (0..ATTEMPTS).find_map(|_| Self::attempt(&programs, address, netns.clone()));
        Ok(attempts.expect("an API server can be started"))
    }

    fn attempt(programs: &Programs, address: IpAddr, netns: Option<Arc<Netns>>) -> Option<Self> {
        let folder = TempDir::with_prefix(format!("{}api-", sweep::prefix())).expect("a temporary folder can be made");
        let place = inside(netns.as_ref(), || Place::free(address)).expect("there are free ports");
        let plane = ControlPlane::create(programs.clone(), folder.path(), place).expect("its keys can be made");
        let kubectl = programs.path(Program::Kubectl).expect("the pins can be read");
        let [etcd, server] = [plane.etcd(), plane.api_server(Scope::Alone)]
            .map(|daemon| daemon.expect("the pins can be read"))
            .map(|daemon| Running::start(daemon, folder.path(), netns.as_ref()));
        let mut api = Self {
            plane,
            etcd,
            server,
            place,
            kubectl,
            folder,
            netns,
        };
        if api.becomes_ready() {
            return Some(api);
        }
        skip::tell(&format!(
            "no API server at {}: {}",
            api.url(),
            api.etcd.said(api.folder.path()) + &api.server.said(api.folder.path())
        ));
        None
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.plane.url()
    }

    /// The file of a kubeconfig whose user may do all.
    pub fn kubeconfig(&self) -> &Path {
        self.plane.admin().path()
    }

    /// The file of a kubeconfig for another user, who may do what RBAC grants.
    pub fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> PathBuf {
        let written = self.plane.kubeconfig(user, group).expect("a kubeconfig can be written");
        written.path().to_owned()
    }

    /// Runs `kubectl` with these arguments.
    pub fn kubectl(&self, arguments: &[&str]) -> Outcome {
        self.kubectl_with(arguments, "")
    }

    /// Applies objects, written as YAML or JSON, and panics when they are refused.
    pub fn apply(&self, objects: &str) {
        let applied = self.kubectl_with(
            &["apply", "--server-side", "--force-conflicts", "--filename=-"],
            objects,
        );
        assert_eq!(applied.code, Some(0), "{}\n{objects}", applied.stderr);
    }

    /// Runs `kubectl` with these arguments, and this as its standard input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = inside(self.netns.as_ref(), || kubectl.spawn()).expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // One that does not read has refused its arguments, and says so.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("kubectl ends").into()
    }

    /// Kills the API server without a word, and leaves the store alone.
    pub fn kill(&mut self) {
        self.server.end();
    }

    /// Starts it again at the same place on the same store, and waits until it is ready.
    pub fn start_again(&mut self) {
        self.kill();
        self.server = Running::start(self.server.daemon.clone(), self.folder.path(), self.netns.as_ref());
        assert!(self.becomes_ready(), "{}", self.server.said(self.folder.path()));
    }

    /// Stops it where it stands: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.server.signal(Signal::SIGCONT);
    }

    /// Whether it comes up before a daemon ends or the time is over.
    fn becomes_ready(&mut self) -> bool {
        let listens = |api: &Self| {
            inside(api.netns.as_ref(), || {
                TcpStream::connect((api.place.address, api.place.api)).is_ok()
            })
        };
        let ready = |api: &Self| api.kubectl(&["get", "--raw", "/readyz"]).code == Some(0);
        wait::until_some(START, "the API server ready, or ended", || {
            if self.etcd.ended() || self.server.ended() {
                return Some(false);
            }
            (listens(self) && ready(self)).then_some(true)
        })
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if thread::panicking() {
            skip::tell(&format!(
                "the API server said:\n{}",
                self.server.said(self.folder.path())
            ));
        }
    }
}

// === impl Running ===

impl Running {
    fn start(daemon: Daemon, folder: &Path, netns: Option<&Arc<Netns>>) -> Self {
        let child = inside(netns, || daemon.spawn(folder)).unwrap_or_else(|error| panic!("{error:#}"));
        Self { daemon, child }
    }

    fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it has not been waited for");
    }

    /// The last that it said.
    fn said(&self, folder: &Path) -> String {
        let log = fs::read_to_string(self.daemon.log(folder)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends the test aloud where there is no API server.
#[macro_export]
macro_rules! api_server {
    () => {
        $crate::api_server!($crate::ApiServer::start())
    };
    ($started:expr) => {
        $crate::or_skip!($started)
    };
}

fn inside<T: Send>(netns: Option<&Arc<Netns>>, work: impl FnOnce() -> T + Send) -> T {
    match netns {
        None => work(),
        Some(netns) => netns.run(work),
    }
}

const ATTEMPTS: usize = 3;

/// Six seconds on an idle machine.
const START: Duration = Duration::from_secs(60);
