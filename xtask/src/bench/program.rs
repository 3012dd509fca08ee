//! A process of the benchmark: in a namespace, on a CPU, and asked for what it used.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use harness::Netns;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::ClockId,
    unistd::Pid,
};

use crate::process;

/// A running process, killed when dropped.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// Which CPU a process runs on: proxies do not compete with what loads them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cpu {
    Load,
    Proxy,
}

/// The CPU time that a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// To the nanosecond, by the scheduler.
    pub(super) total: Duration,
    /// Ticks in user space, and ticks in all; sampled by the timer.
    pub(super) ticks: (u64, u64),
}

// === impl Program ===

impl Program {
    /// Starts `command` in `netns` on `cpu`.
    pub(super) fn start(netns: &Netns, cpu: Cpu, command: Command) -> Result<Self> {
        let mut child = spawn(netns, cpu, command)?;
        let stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    /// Waits for the next line that it prints.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.stdout.read_line(&mut line)?;
        ensure!(length > 0, "the process ended: {:?}", self.child.wait());
        Ok(line.trim_end().to_owned())
    }

    /// Writes a line to its standard input and waits for the answer.
    pub(super) fn ask(&mut self) -> Result<String> {
        writeln!(self.stdin)?;
        self.line()
    }

    pub(super) fn used(&self) -> Result<Used> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let clock = ClockId::pid_cpu_clock_id(pid).context("the process has ended")?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Fields are counted behind the name, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("stat has a name")?;
        let ticks = |field: usize| {
            fields
                .split_whitespace()
                .nth(field)
                .and_then(|ticks| ticks.parse::<u64>().ok())
        };
        let (user, system) = ticks(11).zip(ticks(12)).context("stat has user and system time")?;
        Ok(Used {
            total: Duration::from(clock.now()?),
            ticks: (user, user + system),
        })
    }

    /// Its resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("the process has ended")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Used ===

impl Used {
    /// What was used since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        let (user, all) = (self.ticks.0 - before.ticks.0, self.ticks.1 - before.ticks.1);
        Self {
            total: self.total.saturating_sub(before.total),
            ticks: (user, all),
        }
    }

    /// The sum of several processes.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            ticks: (self.ticks.0 + other.ticks.0, self.ticks.1 + other.ticks.1),
        }
    }
}

/// Runs `command` to its end and returns what it prints.
pub(super) fn output(netns: &Netns, cpu: Cpu, command: Command) -> Result<String> {
    let line = process::line(&command);
    let output = spawn(netns, cpu, command)?.wait_with_output()?;
    ensure!(output.status.success(), "{}: {line}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A child inherits namespace and CPU of the thread that starts it.
fn spawn(netns: &Netns, cpu: Cpu, mut command: Command) -> Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let line = process::line(&command);
    netns
        .run(move || {
            sched_setaffinity(Pid::from_raw(0), &cpu.set()?)?;
            anyhow::Ok(command.spawn()?)
        })
        .with_context(|| format!("cannot start: {line}"))
}

// === impl Cpu ===

impl Cpu {
    fn set(self) -> nix::Result<CpuSet> {
        let mut set = CpuSet::new();
        set.set(match self {
            Self::Load => 0,
            Self::Proxy => 1,
        })?;
        Ok(set)
    }
}
