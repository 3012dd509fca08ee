//! `pod`: the node's pods, from the agent (names, enrolment) and from the pins (what is really captured).

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, listed, or_dash},
    kernel::inspect::{InspectError, PinnedPod},
    model::PodView,
};

/// A pod, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PodRow {
    /// The namespace; only the agent knows it.
    pub(super) namespace: Option<String>,
    /// The name; only the agent knows it.
    pub(super) name: Option<String>,
    /// The UID.
    pub(super) uid: String,
    /// Whether it should be in the mesh; only the agent knows it.
    pub(super) enrolled: Option<bool>,
    /// Why it is not; of a pod in the mesh, why it is not captured yet.
    pub(super) reason: Option<String>,
    /// Whether the kernel captures its new connections.
    pub(super) captured: bool,
    /// How long the CNI plugin held its start until it was captured; only the agent knows it.
    #[serde(default)]
    pub(super) held_seconds: Option<f64>,
    /// Devices whose connections are not captured; only the agent knows them.
    pub(super) uncaptured_devices: Vec<String>,
    /// `open` or `closed`.
    pub(super) on_agent_failure: Option<String>,
    /// The cookie of its network namespace.
    pub(super) netns_cookie: Option<u64>,
    /// The inode of its network namespace; 0 when it is gone.
    pub(super) netns_ino: Option<u64>,
    /// Its addresses: those that the kernel program knows, else those of its status.
    pub(super) addresses: Vec<IpAddr>,
    /// The ports which the kubelet probes.
    pub(super) probe_ports: Vec<u16>,
    /// Whether its DNS queries come to the agent.
    pub(super) captures_dns: bool,
    /// The link of its kernel program.
    pub(super) link_id: Option<u32>,
    /// Connections that found a full backlog in its namespace.
    pub(super) listen_overflows: Option<u64>,
}

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.pods, "pods", collect)
}

/// The pods of the agent and of the pins, by name, those without a name last.
pub(super) fn collect(context: &Context) -> Result<Vec<PodRow>, DebugError> {
    let told = context.told::<Vec<PodView>>("/mesh/pods")?;
    let pinned = match context.pins() {
        Ok(pins) => pins.pods()?,
        // An agent that has just started has pinned nothing yet.
        Err(DebugError::Kernel(InspectError::NoPins { .. })) if told.is_some() => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(merge(told.unwrap_or_default(), pinned))
}

fn merge(told: Vec<PodView>, pinned: Vec<PinnedPod>) -> Vec<PodRow> {
    let mut pinned = pinned
        .into_iter()
        .map(|pod| (pod.uid.clone(), pod))
        .collect::<BTreeMap<_, _>>();
    let mut rows = told
        .into_iter()
        .map(|pod| {
            let kernel = pinned.remove(&pod.uid);
            PodRow::named(pod, kernel)
        })
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows.extend(pinned.into_values().map(PodRow::from));
    rows
}

// === impl PodRow ===

impl PodRow {
    /// A pod of which the agent knows.
    fn named(told: PodView, pinned: Option<PinnedPod>) -> Self {
        let PodView {
            uid,
            namespace,
            name,
            service_account: _,
            enrolled,
            reason,
            on_agent_failure,
            ips,
            probe_ports,
            terminating: _,
            waiting,
            held_seconds,
            uncaptured_devices,
        } = told;
        let kernel = pinned.map(Self::from);
        Self {
            namespace: Some(namespace),
            name: Some(name),
            enrolled: Some(enrolled),
            reason: reason.or(waiting),
            held_seconds,
            uncaptured_devices,
            captured: kernel.as_ref().is_some_and(|pod| pod.captured),
            on_agent_failure: Some(on_agent_failure),
            netns_cookie: kernel.as_ref().and_then(|pod| pod.netns_cookie),
            netns_ino: kernel.as_ref().and_then(|pod| pod.netns_ino),
            captures_dns: kernel.as_ref().is_some_and(|pod| pod.captures_dns),
            link_id: kernel.as_ref().and_then(|pod| pod.link_id),
            listen_overflows: kernel.as_ref().and_then(|pod| pod.listen_overflows),
            addresses: kernel.map_or(ips, |pod| pod.addresses),
            probe_ports,
            uid,
        }
    }

    /// `namespace/name`, or the UID where only that is known.
    pub(super) fn label(&self) -> String {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (Some(_) | None, _) => self.uid.clone(),
        }
    }

    /// Whether this is the pod that is meant by `namespace/name`, by the name alone or by the UID.
    pub(super) fn is_called(&self, wanted: &str) -> bool {
        self.uid == wanted || self.label() == wanted || self.name.as_deref() == Some(wanted)
    }
}

impl From<PinnedPod> for PodRow {
    fn from(pod: PinnedPod) -> Self {
        let PinnedPod {
            uid,
            netns_cookie,
            netns_ino,
            marked,
            on_agent_failure,
            addresses,
            probe_ports,
            captures_dns,
            link_id,
            listen_overflows,
        } = pod;
        Self {
            namespace: None,
            name: None,
            uid,
            enrolled: None,
            reason: None,
            captured: marked && link_id.is_some(),
            held_seconds: None,
            uncaptured_devices: Vec::new(),
            on_agent_failure,
            netns_cookie,
            netns_ino,
            addresses,
            probe_ports,
            captures_dns,
            link_id,
            listen_overflows,
        }
    }
}

