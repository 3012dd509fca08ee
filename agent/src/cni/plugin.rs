//! The plugin's way from the runtime's question to its answer.

use std::{
    env,
    ffi::OsStr,
    io::{self, Read, Write as _},
    path::Path,
    process::ExitCode,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    NAME,
    ask::{Away, ask},
    call::{Attachment, COMMAND, Call, PodRef},
    failure::Failure,
    network::{Network, VERSIONS},
    patience::{Patience, Standing},
    roll::Roll,
    wire::{Reply, Request, milliseconds},
};
use crate::{
    model::OnAgentFailure,
    net::{NetError, NetNs},
    telemetry::with_causes,
};

/// Whether a runtime has called the process: by the plugin's name, or by the variable that says what it wants.
pub fn is_called() -> bool {
    let mut arguments = env::args_os();
    let by_name = arguments
        .next()
        .is_some_and(|program| Path::new(&program).file_name() == Some(OsStr::new(NAME)));
    by_name || (env::var_os(COMMAND).is_some() && arguments.next().is_none())
}

/// Answers the runtime, by standard output and the exit code.
pub fn run() -> ExitCode {
    let mut version = String::new();
    let answered = answer(|name| env::var(name).ok(), io::stdin().lock(), &mut version);
    match answered {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(result)) => print(&result, ExitCode::SUCCESS),
        Err(failure) => print(&failure.written(&version), ExitCode::FAILURE),
    }
}

fn print(value: &impl Serialize, code: ExitCode) -> ExitCode {
    let written = serde_json::to_vec(value).map_err(io::Error::from);
    match written.and_then(|text| io::stdout().write_all(&text)) {
        Ok(()) => code,
        Err(_nobody_listens) => ExitCode::FAILURE,
    }
}

/// What is to be printed. The version is told before anything can fail that is to be written in it.
fn answer(
    variable: impl Fn(&'static str) -> Option<String>,
    input: impl Read,
    version: &mut String,
) -> Result<Option<Value>, Failure> {
    Network::default().version().clone_into(version);
    let call = Call::read(variable)?;
    let network = Network::read(input)?;
    network.version().clone_into(version);
    if call == Call::Version {
        return Ok(Some(
            json!({ "cniVersion": network.version(), "supportedVersions": VERSIONS }),
        ));
    }
    network.check_version()?;
    match call {
        Call::Add(attachment) => {
            let result = network.result()?;
            if let Some(pod) = &attachment.pod {
                add(&network, &attachment, pod)?;
            }
            Ok(Some(result.clone()))
        }
        Call::Check(attachment) => {
            if let Some(pod) = &attachment.pod {
                check(&network, &attachment, pod)?;
            }
            Ok(None)
        }
        Call::Del(attachment) => {
            let Attachment { container, netns, .. } = attachment;
            // What is gone already needs no letting go.
            let netns = netns.and_then(|path| NetNs::open(path).ok());
            tell(&network, &Request::Del { container }, netns.as_ref());
            Ok(None)
        }
        Call::Gc => {
            let containers = network.containers();
            tell(&network, &Request::Gc { containers }, None);
            Ok(None)
        }
        // A node whose agent is away serves the pods of all other namespaces: it must not be reported as not ready.
        Call::Status | Call::Version => Ok(None),
    }
}

fn add(network: &Network, attachment: &Attachment, pod: &PodRef) -> Result<(), Failure> {
    let standing = Roll::read(network.run_dir()).standing(&pod.namespace);
    let patience = Patience::for_pod_of(standing);
    let request = Request::Add {
        container: attachment.container.clone(),
        pod: pod.clone(),
        ips: network.ips().or_else(|failure| excused(standing, failure))?,
        patience: milliseconds(patience.answer),
    };
    let netns = match open(attachment) {
        Ok(netns) => netns,
        Err(error) => return excused(standing, Failure::Namespace(error)),
    };
    settle(standing, ask(network.run_dir(), &request, Some(&netns), patience))
}

fn check(network: &Network, attachment: &Attachment, pod: &PodRef) -> Result<(), Failure> {
    let request = Request::Check {
        container: attachment.container.clone(),
        pod: pod.clone(),
    };
    let netns = open(attachment).map_err(Failure::Namespace)?;
    match ask(network.run_dir(), &request, Some(&netns), Patience::IN_PASSING) {
        Ok(Reply::Wait { reason } | Reply::LetStart { reason }) => Err(Failure::Drift(reason)),
        // Nobody can tell that anything is wrong.
        Ok(Reply::Captured | Reply::NotEnrolled | Reply::Done) | Err(_) => Ok(()),
    }
}

/// Tells the agent something of which it will learn without the plugin too.
fn tell(network: &Network, request: &Request, netns: Option<&NetNs>) {
    let _ = ask(network.run_dir(), request, netns, Patience::IN_PASSING);
}

fn open(attachment: &Attachment) -> Result<NetNs, NetError> {
    NetNs::open(attachment.netns.as_deref().unwrap_or(Path::new("")))
}

/// Whether the pod may start: as the agent says, else as its namespace fails.
fn settle(standing: Standing, answer: Result<Reply, Away>) -> Result<(), Failure> {
    match answer {
        Ok(Reply::Captured | Reply::NotEnrolled | Reply::LetStart { .. } | Reply::Done) => Ok(()),
        Ok(Reply::Wait { reason }) => Err(Failure::Wait(reason)),
        Err(away) => excused(standing, Failure::Wait(with_causes(&away))),
    }
}

/// A failure matters only where a pod must not start outside the mesh.
fn excused<T: Default>(standing: Standing, failure: Failure) -> Result<T, Failure> {
    match standing {
        Standing::Unlisted | Standing::Listed(OnAgentFailure::Open) => Ok(T::default()),
        Standing::Listed(OnAgentFailure::Closed) => Err(failure),
    }
}

#[cfg(test)]
mod tests;
