//! The agent of a node: a real process, started, killed and asked.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{Netns, Node, cgroup, kernel, wait};

/// How an agent is started, again and again.
#[derive(Clone, Debug)]
pub struct Launch {
    netns: Arc<Netns>,
    node: String,
    folder: PathBuf,
    cgroup: Option<PathBuf>,
    manifests: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running agent. Dropped, it is killed; what it pinned goes with its node.
#[derive(Debug)]
pub struct Agent {
    launch: Launch,
    child: Child,
    records: Arc<Mutex<Vec<Value>>>,
}

/// What a command of `weft` says.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it prints.
    pub stdout: String,
    /// What it complains of.
    pub stderr: String,
}

// === impl Launch ===

impl Launch {
    pub(crate) fn new(node: &Node) -> Self {
        let folder = node.lab().folder().join(node.number().to_string());
        fs::create_dir_all(&folder).expect("a folder can be made in the lab's");
        Self {
            netns: Arc::clone(node.netns()),
            node: node.name().to_owned(),
            folder,
            cgroup: None,
            manifests: node.lab().manifests.folder().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Attaches the programs to this cgroup instead of the root, and runs in it.
    pub fn cgroup(mut self, path: &Path) -> Self {
        self.cgroup = Some(path.to_owned());
        self
    }

    /// Reads another folder than the lab's.
    pub fn manifests(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.manifests);
        self
    }

    /// Starts the agent and waits until it is ready.
    pub fn start(self) -> Agent {
        let mut agent = self.spawn();
        agent.wait_ready();
        agent
    }

    /// Starts the agent.
    pub fn spawn(self) -> Agent {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log can be written");
        let mut command = match &self.cgroup {
            None => Command::new(weft()),
            // A process joins a cgroup by itself, before the program begins.
            Some(cgroup) => {
                let mut shell = Command::new("/bin/sh");
                shell
                    .args(["-ec", "echo $$ > \"$0/cgroup.procs\"; exec \"$@\""])
                    .arg(cgroup)
                    .arg(weft());
                shell
            }
        };
        command
            .arg("agent")
            .arg("--manifests")
            .arg(&self.manifests)
            .args(["--node", &self.node])
            .arg("--cgroup")
            .arg(self.cgroup.clone().unwrap_or_else(cgroup::root))
            .args(["--admin", &admin().to_string()])
            .arg("--socket")
            .arg(self.socket())
            .arg("--state")
            .arg(self.state())
            .args(&self.arguments)
            .env("WEFT_ACCESS_LOG", "json")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = self
            .netns
            .run(|| command.spawn())
            .unwrap_or_else(|error| panic!("{}: {error}", weft().display()));
        let records = Arc::default();
        let stdout = child.stdout.take().expect("stdout is piped");
        thread::spawn({
            let records = Arc::clone(&records);
            move || collect(stdout, &records)
        });
        Agent {
            launch: self,
            child,
            records,
        }
    }

    /// `weft` with these arguments, for this node.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(weft());
        command
            .args(arguments)
            .env("WEFT_SOCKET", self.socket())
            .env("WEFT_NODE", &self.node);
        command
    }

    /// Runs `weft` with these arguments in the node's namespace, whether or not the agent runs.
    pub fn weft(&self, arguments: &[&str]) -> Outcome {
        let output = self.netns.run(|| self.command(arguments).output());
        output
            .unwrap_or_else(|error| panic!("{}: {error}", weft().display()))
            .into()
    }

    /// Runs `weft debug -j` with these arguments and parses what it prints; panics when it fails.
    pub fn debug(&self, arguments: &[&str]) -> Value {
        let outcome = self.weft(&[&["debug", "-j"], arguments].concat());
        assert_eq!(outcome.code, Some(0), "weft debug -j {arguments:?}: {}", outcome.stderr);
        serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", outcome.stdout))
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The folder in which the agent keeps the last known mesh.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What all agents started by this wrote to stderr.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

// === impl Outcome ===

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

// === impl Agent ===

impl Agent {
    /// How it was started, and what works without it.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `/readyz` says yes.
    pub fn wait_ready(&mut self) {
        wait::until(wait::PATIENCE, "the agent ready", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the agent ended with {status}:\n{}", tail(&self.launch.logged()));
            }
            self.ready()
        });
    }

