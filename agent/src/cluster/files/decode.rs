//! Documents become objects: which kind they are, then [`decode`](super::super::decode).

use std::{path::Path, sync::Arc};

use serde_json::Value as Json;

use super::{
    super::{
        decode::{Unknown, decode as decode_json},
        field::{Field, Finding, Findings},
        names::Rule,
        objects::{Key, Kind, Object},
    },
    document::{Node, Value, documents},
    suspect::suspects,
};
use crate::model::{ObjectName, PolicyId, Problem, Severity};

/// What stands at one place of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) content: Content,
    pub(super) problems: Vec<Problem>,
}

/// What an [`Entry`] is.
#[derive(Debug)]
pub(super) enum Content {
    /// An object of a kind that is read; none where it could not be decoded.
    Object(Key, Option<Object>),
    /// An object of another kind.
    Unread {
        /// `apps/v1 Deployment`.
        kind: String,
    },
    /// Something of which not even the name could be told.
    Nameless {
        /// The security policies that it may be.
        suspects: Vec<PolicyId>,
    },
}

/// Reads all objects of a file's text.
pub(super) fn decode(file: &Arc<Path>, text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for document in documents(text) {
        match document {
            Ok(node) => decode_node(file, &node, &TypeOfItems::default(), &mut entries),
            Err(syntax) => entries.push(Entry {
                line: syntax.line,
                content: Content::Nameless {
                    suspects: suspects(&syntax.text),
                },
                problems: vec![Problem {
                    file: Some(Arc::clone(file)),
                    line: Some(syntax.line),
                    severity: Severity::Error,
                    object: None,
                    field: None,
                    reason: syntax.reason,
                }],
            }),
        }
    }
    entries
}

/// What the items of a list are, where the list says it: the API server answers with typed lists, whose items leave it out.
#[derive(Default)]
struct TypeOfItems<'a> {
    api_version: Option<&'a str>,
    kind: Option<&'a str>,
}

/// Reads an object, or each item of a list of objects.
fn decode_node(file: &Arc<Path>, node: &Node, default: &TypeOfItems<'_>, entries: &mut Vec<Entry>) {
    let item_kind = node.text("kind").and_then(|kind| kind.strip_suffix("List"));
    if let (Some(kind), Some(Value::List(items))) = (item_kind, node.get("items").map(|items| &items.value)) {
        let kind = Some(kind).filter(|kind| !kind.is_empty());
        let of_items = TypeOfItems {
            api_version: kind.and(node.text("apiVersion")),
            kind,
        };
        for item in items {
            decode_node(file, item, &of_items, entries);
        }
        return;
    }
    let mut json = node.to_json();
    if let Some(object) = json.as_object_mut() {
        for (key, value) in [("apiVersion", default.api_version), ("kind", default.kind)] {
            let Some(value) = value else { continue };
            object.entry(key).or_insert_with(|| value.into());
        }
    }
    entries.push(decode_object(file, node, json));
}

fn decode_object(file: &Arc<Path>, node: &Node, json: Json) -> Entry {
    let mut findings = Findings::default();
    let content = identify(&json, &mut findings);
    let content = match content {
        Content::Object(key, _) => {
            let object = decode_json(&key, &json, Unknown::Told, &mut findings);
            Content::Object(key, object)
        }
        other @ (Content::Unread { .. } | Content::Nameless { .. }) => other,
    };
    let label = match &content {
        Content::Object(key, _) => Some(key.to_string()),
        Content::Unread { .. } | Content::Nameless { .. } => None,
    };
    let problem = |finding: Finding| Problem {
        file: Some(Arc::clone(file)),
        line: Some(node.line_of(finding.field.steps())),
        severity: finding.severity,
        object: label.clone(),
        field: Some(finding.field.to_string()).filter(|field| !field.is_empty()),
        reason: finding.reason,
    };
    Entry {
        line: node.line,
        content,
        problems: findings.into_vec().into_iter().map(problem).collect(),
    }
}

/// Finds out which object it is, without which nothing about it can be kept or told.
fn identify(json: &Json, findings: &mut Findings) -> Content {
    let text = |pointer: &str| {
        json.pointer(pointer)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
    };
    let nameless = || Content::Nameless {
        suspects: suspects(&json.to_string()),
    };
    let (Some(kind_name), Some(api_version)) = (text("/kind"), text("/apiVersion")) else {
        let missing = if text("/kind").is_none() { "kind" } else { "apiVersion" };
        findings.error(Field::at(missing), "missing: this is no object of Kubernetes");
        return nameless();
    };
    let unread = || Content::Unread {
        kind: format!("{api_version} {kind_name}"),
    };
    let Some(kind) = Kind::named(kind_name) else {
        return unread();
    };
    if group(api_version) != group(kind.api_version()) {
        return unread();
    }
    let name_field = Field::at("metadata.name");
    let Some(name) = text("/metadata/name") else {
        findings.error(name_field, "missing");
        return nameless();
    };
    let namespace = if kind.is_namespaced() {
        text("/metadata/namespace").unwrap_or("default")
    } else {
        ""
    };
    findings.accept(&name_field, name_rule(kind).check(name));
    if kind.is_namespaced() {
        findings.accept(&Field::at("metadata.namespace"), Rule::Label.check(namespace));
    }
    Content::Object(
        Key {
            kind,
            name: ObjectName::new(namespace, name),
        },
        None,
    )
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn name_rule(kind: Kind) -> Rule {
    match kind {
        Kind::Namespace | Kind::Service => Rule::Label,
        Kind::Pod
        | Kind::EndpointSlice
        | Kind::Node
        | Kind::MeshConfig
        | Kind::AuthenticationPolicy
        | Kind::AuthorizationPolicy
        | Kind::NetworkPolicy
        | Kind::GrpcRoute
        | Kind::HttpRoute
        | Kind::TlsRoute
        | Kind::TcpRoute => Rule::Subdomain,
    }
}

#[cfg(test)]
mod tests;
