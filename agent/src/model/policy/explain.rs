//! Why a connection is let in or refused, by the same code that decides.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Decision, KnownCaller, Question, Setting, To, Verdict, Why};
use crate::model::{Mesh, MtlsMode, Pod, Transport};

/// What becomes of a connection to one pod. The names of its fields are a stable interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Who connects: his pod as `namespace/name`, where he is one.
    pub from_pod: Option<String>,
    /// What he proves.
    pub from_identity: Option<String>,
    /// The labels that come with it.
    pub from_labels: BTreeMap<String, String>,
    /// His address, where it is known.
    pub from_address: Option<IpAddr>,
    /// The pod that he connects to, as `namespace/name`.
    pub pod: String,
    /// The pod's port.
    pub port: u16,
    /// The pod's node.
    pub node: String,
    /// `mtls` or `plaintext`.
    pub transport: String,
    /// Whether he gets in.
    pub allowed: bool,
    /// Why: one word of a closed list.
    pub reason: String,
    /// The policy that decides, as `Kind namespace/name`; where no ALLOW policy matches, the first of them. None where
    /// nothing but a default decides.
    pub policy: Option<String>,
    /// The path of the rule in it.
    pub rule: Option<String>,
    /// The mode of mutual TLS.
    pub mtls_mode: String,
    /// The policy that says so; none for the mesh's default.
    pub mtls_policy: Option<String>,
    /// From where plaintext is taken though the mode is Strict.
    pub plaintext_from: Vec<String>,
    /// The AUDIT policies that record it.
    pub audited: Vec<String>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// Nobody of this node is meant.
    #[error(
        "no pod here is called {0}; an agent knows only its own node's, one of another node is named by what it proves: \
         --from spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT --label KEY=VALUE --address IP"
    )]
    NoCaller(String),
    /// There is nothing of that name here.
    #[error("no pod here and no Service with such a port and a pod here is called {0}")]
    NoDestination(String),
}

// === impl Mesh ===

impl Mesh {
    /// Answers a question, once for each pod of this node that is meant and each caller.
    pub fn explain(&self, question: &Question) -> Result<Vec<Explanation>, Unanswerable> {
        explain(std::slice::from_ref(self), question)
    }

    /// The pods of this node that are meant, each with its own port.
    fn destinations(&self, question: &Question) -> Vec<(&Arc<Pod>, u16)> {
        let by_pod = |name: &str| {
            let pods = self.pods.values().filter(|pod| pod.is_called(name));
            pods.map(|pod| (pod, question.port)).collect::<Vec<_>>()
        };
        match &question.to {
            To::Pod(name) => by_pod(name),
            To::Service(name) => self.behind(name, question.port),
            To::Any(name) => {
                let pods = by_pod(name);
                if pods.is_empty() {
                    self.behind(name, question.port)
                } else {
                    pods
                }
            }
        }
    }

    fn behind(&self, service: &str, port: u16) -> Vec<(&Arc<Pod>, u16)> {
        let services = self
            .services
            .values()
            .filter(|candidate| match service.split_once('/') {
                Some((namespace, name)) => *candidate.name.namespace == *namespace && *candidate.name.name == *name,
                None => *candidate.name.name == *service,
            });
        let ports = services.flat_map(|service| &service.ports);
        let ports = ports.filter(|served| served.port == port && served.transport == Transport::Tcp);
        let mut found: Vec<(&Arc<Pod>, u16)> = ports
            .flat_map(|port| &port.endpoints)
            .filter_map(|endpoint| {
                let (uid, _) = endpoint.pod.as_ref()?;
                Some((self.pods.get(uid)?, endpoint.address.port()))
            })
            .collect();
        // A pod has an endpoint for each family.
        found.sort_by(|one, other| (&one.0.name, one.1).cmp(&(&other.0.name, other.1)));
        found.dedup_by(|one, other| one.0.uid == other.0.uid && one.1 == other.1);
        found
    }

