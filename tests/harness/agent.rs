//! The agent of a node: a real process, started, killed and asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdout, ExitStatus, Output},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{Launch, kernel, launch::admin, wait};

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
    pub(crate) fn new(launch: Launch, child: Child, stdout: ChildStdout) -> Self {
        let records = Arc::default();
        thread::spawn({
            let records = Arc::clone(&records);
            move || collect(stdout, &records)
        });
        Self { launch, child, records }
    }

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

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended.
    pub fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        wait::until_some(deadline, "the agent's end", || {
            self.child.try_wait().expect("the agent is our child")
        })
    }

    /// How many descriptors of each kind it holds.
    pub fn descriptors(&self) -> BTreeMap<String, usize> {
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

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn collect(stdout: ChildStdout, records: &Mutex<Vec<Value>>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let record = serde_json::from_str(&line).unwrap_or(Value::String(line));
        records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}