impl Row for PodRow {
    const COLUMNS: &'static [&'static str] = &[
        "NAMESPACE",
        "NAME",
        "ENROLLED",
        "CAPTURED",
        "HELD",
        "ADDRESSES",
        "ON-FAILURE",
        "NETNS",
        "COOKIE",
        "LINK",
        "OVERFLOWS",
        "UID",
    ];

    fn cells(&self) -> Vec<String> {
        let enrolled = match (self.enrolled, &self.reason) {
            (Some(true), _) => "yes".to_owned(),
            (Some(false), Some(reason)) => format!("no ({reason})"),
            (Some(false), None) => "no".to_owned(),
            (None, _) => "-".to_owned(),
        };
        let captured = match (self.captured, &self.reason) {
            (true, _) if self.uncaptured_devices.is_empty() => "yes".to_owned(),
            (true, _) => format!("partly (not {})", listed(&self.uncaptured_devices)),
            (false, Some(reason)) if self.enrolled == Some(true) => format!("no ({reason})"),
            (false, Some(_) | None) => "no".to_owned(),
        };
        vec![
            or_dash(self.namespace.as_deref()),
            or_dash(self.name.as_deref()),
            enrolled,
            captured,
            or_dash(self.held_seconds.map(|seconds| format!("{:.0}ms", seconds * 1000.0))),
            listed(self.addresses.iter().filter(|ip| reaches_others(**ip))),
            or_dash(self.on_agent_failure.as_deref()),
            or_dash(self.netns_ino),
            or_dash(self.netns_cookie),
            or_dash(self.link_id),
            or_dash(self.listen_overflows),
            self.uid.clone(),
        ]
    }
}

/// Whether others reach the pod by this address; loopback and link-local ones would only widen the table.
fn reaches_others(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_agent_and_kernel_know_is_joined_by_uid() {
        let rows = merge(
            vec![mk_told("uid-2", "web-0"), mk_told("uid-1", "cart-0")],
            vec![mk_pinned("uid-1"), mk_pinned("uid-9")],
        );
        let shown = rows
            .iter()
            .map(|row| (row.name.as_deref(), row.uid.as_str(), row.captured))
            .collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                (Some("cart-0"), "uid-1", true),
                (Some("web-0"), "uid-2", false),
                (None, "uid-9", true),
            ]
        );
    }

    #[test]
    fn a_pod_keeps_its_json_keys() {
        let rows = merge(vec![mk_told("uid-1", "cart-0")], vec![mk_pinned("uid-1")]);
        assert_eq!(
            serde_json::to_value(&rows[0]).unwrap(),
            json!({
                "namespace": "shop", "name": "cart-0", "uid": "uid-1", "enrolled": true, "reason": null,
                "captured": true, "held_seconds": 0.25, "uncaptured_devices": [], "on_agent_failure": "open", "netns_cookie": 17, "netns_ino": 4_026_532_455_u64,
                "addresses": ["10.244.1.10"], "probe_ports": [8080],
                "captures_dns": true, "link_id": 3, "listen_overflows": 0,
            })
        );
        assert_eq!(rows[0].cells().len(), PodRow::COLUMNS.len());
    }

    #[test]
    fn a_table_shows_the_addresses_by_which_others_reach_the_pod() {
        let mut pinned = mk_pinned("uid-1");
        pinned.addresses = ["10.244.1.10", "127.0.0.1", "fe80::1", "2001:db8::1"]
            .map(|ip| ip.parse().unwrap())
            .to_vec();
        assert_eq!(PodRow::from(pinned).cells()[5], "10.244.1.10,2001:db8::1");
    }

    #[test]
    fn a_pod_is_called_by_its_full_name_its_name_or_its_uid() {
        let pod = PodRow::named(mk_told("uid-1", "cart-0"), None);
        for name in ["shop/cart-0", "cart-0", "uid-1"] {
            assert!(pod.is_called(name), "{name}");
        }
        assert!(!pod.is_called("shop/cart"));
        assert!(!pod.is_called("shop"));
    }

    fn mk_told(uid: &str, name: &str) -> PodView {
        PodView {
            uid: uid.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            service_account: "default".to_owned(),
            enrolled: true,
            reason: None,
            on_agent_failure: "open".to_owned(),
            ips: Vec::new(),
            probe_ports: vec![8080],
            terminating: false,
            waiting: None,
            held_seconds: Some(0.25),
            uncaptured_devices: Vec::new(),
        }
    }

    fn mk_pinned(uid: &str) -> PinnedPod {
        PinnedPod {
            uid: uid.to_owned(),
            netns_cookie: Some(17),
            netns_ino: Some(4_026_532_455),
            marked: true,
            on_agent_failure: Some("open".to_owned()),
            addresses: vec!["10.244.1.10".parse().unwrap()],
            probe_ports: vec![8080],
            captures_dns: true,
            link_id: Some(3),
            listen_overflows: Some(0),
        }
    }
}