    fn explained(&self, pod: &Pod, port: u16, known: &KnownCaller) -> Explanation {
        let caller = known.caller();
        let Decision { verdict, by, audited } = self.authorise(pod, port, &caller);
        let encrypted = known.identity.is_some() && pod.enrolled();
        let (allowed, reason) = match verdict {
            _ if !pod.enrolled() => (true, "not_enrolled"),
            Verdict::Denied(Why::NotUnderstood) => (false, Why::NotUnderstood.label()),
            Verdict::Allowed | Verdict::Denied(_)
                if !encrypted && !self.admits_plaintext(pod, port, caller.address) =>
            {
                (false, "plaintext_refused")
            }
            Verdict::Denied(why) => (false, why.label()),
            Verdict::Allowed if by.is_some() => (true, "allow_matches"),
            Verdict::Allowed => (true, "no_allow_policy"),
        };
        let authentication = self.authentication(pod, port).cloned().unwrap_or_default();
        let decided = by.filter(|_| pod.enrolled() && reason != "plaintext_refused");
        let by_mode = policy_of(&authentication.mode);
        Explanation {
            from_pod: known.pod.as_ref().map(ToString::to_string),
            from_identity: known.identity.as_ref().map(ToString::to_string),
            from_labels: known.labels.clone().unwrap_or_default(),
            from_address: known.address,
            pod: pod.name.to_string(),
            port,
            node: self.node.to_string(),
            transport: if encrypted { "mtls" } else { "plaintext" }.to_owned(),
            allowed,
            reason: reason.to_owned(),
            policy: match reason {
                "plaintext_refused" => by_mode.clone(),
                _ => decided.as_ref().map(|decider| decider.policy.to_string()),
            },
            rule: decided
                .and_then(|decider| decider.rule)
                .map(|rule| format!("spec.rules[{rule}]")),
            mtls_mode: authentication.mode.value.label().to_owned(),
            mtls_policy: by_mode,
            plaintext_from: match authentication.mode.value {
                MtlsMode::Permissive => Vec::new(),
                MtlsMode::Strict => authentication
                    .plaintext_from
                    .value
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            },
            audited: audited.iter().map(|policy| policy.name.to_string()).collect(),
        }
    }
}

/// Answers a question where each mesh is that of another node.
pub fn explain(meshes: &[Mesh], question: &Question) -> Result<Vec<Explanation>, Unanswerable> {
    let mut callers: Vec<KnownCaller> = meshes.iter().flat_map(|mesh| mesh.callers(question)).collect();
    // An address is a pod's for one node, and nobody's for the others.
    callers.sort_by_key(|caller| caller.pod.is_none());
    if let super::From::Identity(_) | super::From::Address(_) = question.from {
        callers.truncate(1);
    }
    if callers.is_empty() {
        return Err(Unanswerable::NoCaller(question.from.to_string()));
    }
    let explained: Vec<Explanation> = meshes
        .iter()
        .flat_map(|mesh| {
            mesh.destinations(question)
                .into_iter()
                .map(move |(pod, port)| (mesh, pod, port))
        })
        .flat_map(|(mesh, pod, port)| callers.iter().map(move |caller| mesh.explained(pod, port, caller)))
        .collect();
    if explained.is_empty() {
        return Err(Unanswerable::NoDestination(question.to.to_string()));
    }
    Ok(explained)
}

fn policy_of<T>(setting: &Setting<T>) -> Option<String> {
    setting.by.as_ref().map(ToString::to_string)
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    /// A line with the verdict, and what it comes from below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from_pod,
            from_identity,
            from_labels,
            from_address,
            pod,
            port,
            node,
            transport,
            allowed,
            reason,
            policy,
            rule,
            mtls_mode,
            mtls_policy,
            plaintext_from,
            audited,
        } = self;
        let verdict = if *allowed { "allowed" } else { "denied" };
        writeln!(f, "{pod} port {port} on {node}: {verdict} ({reason})")?;
        let labels = from_labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(",");
        let known = [
            from_identity
                .as_ref()
                .map_or_else(|| "nobody proven".to_owned(), Clone::clone),
            from_pod.as_ref().map(|pod| format!("pod {pod}")).unwrap_or_default(),
            from_address.map(|address| format!("at {address}")).unwrap_or_default(),
            Some(labels)
                .filter(|labels| !labels.is_empty())
                .map(|labels| format!("with {labels}"))
                .unwrap_or_default(),
            format!("by {transport}"),
        ];
        let known: Vec<String> = known.into_iter().filter(|part| !part.is_empty()).collect();
        writeln!(f, "  from     {}", known.join(", "))?;
        let decided = policy.as_deref().unwrap_or("no policy");
        match rule {
            Some(rule) => writeln!(f, "  decided  {decided}, {rule}")?,
            None if *reason == *Why::NoAllowMatches.label() => {
                writeln!(
                    f,
                    "  decided  {decided}, which lets in others; no other ALLOW policy matches either"
                )?;
            }
            None => writeln!(f, "  decided  {decided}")?,
        }
        write!(
            f,
            "  mtls     {mtls_mode}, by {}",
            mtls_policy.as_deref().unwrap_or("the mesh's default")
        )?;
        if !plaintext_from.is_empty() {
            write!(f, ", plaintext from {}", plaintext_from.join(","))?;
        }
        if !audited.is_empty() {
            write!(f, "\n  audited  {}", audited.join(", "))?;
        }
        Ok(())
    }
}
