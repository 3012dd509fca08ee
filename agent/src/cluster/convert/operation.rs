//! `rules[].to[]` of an AuthorizationPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::field::{Field, Findings},
    authorization::{given, needs_l7},
    port,
    written::PortNumber,
};
use crate::model::{Action, Operation};

/// Where a connection goes: all fields that are given match, and of each list one item.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct To {
    /// The port of the pod, which is not the Service's where `targetPort` differs.
    #[schemars(length(min = 1, max = 64))]
    ports: Option<Vec<PortNumber>>,
    /// What `ports` does not match.
    #[schemars(length(min = 1, max = 64))]
    not_ports: Option<Vec<PortNumber>>,
    /// The method of a request. Needs L7, which is not honoured yet: ALLOW then matches nobody, DENY and AUDIT match as if it
    /// were left out.
    #[schemars(length(max = 64))]
    methods: Option<Vec<String>>,
    /// What `methods` does not match. Needs L7.
    #[schemars(length(max = 64))]
    not_methods: Option<Vec<String>>,
    /// The path of a request. Needs L7.
    #[schemars(length(max = 64))]
    paths: Option<Vec<String>>,
    /// What `paths` does not match. Needs L7.
    #[schemars(length(max = 64))]
    not_paths: Option<Vec<String>>,
    /// The host of a request. Needs L7.
    #[schemars(length(max = 64))]
    hosts: Option<Vec<String>>,
    /// What `hosts` does not match. Needs L7.
    #[schemars(length(max = 64))]
    not_hosts: Option<Vec<String>>,
    /// Headers of a request. Needs L7.
    #[schemars(length(max = 64))]
    headers: Option<Vec<Header>>,
}

/// A header of a request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Header {
    /// Its name.
    name: String,
    /// Its value.
    #[schemars(length(max = 64))]
    values: Option<Vec<String>>,
    /// What `values` does not match.
    #[schemars(length(max = 64))]
    not_values: Option<Vec<String>>,
}

pub(super) fn operation(written: To, action: Action, field: &Field, findings: &mut Findings) -> Operation {
    let To {
        ports: written_ports,
        not_ports,
        methods,
        not_methods,
        paths,
        not_paths,
        hosts,
        not_hosts,
        headers,
    } = written;
    let mut needs = needs_l7(headers.as_ref(), action, &field.key("headers"), findings);
    for (name, list) in [
        ("methods", methods),
        ("notMethods", not_methods),
        ("paths", paths),
        ("notPaths", not_paths),
        ("hosts", hosts),
        ("notHosts", not_hosts),
    ] {
        needs |= needs_l7(list.as_ref(), action, &field.key(name), findings);
    }
    Operation {
        ports: ports(written_ports, &field.key("ports"), findings),
        not_ports: ports(not_ports, &field.key("notPorts"), findings),
        needs_l7: needs,
    }
}

fn ports(written: Option<Vec<PortNumber>>, field: &Field, findings: &mut Findings) -> Vec<u16> {
    let written = given(written, field, findings);
    let written = written.into_iter().enumerate();
    written
        .filter_map(|(index, number)| port::number(number.written(), &field.index(index), findings))
        .collect()
}
