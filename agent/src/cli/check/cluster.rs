//! A cluster, by what its API server tells.

use std::{collections::BTreeSet, time::SystemTime};

use super::{CheckArgs, Checked, Error, Found, local::version};
use crate::{
    cli::output::left,
    cluster::{
        api::ApiServer,
        survey::{NodeFact, ReplicaFact, Survey, permissions},
    },
    telemetry::seconds_between,
    tls::pem_ends,
};

pub(super) async fn check(args: &CheckArgs) -> Result<Vec<Checked>, Error> {
    let api = ApiServer::new(args.cluster.file().as_deref()).await?;
    let survey = Survey::take(&api, &args.cluster.system_namespace).await?;
    let mut checked = vec![server(&survey.server)];
    checked.extend(survey.nodes.iter().map(node));
    if args.pre {
        let permissions = permissions(&api).await?.into_iter();
        checked.extend(
            permissions
                .map(|permission| Checked::must("permission", permission.what, permission.allowed, "of this user")),
        );
        return Ok(checked);
    }
    checked.extend(installed(&survey, SystemTime::now()));
    Ok(checked)
}

/// The validation of Weft's kinds needs functions that API servers have since 1.31.
fn server(version: &str) -> Checked {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    let parsed = numbers
        .next()
        .and_then(Result::ok)
        .zip(numbers.next().and_then(Result::ok));
    let new_enough = parsed.is_some_and(|version| version >= OLDEST_SERVER);
    let detail = if new_enough {
        version.to_owned()
    } else {
        format!("{version}: 1.31 is needed")
    };
    Checked::must("api server", "cluster", new_enough, detail)
}

fn node(node: &NodeFact) -> Checked {
    if !node.may_have_agent() {
        let detail = format!("{}: pods there stay outside", node.operating_system);
        return Checked::new("kernel", node.name.as_str(), Found::Warning, detail);
    }
    let judged = version(&node.name, &node.kernel);
    Checked {
        detail: format!("{}, {}", judged.detail, node.runtime),
        ..judged
    }
}

fn installed(survey: &Survey, now: SystemTime) -> Vec<Checked> {
    let mut checked = Vec::new();
    for kind in &survey.missing_kinds {
        checked.push(Checked::new(
            "kinds",
            kind.as_str(),
            Found::Bad,
            "the API server does not know it",
        ));
    }
    checked.extend(survey.nodes.iter().filter(|node| node.may_have_agent()).map(agent));
    checked.extend(replicas("ca", &survey.ca, Found::Bad));
    checked.extend(replicas("controller", &survey.controller, Found::Warning));
    checked.push(leader(survey));
    checked.push(versions(survey));
    checked.extend(roots(survey, now));
    for policy in &survey.policies {
        let about = format!("{} {}", policy.kind, policy.name);
        match policy.accepted {
            Some(true) => {}
            Some(false) => {
                let message = policy.message.as_deref().unwrap_or("not accepted");
                checked.push(Checked::new("policy", about, Found::Bad, message));
            }
            None => checked.push(Checked::new(
                "policy",
                about,
                Found::Warning,
                "the controller has said nothing yet",
            )),
        }
    }
    for pod in &survey.unprotected {
        let outcome = if pod.reason.is_meant() {
            Found::Warning
        } else {
            Found::Bad
        };
        let detail = format!("not in the mesh: {}, on {}", pod.reason.label(), pod.node);
        checked.push(Checked::new("pod", pod.pod.as_str(), outcome, detail));
    }
    checked
}

fn agent(node: &NodeFact) -> Checked {
    let about = node.name.as_str();
    match &node.agent {
        None => Checked::new("agent", about, Found::Bad, "the node has none"),
        Some(agent) if !agent.ready => Checked::new("agent", about, Found::Bad, format!("{} is not ready", agent.pod)),
        Some(_) if node.waits => Checked::new(
            "agent",
            about,
            Found::Warning,
            "ready, and the node's taint is still there",
        ),
        Some(agent) => Checked::new("agent", about, Found::Good, format!("{} {}", agent.pod, agent.version)),
    }
}

/// One that is ready will do; without any it is as bad as said.
fn replicas(check: &'static str, replicas: &[ReplicaFact], without: Found) -> Vec<Checked> {
    let ready = replicas.iter().filter(|replica| replica.ready).count();
    let outcome = match ready {
        0 => without,
        _ if ready < replicas.len() => Found::Warning,
        _ => Found::Good,
    };
    let detail = format!("{ready} of {} replicas are ready", replicas.len());
    vec![Checked::new(check, "cluster", outcome, detail)]
}

fn leader(survey: &Survey) -> Checked {
    let (outcome, detail) = match &survey.lease {
        None => (Found::Warning, "nobody has ever led".to_owned()),
        Some(lease) if lease.holds() => (Found::Good, format!("{} leads", lease.holder)),
        Some(lease) => {
            let detail = format!("{} led until {} ago", lease.holder, left(lease.age_seconds));
            (Found::Warning, detail)
        }
    };
    Checked::new("lease", "cluster", outcome, detail)
}

/// Agents of two versions speak with each other: that is an upgrade under way.
fn versions(survey: &Survey) -> Checked {
    let agents = survey.nodes.iter().filter_map(|node| node.agent.as_ref());
    let all = agents.chain(&survey.ca).chain(&survey.controller);
    let versions: BTreeSet<&str> = all.map(|replica| replica.version.as_str()).collect();
    let outcome = if versions.len() > 1 {
        Found::Warning
    } else {
        Found::Good
    };
    let detail = versions.into_iter().collect::<Vec<_>>().join(", ");
    Checked::new("versions", "cluster", outcome, detail)
}

fn roots(survey: &Survey, now: SystemTime) -> Vec<Checked> {
    let Some(bundle) = &survey.bundle else {
        let detail = "the CA has not written its roots yet";
        return vec![Checked::new("root", "weft-ca-bundle", Found::Bad, detail)];
    };
    let ends = match pem_ends(bundle) {
        Ok(ends) => ends,
        Err(error) => return vec![Checked::new("root", "weft-ca-bundle", Found::Bad, error.to_string())],
    };
    ends.into_iter()
        .map(|end| {
            let seconds = seconds_between(now, end);
            let outcome = match seconds {
                ..=0 => Found::Bad,
                1..SOON => Found::Warning,
                _ => Found::Good,
            };
            Checked::new("root", "weft-ca-bundle", outcome, format!("{} left", left(seconds)))
        })
        .collect()
}

const OLDEST_SERVER: (u32, u32) = (1, 31);

/// A root whose end is nearer than 30 days is told, in seconds.
const SOON: i64 = 30 * 86_400;

#[cfg(test)]
mod tests;
