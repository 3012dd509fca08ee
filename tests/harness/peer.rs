//! Programs of others that tests bring against the mesh, which `cargo xtask setup` puts where they are looked for.

use std::{env, fmt, path::PathBuf, process::Command};

use cluster::{Program, Programs, Python};

use crate::{Outcome, Pod};

/// A program of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Tries a server's HTTP/2 by the letter of its RFCs.
    H2spec,
    /// A client of gRPC, in Go.
    Grpcurl,
    /// A client of HTTP.
    Curl,
    /// A client that loads a server of HTTP/2.
    H2load,
    /// Python with libraries of gRPC and WebSockets.
    Python,
}

/// A program that is there.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    /// Where Python finds packages.
    packages: Option<PathBuf>,
}

/// Programs that this machine lacks.
#[derive(Debug)]
pub struct NotThere(Vec<&'static str>);

// === impl Peer ===

impl Peer {
    /// Where it lies.
    pub fn program(self) -> Result<PathBuf, NotThere> {
        Ok(self.tool()?.program)
    }

    /// It, to be run.
    pub fn tool(self) -> Result<Tool, NotThere> {
        let (program, packages) = match self {
            Self::H2spec => (of_cache(Program::H2spec)?, None),
            Self::Grpcurl => (of_cache(Program::Grpcurl)?, None),
            Self::Curl => (of_path("curl")?, None),
            Self::H2load => (of_path("h2load")?, None),
            Self::Python => {
                let python = Python::cached().ok().filter(Python::is_there);
                let python = python.ok_or(NotThere(Python::PACKAGES.to_vec()))?;
                (of_path("python3")?, Some(python.packages().to_owned()))
            }
        };
        Ok(Tool { program, packages })
    }
}

// === impl Tool ===

impl Tool {
    /// Runs it in a pod, to its end.
    pub fn run(&self, pod: &Pod, arguments: &[&str]) -> Outcome {
        let mut command = self.command(arguments);
        pod.run(|| command.output()).expect("what is there can be run").into()
    }

    /// It with nothing of the user's but where programs are: a proxy of his is not to be asked.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let kept = ["HOME", "PATH"]
            .into_iter()
            .filter_map(|name| Some((name, env::var_os(name)?)));
        command.env_clear().envs(kept).args(arguments);
        if let Some(packages) = &self.packages {
            command.env("PYTHONPATH", packages);
        }
        command
    }
}

// === impl NotThere ===

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs = self.0.join(", ");
        write!(
            f,
            "not there: {programs} (`cargo xtask setup` brings it, or says why not)"
        )
    }
}

/// The cache's programs, if these are built.
pub(crate) fn built(wanted: &[Program]) -> Result<Programs, NotThere> {
    let programs = Programs::cached().expect("there is a cache folder");
    let absent = programs.absent(wanted).expect("the pins can be read");
    match absent.is_empty() {
        true => Ok(programs),
        false => Err(NotThere(absent.into_iter().map(Program::name).collect())),
    }
}

fn of_cache(program: Program) -> Result<PathBuf, NotThere> {
    let programs = built(&[program])?;
    Ok(programs.path(program).expect("the pins can be read"))
}

fn of_path(program: &'static str) -> Result<PathBuf, NotThere> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).map(|folder| folder.join(program));
    found
        .find(|candidate| candidate.is_file())
        .ok_or(NotThere(vec![program]))
}
