//! Objects for tests, with defaults.

use std::collections::BTreeMap;

use super::super::objects::{Pod, Service};
use crate::model::{self, Family, ObjectName, PodUid, sample};

/// A running pod `default/<name>` of `node-1` with the label `app: <name>`.
pub(crate) fn mk_pod(name: &str, ip: &str) -> Pod {
    Pod {
        uid: PodUid::derived(&ObjectName::new("default", name)),
        service_account: "default".into(),
        labels: BTreeMap::from([("app".into(), name.into())]),
        enrols: None,
        obstacle: None,
        node: Some(sample::NODE.into()),
        ips: vec![sample::mk_ip(ip)],
        ports: Vec::new(),
        probe_ports: Vec::new(),
        netns: None,
        hostname: None,
        subdomain: None,
        ready: true,
        terminating: false,
    }
}

/// A service `default/<name>` with port 80, which selects pods by `app: <name>`, for both families.
pub(crate) fn mk_service(name: &str, cluster_ips: &[&str]) -> Service {
    let service: model::Service = sample::mk_service(name, cluster_ips);
    Service {
        targets: service
            .ports
            .iter()
            .map(|port| super::super::objects::PortReference::Number(port.port))
            .collect(),
        service,
        selector: BTreeMap::from([("app".into(), name.into())]),
        families: vec![Family::V4, Family::V6],
    }
}
