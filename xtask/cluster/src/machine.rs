//! A simulated machine: network, mount, PID and cgroup namespaces of its own, and daemons in them.
//!
//! Its first process is a `cluster-machine` (see [`crate::boot()`]). When that ends, the kernel ends all others of the
//! machine, and what was mounted in it is gone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{Daemon, cgroup};

/// How a machine is made. It is written to a file, which its first process reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name on this host: of its network namespace and its cgroup.
    pub name: String,
    /// Where its files lie on the host; it sees them at the same place.
    pub folder: PathBuf,
    /// Other folders of the host that it needs, seen at the same place.
    pub shares: Vec<PathBuf>,
    /// Folders of its own which are kept on disk, not in memory: where the machine sees them.
    pub disks: Vec<PathBuf>,
    /// What runs in it, in the order of their start.
    pub daemons: Vec<Daemon>,
}

// === impl Machine ===

impl Machine {
    /// Starts it by its first process's program, unless it runs.
    pub fn start(&self, program: &Path) -> Result<()> {
        if self.first_process().is_some() {
            return Ok(());
        }
        fs::create_dir_all(self.logs()).with_context(|| format!("cannot make {}", self.logs().display()))?;
        let plan = self.folder.join(PLAN);
        fs::write(&plan, format!("{:#}\n", self.to_json()))
            .with_context(|| format!("cannot write {}", plan.display()))?;
        // It ends when its child, the machine's first process, is started.
        let status = Command::new(program)
            .arg(&plan)
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        if !status.success() {
            bail!("the machine {} does not start: {status}", self.name);
        }
        Ok(())
    }

    /// Ends it at once, as if its power were cut. What it wrote to its disks is kept.
    pub fn kill(&self) -> Result<()> {
        let Some(first) = self.first_process() else {
            return Ok(());
        };
        // It may have ended meanwhile.
        let _ = kill(first, Signal::SIGKILL);
        let start = Instant::now();
        while !cgroup::is_empty(&self.name)? {
            if start.elapsed() > PATIENCE {
                bail!("processes of {} do not end", self.name);
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Its first process, as the host counts.
    pub fn first_process(&self) -> Option<Pid> {
        let pid = fs::read_to_string(self.folder.join(PID)).ok()?.trim().parse().ok()?;
        // Another process may have got the number.
        let line = fs::read(Path::new("/proc").join(format!("{pid}/cmdline"))).ok()?;
        let plan = self.folder.join(PLAN);
        let plan = plan.as_os_str().as_encoded_bytes();
        line.split(|byte| *byte == 0)
            .any(|word| word == plan)
            .then(|| Pid::from_raw(pid))
    }

    /// A path inside it, as the host reaches it while it runs.
    pub fn inside(&self, path: &str) -> Result<PathBuf> {
        let first = self
            .first_process()
            .with_context(|| format!("{} does not run", self.name))?;
        Ok(Path::new("/proc")
            .join(format!("{first}/root"))
            .join(path.trim_start_matches('/')))
    }

    /// Where on the host one of its disks lies.
    pub(crate) fn disk(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.folder.join("disks").join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Where its daemons' logs lie.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "folder": self.folder,
            "shares": self.shares,
            "disks": self.disks,
            "daemons": self.daemons.iter().map(Daemon::to_json).collect::<Vec<_>>(),
        })
    }

    /// The machine with what ran in it when it was started last.
    pub fn planned(&self) -> Result<Self> {
        Self::read(&self.folder.join(PLAN))
    }

    /// Reads the file that [`Machine::start`] wrote.
    pub(crate) fn read(plan: &Path) -> Result<Self> {
        let text = fs::read_to_string(plan).with_context(|| format!("cannot read {}", plan.display()))?;
        let value: Value = serde_json::from_str(&text).context("the plan of a machine is JSON")?;
        Self::from_json(&value).context("the plan of a machine is not whole")
    }

    fn from_json(value: &Value) -> Option<Self> {
        let paths = |key: &str| {
            let paths = value[key]
                .as_array()?
                .iter()
                .map(|path| path.as_str().map(PathBuf::from));
            paths.collect::<Option<Vec<_>>>()
        };
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            folder: value["folder"].as_str()?.into(),
            shares: paths("shares")?,
            disks: paths("disks")?,
            daemons: value["daemons"]
                .as_array()?
                .iter()
                .map(Daemon::from_json)
                .collect::<Option<_>>()?,
        })
    }
}

const PLAN: &str = "machine.json";
/// Written by the first process's parent.
pub(crate) const PID: &str = "machine.pid";

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let machine = Machine {
            name: "one".to_owned(),
            folder: "/tmp/one".into(),
            shares: vec!["/tmp/share".into()],
            disks: vec!["/var/lib/kubelet".into()],
            daemons: vec![Daemon::new("etcd", "/bin/etcd".into())],
        };
        assert_eq!(Machine::from_json(&machine.to_json()), Some(machine));
    }
}
