//! What policies decide: both sides of each rule.

mod authentication;
mod authorization;
mod change;
mod question;
mod random;
mod remote;
mod source;
mod targets;

use super::{sample::*, *};
use crate::model::{
    Identity, Mesh, Pod,
    sample::{mk_ip, mk_pod},
};

/// What is decided about a connection to a port of `default/web`, in words.
fn decided(mesh: &Mesh, port: u16, caller: &Caller<'_>) -> String {
    let pod = web(mesh);
    let Decision { verdict, by, audited } = mesh.authorise(&pod, port, caller);
    let verdict = match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied(why) => why.label(),
    };
    let by = by.map(|by| match by.rule {
        Some(rule) => format!(" by {}[{rule}]", by.policy.name),
        None => format!(" by {}", by.policy.name),
    });
    let audited: String = audited.iter().map(|policy| format!(" audit {}", policy.name)).collect();
    format!("{verdict}{}{audited}", by.unwrap_or_default())
}

fn web(mesh: &Mesh) -> Arc<Pod> {
    let mut pods = mesh.pods.values();
    Arc::clone(pods.find(|pod| &*pod.name.name == "web").expect("the mesh has it"))
}

/// A caller with an identity at an address.
fn proven<'a>(identity: &'a Identity, address: &str) -> Caller<'a> {
    Caller {
        identity: Some(identity),
        labels: None,
        address: mk_ip(address),
    }
}

fn plaintext(address: &str) -> Caller<'static> {
    Caller::unproven(mk_ip(address))
}

/// The decision of one policy with one rule about a caller, on port 80.
fn alone(action: Action, source: Source, caller: &Caller<'_>) -> String {
    let policy = mk_authorization("p", action, vec![mk_rule(source)]);
    let mesh = mk_guarded(vec![mk_pod("web", "10.0.0.1")], mk_policies(vec![policy], vec![]));
    decided(&mesh, 80, caller)
}

fn cart() -> Identity {
    mk_identity("shop", "cart")
}

fn principal(text: &str) -> Principal {
    let (namespace, account) = text.split_once('/').expect("namespace/account");
    match account {
        "*" => Principal::Namespace {
            trust_domain: None,
            namespace: namespace.into(),
        },
        account => Principal::Account {
            trust_domain: None,
            namespace: namespace.into(),
            service_account: account.into(),
        },
    }
}

const ALLOWED: &str = "allowed by default/p[0]";
const UNMATCHED: &str = "no_allow_matches by default/p";
const DENIED: &str = "deny_matches by default/p[0]";
