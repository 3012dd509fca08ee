//! What goes wrong for the runtime to know: the error of the CNI specification.

use serde::Serialize;

/// Why the plugin cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The network's version is not one that the plugin speaks.
    #[error("CNI version {0} is not supported")]
    Version(String),
    /// A variable of the environment lacks or has no sense.
    #[error("{variable} {problem}")]
    Environment {
        /// Which one.
        variable: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What the runtime wrote cannot be read.
    #[error("the network's configuration cannot be read")]
    Read(#[source] std::io::Error),
    /// What the runtime wrote is too long.
    #[error("the network's configuration has more than {0} bytes")]
    TooLong(u64),
    /// What the runtime wrote is not understood.
    #[error("the network's configuration is not understood")]
    Decode(#[source] serde_json::Error),
    /// There is no plugin before this one.
    #[error("there is no prevResult: weft-cni must come after the plugin that makes the pod's network")]
    NotChained,
    /// The pod's namespace cannot be opened.
    #[error("cannot open the pod's network namespace")]
    Namespace(#[source] crate::net::NetError),
    /// The pod cannot be let start yet.
    #[error("the pod is to be in the mesh and is not captured yet: {0}")]
    Wait(String),
    /// The pod is not as ADD has left it.
    #[error("the pod is to be in the mesh and is not captured: {0}")]
    Drift(String),
}

/// The error as the runtime reads it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    cni_version: String,
    code: u32,
    msg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    details: String,
}

// === impl Failure ===

impl Failure {
    /// The code: below 100 they are the specification's.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::Version(_) => 1,
            Self::Environment { .. } => 4,
            Self::Read(_) | Self::Namespace(_) => 5,
            Self::TooLong(_) | Self::Decode(_) => 6,
            Self::NotChained => 7,
            Self::Wait(_) => 11,
            Self::Drift(_) => 100,
        }
    }

    /// Writes it in the words of a version of the specification.
    pub(super) fn written(&self, cni_version: &str) -> Written {
        let mut source = std::error::Error::source(self);
        let mut causes = Vec::new();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Written {
            cni_version: cni_version.to_owned(),
            code: self.code(),
            msg: format!("weft: {self}"),
            details: causes.join(": "),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_written_as_the_specification_says() {
        let wait = Failure::Wait("the agent is away".to_owned());
        assert_eq!(
            serde_json::to_value(wait.written("1.0.0")).unwrap(),
            json!({
                "cniVersion": "1.0.0",
                "code": 11,
                "msg": "weft: the pod is to be in the mesh and is not captured yet: the agent is away",
            })
        );
        let decode = Failure::Decode(serde_json::from_str::<u8>("x").unwrap_err());
        let written = serde_json::to_value(decode.written("1.1.0")).unwrap();
        assert_eq!((&written["code"], written["details"].is_string()), (&json!(6), true));
    }
}
