//! This machine as a node: its kernel, the container runtime's network plugins, and the agent with its certificates.

use std::fs;

use super::{CheckArgs, Checked, Found};
use crate::{
    cli::{client::Agent, output::left},
    config::default_socket,
    kernel::{
        feature::{self, Need},
        inspect,
    },
    model::{CertificateState, CertificateView},
};

pub(super) fn check(args: &CheckArgs) -> Vec<Checked> {
    let mut checked = vec![kernel()];
    checked.extend(features());
    checked.push(cni(args));
    if !args.pre {
        checked.extend(agents(args));
    }
    checked
}

fn kernel() -> Checked {
    let release = fs::read_to_string(RELEASE).unwrap_or_default();
    version("this node", release.trim())
}

/// Judges a kernel by its version: what it can do is judged by loading, on the node.
pub(super) fn version(about: &str, release: &str) -> Checked {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = numbers
        .next()
        .and_then(Result::ok)
        .zip(numbers.next().and_then(Result::ok));
    let (outcome, detail) = match version {
        None => (Found::Warning, format!("no version in `{release}`")),
        Some(version) if version < OLDEST => (Found::Bad, format!("{release} is older than 5.10")),
        Some(version) if version < FLOOR => (Found::Warning, format!("{release}: the floor is 5.15")),
        Some(_) => (Found::Good, release.to_owned()),
    };
    Checked::new("kernel", about, outcome, detail)
}

/// What is there is told in one row: what is not there has one each.
fn features() -> Vec<Checked> {
    let features = feature::probe();
    let (there, missing): (Vec<_>, Vec<_>) = features.into_iter().partition(|feature| feature.available);
    let all = Checked::new(
        "features",
        "this node",
        Found::Good,
        format!(
            "{} of {} that Weft uses are there",
            there.len(),
            there.len() + missing.len()
        ),
    );
    let missing = missing.into_iter().map(|feature| {
        let outcome = match feature.need {
            Need::Required => Found::Bad,
            Need::Optional => Found::Warning,
        };
        let why = feature.detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        let detail = format!("missing: {}{why}", feature.needed_for);
        Checked::new(feature.kind.label(), feature.name, outcome, detail)
    });
    [all].into_iter().chain(missing).collect()
}

/// The runtime takes the first configuration by name; a chain can hold one plugin more.
fn cni(args: &CheckArgs) -> Checked {
    let folder = &args.cni_conf_dir;
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| kind == "conflist" || kind == "conf")
        })
        .collect();
    files.sort();
    let about = folder.display().to_string();
    let Some(first) = files.first() else {
        return Checked::new(
            "cni",
            about,
            Found::Bad,
            "no configuration: the node has no network for pods yet",
        );
    };
    let text = fs::read_to_string(first).unwrap_or_default();
    let name = first.display();
    if text.contains(PLUGIN) {
        Checked::new("cni", about, Found::Good, format!("{name} has {PLUGIN}"))
    } else if args.pre {
        Checked::new("cni", about, Found::Good, format!("{name} can have one plugin more"))
    } else {
        let detail = format!("{name} has no {PLUGIN}: a pod's first packets may pass by the mesh");
        Checked::new("cni", about, Found::Warning, detail)
    }
}

fn agents(args: &CheckArgs) -> Vec<Checked> {
    let nodes = match inspect::nodes(&args.bpffs) {
        Ok(nodes) if !nodes.is_empty() => nodes,
        Ok(_) => return vec![Checked::new("agent", "this node", Found::Bad, "it has pinned nothing")],
        Err(error) => return vec![Checked::new("agent", "this node", Found::Bad, error.to_string())],
    };
    nodes.iter().flat_map(|node| agent(node)).collect()
}

fn agent(node: &str) -> Vec<Checked> {
    let agent = Agent::new(default_socket(node));
    let certificates: Vec<CertificateView> = match agent.get("/certificates") {
        Ok(certificates) => certificates,
        Err(error) => return vec![Checked::new("agent", node, Found::Bad, error.to_string())],
    };
    let answers = Checked::new(
        "agent",
        node,
        Found::Good,
        format!("answers at {}", agent.socket().display()),
    );
    [answers]
        .into_iter()
        .chain(certificates.iter().map(certificate))
        .collect()
}

fn certificate(view: &CertificateView) -> Checked {
    let about = format!("{}/{}", view.namespace, view.name);
    let time = view.seconds_left.map(left).unwrap_or_default();
    let (outcome, detail) = match view.state {
        CertificateState::Valid if view.ca_attended => (Found::Good, format!("{time} left")),
        CertificateState::Valid => (Found::Warning, format!("{time} left, and the CA is away")),
        CertificateState::Waiting => (Found::Warning, view.reason.clone().unwrap_or_default()),
        CertificateState::Expired => (
            Found::Bad,
            format!("expired: {}", view.reason.as_deref().unwrap_or_default()),
        ),
    };
    Checked::new("certificate", about, outcome, detail)
}

const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// By which name the runtime's configuration has Weft's plugin.
const PLUGIN: &str = "weft-cni";

const FLOOR: (u32, u32) = (5, 15);

/// As far as it goes.
const OLDEST: (u32, u32) = (5, 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_judged_by_their_floor() {
        let judged = |release| version("node-1", release).outcome;
        assert_eq!(judged("6.12.0-1-cloud-amd64"), Found::Good);
        assert_eq!(judged("5.15.0"), Found::Good);
        assert_eq!(judged("5.10.0-30-amd64"), Found::Warning);
        assert_eq!(judged("4.19.0"), Found::Bad);
        assert_eq!(judged("unknown"), Found::Warning);
    }
}
