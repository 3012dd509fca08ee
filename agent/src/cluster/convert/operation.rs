//! `rules[].to[]` of an AuthorizationPolicy.

use serde::{Deserialize, Serialize};

use super::{
    super::field::{Field, Findings},
    authorization::{given, needs_l7},
    port,
};
use crate::model::{Action, Operation};

/// Where a connection goes, as manifests write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct To {
    ports: Option<Vec<i32>>,
    not_ports: Option<Vec<i32>>,
    methods: Option<Vec<String>>,
    not_methods: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    not_paths: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    not_hosts: Option<Vec<String>>,
    headers: Option<Vec<Header>>,
}

/// A header of a request.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    name: String,
    values: Option<Vec<String>>,
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

fn ports(written: Option<Vec<i32>>, field: &Field, findings: &mut Findings) -> Vec<u16> {
    let written = given(written, field, findings);
    let written = written.into_iter().enumerate();
    written
        .filter_map(|(index, number)| port::number(number, &field.index(index), findings))
        .collect()
}
