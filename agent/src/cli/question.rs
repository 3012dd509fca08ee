//! The question that `weft policy test` and `weft debug policy test` ask, and how its answer is told.

use std::{collections::BTreeMap, net::IpAddr};

use clap::Args;

use crate::model::{Explanation, PolicyFrom, PolicyTo, Question, policy_label};

/// Who wants to connect where.
#[derive(Args, Clone, Debug)]
pub(super) struct Asked {
    /// Who connects: a pod (namespace/name, name or UID), an identity (spiffe://…), or an IP address, whose owner has proven
    /// nothing unless it is a pod's
    #[arg(long, value_name = "POD|IDENTITY|IP")]
    from: PolicyFrom,

    /// Where to: a pod, or a Service, which means the pods behind it; `pod/NAME` and `svc/NAME` say which of the two
    #[arg(long, value_name = "POD|SERVICE")]
    to: PolicyTo,

    /// The port: of the pod, or of the Service
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// The client's address, where an identity is named [default: none, which is in no range but ::/0 and 0.0.0.0/0]
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,

    /// A label of the client's pod, where an identity is named; may stand several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = policy_label)]
    labels: Vec<(String, String)>,
}

// === impl Asked ===

impl Asked {
    pub(super) fn question(self) -> Question {
        let Self {
            from,
            to,
            port,
            address,
            labels,
        } = self;
        Question {
            from,
            address,
            labels: labels.into_iter().collect::<BTreeMap<_, _>>(),
            to,
            port,
        }
    }
}

/// The answer in words.
pub(super) fn told(explained: &[Explanation]) -> String {
    let told: Vec<String> = explained.iter().map(ToString::to_string).collect();
    told.join("\n")
}

/// Whether everybody who was asked about gets in everywhere.
pub(super) fn all_allowed(explained: &[Explanation]) -> bool {
    explained.iter().all(|explanation| explanation.allowed)
}

/// The exit code for a refused connection.
pub(super) const DENIED: u8 = 3;