    /// Whether `/readyz` says yes.
    pub fn ready(&self) -> bool {
        self.http("/readyz").is_ok_and(|(status, _)| status == 200)
    }

    /// Asks the admin port: status and body.
    pub fn http(&self, path: &str) -> io::Result<(u16, String)> {
        self.launch.netns.run(|| {
            let mut stream = TcpStream::connect_timeout(&admin(), wait::PATIENCE)?;
            stream.set_read_timeout(Some(wait::PATIENCE))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let status = answer.get(9..12).and_then(|code| code.parse().ok());
            let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            status
                .map(|status| (status, body.to_owned()))
                .ok_or_else(|| io::Error::other(answer.clone()))
        })
    }

    /// The sum of a metric over all label sets which hold all these `key="value"` pairs.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.http("/metrics").expect("the admin port answers");
        text.lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The connection records so far.
    pub fn records(&self) -> Vec<Value> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for such a record.
    pub fn record(&self, what: &str, such: impl Fn(&Value) -> bool) -> Value {
        wait::until_some(wait::PATIENCE, what, || {
            self.records().into_iter().find(|record| such(record))
        })
    }

    /// Runs `weft debug -j`, as [`Launch::debug`].
    pub fn debug(&self, arguments: &[&str]) -> Value {
        self.launch.debug(arguments)
    }

    /// What it wrote to stderr.
    pub fn logged(&self) -> String {
        self.launch.logged()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("the agent is ours until it is waited for");
    }

    /// Kills it without a word.
    pub fn kill(mut self) -> Launch {
        self.end();
        self.launch.clone()
    }

    /// Kills it without a word and starts the next one.
    pub fn restart(&mut self) {
        self.end();
        *self = self.launch.clone().start();
    }

    /// Asks it to end (SIGTERM) and waits; panics when it does not end in time.
    pub fn terminate(mut self, deadline: Duration) -> (Launch, ExitStatus) {
        self.signal(Signal::SIGTERM);
        let status = self.wait_end(deadline);
        (self.launch.clone(), status)
    }

    /// Waits until it has ended.
    pub fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        wait::until_some(deadline, "the agent's end", || {
            self.child.try_wait().expect("the agent is our child")
        })
    }

    /// The descriptors it holds.
    pub fn descriptors(&self) -> usize {
        kernel::descriptors(self.pid())
    }

    /// The network namespaces, by inode, which it holds open by a descriptor.
    pub fn held_namespaces(&self) -> BTreeSet<u64> {
        kernel::held_namespaces(self.pid())
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the agent runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a process has memory");
        1024 * line
            .trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("the kernel writes a number")
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            crate::skip::tell(&format!(
                "the agent of {} said last:\n{}",
                self.launch.node,
                tail(&self.launch.logged())
            ));
        }
    }
}

/// The `weft` under test: `WEFT_BIN`, else the one that lies beside this program.
pub fn weft() -> PathBuf {
    if let Some(path) = env::var_os("WEFT_BIN") {
        return path.into();
    }
    let own = env::current_exe().expect("a process has a binary");
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("weft"))
        .find(|path| path.is_file());
    beside.expect("no weft binary beside this one: `cargo build -p agent`, or name one by WEFT_BIN")
}

/// The admin port; each node has a loopback of its own.
fn admin() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 15_020).into()
}

fn collect(stdout: ChildStdout, records: &Mutex<Vec<Value>>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let record = serde_json::from_str(&line).unwrap_or(Value::String(line));
        records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
