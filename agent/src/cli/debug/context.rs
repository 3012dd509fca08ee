//! Where a command gets its answers: a file, the kernel, the agent.

use std::{
    fs::File,
    io::{self, BufReader, Stdout},
    path::Path,
};

use serde::de::DeserializeOwned;

use super::{
    DebugError, Outcome,
    arguments::Options,
    snapshot::{Section, Snapshot},
};
use crate::{
    cli::{
        client::{Agent, AgentError},
        output::{self, Format, Output, Row},
    },
    config,
    kernel::inspect::{self, Pins},
};

/// The options of a command, and how it prints.
pub(super) struct Context {
    options: Options,
    pub(super) output: Output<Stdout>,
}

// === impl Context ===

impl Context {
    pub(super) fn new(options: Options) -> Self {
        let format = match (options.json, options.pretty) {
            (_, true) => Format::Pretty,
            (true, false) => Format::Json,
            (false, false) => Format::Table,
        };
        Self {
            output: Output::new(format, io::stdout()),
            options,
        }
    }

    pub(super) fn bpffs(&self) -> &Path {
        &self.options.bpffs
    }

    /// The node that was named, else the only one that has pins.
    pub(super) fn node(&self) -> Result<String, DebugError> {
        if let Some(node) = &self.options.node {
            return Ok(node.clone());
        }
        only(inspect::nodes(self.bpffs())?, self.bpffs())
    }

    pub(super) fn pins(&self) -> Result<Pins, DebugError> {
        Ok(Pins::open(self.bpffs(), &self.node()?)?)
    }

    pub(super) fn agent(&self) -> Result<Agent, DebugError> {
        let socket = match &self.options.socket {
            Some(socket) => socket.clone(),
            None => config::default_socket(&self.node()?),
        };
        Ok(Agent::new(socket))
    }

    /// Asks the agent for what it alone knows; when it is away, says so and gives nothing.
    pub(super) fn told<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, DebugError> {
        match self.agent()?.get(path) {
            Ok(value) => Ok(Some(value)),
            Err(error @ (AgentError::Unreachable { .. } | AgentError::Silent { .. })) => {
                output::note(&format!(
                    "{}: only what the kernel knows is shown",
                    crate::kernel::with_causes(&error)
                ));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file that is read instead of this machine.
    pub(super) fn snapshot(&self) -> Result<Option<Snapshot>, DebugError> {
        let Some(path) = &self.options.file else {
            return Ok(None);
        };
        let file = File::open(path).map_err(|source| DebugError::ReadFile {
            path: path.clone(),
            source,
        })?;
        let snapshot = serde_json::from_reader(BufReader::new(file)).map_err(|source| DebugError::ParseFile {
            path: path.clone(),
            source,
        })?;
        Snapshot::checked(snapshot).map(Some)
    }

    /// Refuses to read a file where only the present makes sense.
    pub(super) fn live_only(&self, command: &'static str) -> Result<(), DebugError> {
        match self.options.file {
            Some(_) => Err(DebugError::NotOffline { command }),
            None => Ok(()),
        }
    }

    /// The rows of one kind: from the file, else as `collect` finds them.
    pub(super) fn rows<R>(
        &self,
        section: fn(Snapshot) -> Section<R>,
        name: &'static str,
        collect: impl FnOnce(&Self) -> Result<Vec<R>, DebugError>,
    ) -> Result<Vec<R>, DebugError> {
        match self.snapshot()? {
            Some(snapshot) => section(snapshot).rows(name),
            None => collect(self),
        }
    }

    /// Prints the rows of one kind.
    pub(super) fn show<R: Row>(
        &mut self,
        section: fn(Snapshot) -> Section<R>,
        name: &'static str,
        collect: impl FnOnce(&Self) -> Result<Vec<R>, DebugError>,
    ) -> Result<Outcome, DebugError> {
        let rows = self.rows(section, name, collect)?;
        self.output.rows(&rows)?;
        Ok(Outcome::Done)
    }
}

fn only(nodes: Vec<String>, bpffs: &Path) -> Result<String, DebugError> {
    let mut nodes = nodes.into_iter();
    match (nodes.next(), nodes.as_slice()) {
        (Some(node), []) => Ok(node),
        (Some(first), others) => Err(DebugError::SeveralNodes {
            nodes: [std::slice::from_ref(&first), others].concat().join("|"),
        }),
        (None, _) => Err(DebugError::NoNode {
            bpffs: bpffs.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_node_need_not_be_named() {
        let node = only(vec!["a".to_owned()], Path::new("/sys/fs/bpf"));
        assert_eq!(node.unwrap(), "a");
    }

    #[test]
    fn of_several_nodes_one_must_be_named() {
        let error = only(vec!["a".to_owned(), "b".to_owned()], Path::new("/sys/fs/bpf")).unwrap_err();
        assert_eq!(error.to_string(), "several nodes have pins: choose one by --node a|b");
        assert!(matches!(
            only(Vec::new(), Path::new("/sys/fs/bpf")),
            Err(DebugError::NoNode { .. })
        ));
    }
}
