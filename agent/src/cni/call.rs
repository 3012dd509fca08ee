//! What the runtime asks: the environment of the plugin.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// What the runtime asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A pod's network was made.
    Add(Attachment),
    /// A pod's network is about to be taken down; its namespace may be gone.
    Del(Attachment),
    /// Is a pod's network as it was made?
    Check(Attachment),
    /// Could a pod be added?
    Status,
    /// Which attachments are left.
    Gc,
    /// Which versions are spoken?
    Version,
}

/// A pod's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    /// The runtime's name of the pod's sandbox.
    pub(super) container: String,
    /// The namespace's path.
    pub(super) netns: Option<PathBuf>,
    /// Whose it is; none where the runtime is not Kubernetes'.
    pub(super) pod: Option<PodRef>,
}

/// A pod as the kubelet names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PodRef {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Old runtimes do not tell it.
    pub(super) uid: Option<String>,
}

// === impl Call ===

impl Call {
    /// Reads it from the environment.
    pub(super) fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Failure> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let command = needed(COMMAND, variable(COMMAND))?;
        Ok(match command.as_str() {
            "ADD" => Self::Add(Attachment::read(variable)?.with_namespace()?),
            "DEL" => Self::Del(Attachment::read(variable)?),
            "CHECK" => Self::Check(Attachment::read(variable)?.with_namespace()?),
            "STATUS" => Self::Status,
            "GC" => Self::Gc,
            "VERSION" => Self::Version,
            _ => {
                return Err(Failure::Environment {
                    variable: COMMAND,
                    problem: "is none of ADD, DEL, CHECK, STATUS, GC and VERSION",
                });
            }
        })
    }
}

// === impl Attachment ===

impl Attachment {
    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Failure> {
        let container = needed("CNI_CONTAINERID", variable("CNI_CONTAINERID"))?;
        needed("CNI_IFNAME", variable("CNI_IFNAME"))?;
        Ok(Self {
            container,
            netns: variable("CNI_NETNS").map(Into::into),
            pod: variable("CNI_ARGS").as_deref().and_then(PodRef::read),
        })
    }

    fn with_namespace(self) -> Result<Self, Failure> {
        match self.netns {
            Some(_) => Ok(self),
            None => Err(lacks("CNI_NETNS")),
        }
    }
}

// === impl PodRef ===

impl PodRef {
    /// Reads `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;…`.
    fn read(arguments: &str) -> Option<Self> {
        let value = |wanted: &str| {
            let mut pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(key, _)| *key == wanted)?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        Some(Self {
            namespace: value("K8S_POD_NAMESPACE")?,
            name: value("K8S_POD_NAME")?,
            uid: value("K8S_POD_UID"),
        })
    }
}

fn needed(variable: &'static str, value: Option<String>) -> Result<String, Failure> {
    value.ok_or_else(|| lacks(variable))
}

fn lacks(variable: &'static str) -> Failure {
    Failure::Environment {
        variable,
        problem: "is not set",
    }
}

/// The variable that says what is asked.
pub(super) const COMMAND: &str = "CNI_COMMAND";

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: [(&str, &str); 5] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_IFNAME", "eth0"),
        (
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1",
        ),
    ];

    fn read(changed: &[(&str, &str)]) -> Result<Call, Failure> {
        Call::read(|name| {
            let pairs = changed.iter().chain(&ADD);
            let mut found = pairs.filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    fn mk_attachment(uid: Option<&str>) -> Attachment {
        Attachment {
            container: "c1".to_owned(),
            netns: Some("/run/netns/x".into()),
            pod: Some(PodRef {
                namespace: "shop".to_owned(),
                name: "cart-0".to_owned(),
                uid: uid.map(str::to_owned),
            }),
        }
    }

    #[test]
    fn an_add_tells_the_pod_and_its_namespace() {
        assert_eq!(read(&[]).unwrap(), Call::Add(mk_attachment(Some("u1"))));
        let old = read(&[("CNI_ARGS", "K8S_POD_NAME=cart-0;K8S_POD_NAMESPACE=shop")]).unwrap();
        assert_eq!(old, Call::Add(mk_attachment(None)));
    }

    #[test]
    fn without_kubernetes_there_is_no_pod() {
        for arguments in [
            "",
            "IgnoreUnknown=1",
            "K8S_POD_NAME=cart-0",
            "K8S_POD_NAMESPACE=;K8S_POD_NAME=x",
        ] {
            let Call::Add(attachment) = read(&[("CNI_ARGS", arguments)]).unwrap() else {
                panic!("it is an ADD");
            };
            assert_eq!(attachment.pod, None, "{arguments}");
        }
    }

    #[test]
    fn what_must_be_there_is_missed_and_a_namespace_only_where_it_must_be() {
        for variable in ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
            assert_eq!(read(&[(variable, "")]).unwrap_err().code(), 4, "{variable}");
        }
        assert!(read(&[("CNI_COMMAND", "MOVE")]).is_err());
        let gone = [("CNI_COMMAND", "DEL"), ("CNI_NETNS", "")];
        assert!(matches!(read(&gone), Ok(Call::Del(Attachment { netns: None, .. }))));
        let alone = [("CNI_COMMAND", "VERSION"), ("CNI_CONTAINERID", ""), ("CNI_NETNS", "")];
        assert_eq!(read(&alone).unwrap(), Call::Version);
    }
}
