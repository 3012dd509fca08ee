//! What an operator asks of the policies: may this one connect there?

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use super::Caller;
use crate::model::{Identity, Mesh, ObjectName, Pod};

/// Whether somebody may connect to a port.
///
/// [`fmt::Display`] and [`FromStr`] write and read it as the query of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who connects.
    pub from: From,
    /// His address, where `from` does not tell it.
    pub address: Option<IpAddr>,
    /// The labels of his pod, where `from` does not tell them.
    pub labels: BTreeMap<String, String>,
    /// Where to.
    pub to: To,
    /// The port: of the pod, or of the Service.
    pub port: u16,
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A pod, by namespace/name, name or UID.
    Pod(String),
    /// Whoever has this identity.
    Identity(Identity),
    /// Whoever has this address.
    Address(IpAddr),
}

/// Where somebody connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A pod, by namespace/name, name or UID: `pod/NAME`.
    Pod(String),
    /// A Service, by namespace/name or name: `svc/NAME`.
    Service(String),
    /// Either: pods go first.
    Any(String),
}

/// A text that names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is {expected}")]
pub struct Unnamed {
    text: String,
    expected: &'static str,
}

/// Who connects, as far as the mesh knows him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCaller {
    /// His pod.
    pub pod: Option<ObjectName>,
    /// What he can prove.
    pub identity: Option<Identity>,
    /// The labels of his pod.
    pub labels: Option<BTreeMap<String, String>>,
    /// His address.
    pub address: Option<IpAddr>,
}

// === impl Mesh ===

impl Mesh {
    /// Everybody of this node whom the question may mean; those of other nodes are known by their identity only.
    pub fn callers(&self, question: &Question) -> Vec<KnownCaller> {
        match &question.from {
            From::Pod(name) => {
                let pods = self.pods.values().filter(|pod| pod.is_called(name));
                pods.map(|pod| self.caller(pod, question.address)).collect()
            }
            From::Identity(identity) => vec![KnownCaller {
                pod: None,
                identity: Some(identity.clone()),
                labels: Some(question.labels.clone()),
                address: question.address,
            }],
            From::Address(address) => vec![match self.pod_at(*address) {
                Some(pod) => self.caller(pod, Some(*address)),
                None => KnownCaller {
                    pod: None,
                    identity: None,
                    labels: None,
                    address: Some(*address),
                },
            }],
        }
    }

    fn caller(&self, pod: &Arc<Pod>, address: Option<IpAddr>) -> KnownCaller {
        let proves = pod.enrolled();
        KnownCaller {
            pod: Some(pod.name.clone()),
            identity: proves
                .then(|| Identity::new(&self.config.trust_domain, &pod.name.namespace, &pod.service_account)),
            labels: proves.then(|| pod.labels.clone()),
            address: address.or_else(|| pod.ips.first().copied()),
        }
    }
}

// === impl Pod ===

impl Pod {
    /// Whether an operator means it by this name: namespace/name, name or UID.
    pub fn is_called(&self, name: &str) -> bool {
        match name.split_once('/') {
            Some((namespace, name)) => *self.name.namespace == *namespace && *self.name.name == *name,
            None => *self.name.name == *name || self.uid.as_str() == name,
        }
    }
}

// === impl KnownCaller ===

impl KnownCaller {
    /// As the policies see him.
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            identity: self.identity.as_ref(),
            labels: self.labels.as_ref(),
            address: self.address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        }
    }
}

// === impl Question ===

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            address,
            labels,
            to,
            port,
        } = self;
        write!(f, "from={from}&to={to}&port={port}")?;
        if let Some(address) = address {
            write!(f, "&address={address}")?;
        }
        labels
            .iter()
            .try_for_each(|(key, value)| write!(f, "&label={key}={value}"))
    }
}

impl FromStr for Question {
    type Err = Unnamed;

    fn from_str(query: &str) -> Result<Self, Unnamed> {
        let (mut from, mut to, mut port, mut address, mut labels) = (None, None, None, None, BTreeMap::new());
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("from", text)) => from = Some(text.parse()?),
                Some(("to", text)) => to = Some(text.parse()?),
                Some(("port", text)) => port = Some(parsed(text, "no port")?),
                Some(("address", text)) => address = Some(parsed(text, "no IP address")?),
                Some(("label", text)) => labels.extend([label(text)?]),
                Some(_) | None => return Err(unnamed(pair, "no part of the question")),
            }
        }
        let missing = || unnamed(query, "not the whole question: from, to and port are needed");
        Ok(Self {
            from: from.ok_or_else(missing)?,
            address,
            labels,
            to: to.ok_or_else(missing)?,
            port: port.ok_or_else(missing)?,
        })
    }
}

/// Reads a label, `key=value`.
pub fn label(text: &str) -> Result<(String, String), Unnamed> {
    match text.split_once('=') {
        Some((key, value)) if is_name(key) && (value.is_empty() || is_name(value)) => Ok((key.into(), value.into())),
        Some(_) | None => Err(unnamed(text, "no label KEY=VALUE")),
    }
}

// === impl From ===

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => f.write_str(name),
            Self::Identity(identity) => identity.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for From {
    type Err = Unnamed;

    fn from_str(text: &str) -> Result<Self, Unnamed> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        if text.starts_with("spiffe:") {
            return parsed(text, "no identity of a workload").map(Self::Identity);
        }
        if is_name(text) {
            Ok(Self::Pod(text.to_owned()))
        } else {
            Err(unnamed(text, "neither a pod, nor an identity, nor an IP address"))
        }
    }
}

// === impl To ===

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Pod(name) => ("pod/", name),
            Self::Service(name) => ("svc/", name),
            Self::Any(name) => ("", name),
        };
        f.write_str(kind)?;
        f.write_str(name)
    }
}

impl FromStr for To {
    type Err = Unnamed;

    fn from_str(text: &str) -> Result<Self, Unnamed> {
        if !is_name(text) {
            return Err(unnamed(text, "neither a pod nor a Service"));
        }
        let (pod, service) = (text.strip_prefix("pod/"), text.strip_prefix("svc/"));
        Ok(match (pod, service) {
            (Some(name), _) => Self::Pod(name.to_owned()),
            (None, Some(name)) => Self::Service(name.to_owned()),
            (None, None) => Self::Any(text.to_owned()),
        })
    }
}

/// Whether a text has only letters that names, UIDs and labels have; a URL takes all of them as they are.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
}

fn parsed<T: FromStr>(text: &str, expected: &'static str) -> Result<T, Unnamed> {
    text.parse().ok().ok_or_else(|| unnamed(text, expected))
}

fn unnamed(text: &str, expected: &'static str) -> Unnamed {
    Unnamed {
        text: text.to_owned(),
        expected,
    }
}
