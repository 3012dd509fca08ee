//! A process that serves until it is ended.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// How a process is started. Its command line says all of it, so that it can be written down and started by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
}

// === impl Daemon ===

impl Daemon {
    /// Describes a process; its log bears its name.
    pub fn new(name: &str, program: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments: Vec::new(),
        }
    }

    /// Adds `--name=value`.
    pub fn flag(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.arguments.push(format!("--{name}={}", value.as_ref().display()));
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of what it says, in this folder.
    pub fn log(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.log", self.name))
    }

    /// Starts it; what it says goes to a file of this folder.
    ///
    /// It is in a process group of its own: a terminal's Ctrl-C is for whoever started it, who then ends it in order.
    pub fn spawn(&self, logs: &Path) -> Result<Child> {
        let log = self.log(logs);
        let open = File::options().create(true).append(true).open(&log);
        let file = open.with_context(|| format!("cannot write {}", log.display()))?;
        let errors = file.try_clone().context("cannot share the log")?;
        Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// As another process can read it.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "program": self.program, "arguments": self.arguments})
    }

    /// Reads what [`Daemon::to_json`] wrote.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            name: text(&value["name"])?,
            program: text(&value["program"])?.into(),
            arguments: value["arguments"].as_array()?.iter().map(text).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let daemon = Daemon::new("etcd", "/bin/etcd".into()).flag("data-dir", "/tmp/x");
        assert_eq!(Daemon::from_json(&daemon.to_json()), Some(daemon));
        assert_eq!(Daemon::from_json(&json!({"name": "etcd"})), None);
    }
}
