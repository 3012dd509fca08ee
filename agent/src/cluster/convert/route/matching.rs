//! Which requests a rule is for.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    cluster::field::{Field, Findings},
    model::{Conditions, HeaderName, Match, ParameterMatch, PathMatch, Pattern, TextMatch},
};

/// HTTP requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpMatch {
    path: Option<Path>,
    headers: Option<Vec<Valued>>,
    query_params: Option<Vec<Valued>>,
    method: Option<String>,
}

/// gRPC calls.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GrpcMatch {
    method: Option<GrpcMethod>,
    headers: Option<Vec<Valued>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Path {
    r#type: Option<String>,
    value: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Valued {
    r#type: Option<String>,
    name: String,
    value: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct GrpcMethod {
    r#type: Option<String>,
    service: Option<String>,
    method: Option<String>,
}

// === impl HttpMatch ===

impl HttpMatch {
    /// Reads it.
    pub(super) fn read(self, field: &Field, findings: &mut Findings) -> Option<Match> {
        let Self {
            path: written_path,
            headers: written_headers,
            query_params,
            method,
        } = self;
        let path = path(written_path, &field.key("path"), findings);
        if let Some(method) = method.as_deref().filter(|method| !METHODS.contains(method)) {
            findings.error(
                field.key("method"),
                format!("`{method}` is not a method that can be matched"),
            );
        }
        let parameters = texts(query_params, &field.key("queryParams"), findings).into_iter();
        let mut seen = BTreeSet::new();
        let parameters = parameters
            .filter(|(name, _)| seen.insert(name.clone()))
            .map(|(name, value)| ParameterMatch {
                name: name.into(),
                value,
            });
        let parameters = parameters.collect();
        Some(Match {
            path: path?,
            conditions: Conditions {
                method: method.map(Into::into),
                headers: headers(written_headers, &field.key("headers"), findings),
                parameters,
            },
        })
    }
}

// === impl GrpcMatch ===

impl GrpcMatch {
    /// Reads it: a call is a request for `/<service>/<method>`.
    pub(super) fn read(self, field: &Field, findings: &mut Findings) -> Option<Match> {
        let Self {
            method,
            headers: written_headers,
        } = self;
        let path = match method {
            Some(method) => method.read(&field.key("method"), findings),
            None => Some(PathMatch::default()),
        };
        Some(Match {
            path: path?,
            conditions: Conditions {
                headers: headers(written_headers, &field.key("headers"), findings),
                ..Conditions::default()
            },
        })
    }
}

// === impl GrpcMethod ===

impl GrpcMethod {
    fn read(self, field: &Field, findings: &mut Findings) -> Option<PathMatch> {
        let Self {
            r#type,
            service,
            method,
        } = self;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (service, method) = (given(service), given(method));
        match r#type.as_deref() {
            None | Some(EXACT) => Some(match (service, method) {
                (Some(service), Some(method)) => PathMatch::Exact(format!("/{service}/{method}").into()),
                (Some(service), None) => PathMatch::Prefix(format!("/{service}").into()),
                (None, Some(method)) => PathMatch::GrpcMethod(method.into()),
                (None, None) => PathMatch::default(),
            }),
            Some(PATTERN) => {
                let part = |text: Option<String>| text.map_or(ANY_ELEMENT.to_owned(), |text| format!("(?:{text})"));
                let pattern = Pattern::new(&format!("/{}/{}", part(service), part(method)));
                findings.accept(field, pattern).map(PathMatch::Pattern)
            }
            Some(other) => {
                unknown(other, field, findings);
                None
            }
        }
    }
}

fn path(written: Option<Path>, field: &Field, findings: &mut Findings) -> Option<PathMatch> {
    let Some(Path { r#type, value }) = written else {
        return Some(PathMatch::default());
    };
    let value: Arc<str> = value.as_deref().unwrap_or("/").into();
    match r#type.as_deref() {
        None | Some("PathPrefix") => rooted(value, field, findings).map(PathMatch::Prefix),
        Some(EXACT) => rooted(value, field, findings).map(PathMatch::Exact),
        Some(PATTERN) => findings
            .accept(&field.key("value"), Pattern::new(&value))
            .map(PathMatch::Pattern),
        Some(other) => {
            unknown(other, field, findings);
            None
        }
    }
}

fn rooted(path: Arc<str>, field: &Field, findings: &mut Findings) -> Option<Arc<str>> {
    let rooted = match path.starts_with('/') {
        true => Ok(path),
        false => Err(format!("`{path}` does not begin with a slash")),
    };
    findings.accept(&field.key("value"), rooted)
}

/// Of two for one name the first counts, as the specification has it.
fn headers(written: Option<Vec<Valued>>, field: &Field, findings: &mut Findings) -> Vec<(HeaderName, TextMatch)> {
    let mut headers: Vec<(HeaderName, TextMatch)> = Vec::new();
    for (index, (name, value)) in texts(written, field, findings).into_iter().enumerate() {
        let name = findings.accept(&field.index(index).key("name"), HeaderName::new(&name));
        let Some(name) = name else { continue };
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((name, value));
        }
    }
    headers
}

fn texts(written: Option<Vec<Valued>>, field: &Field, findings: &mut Findings) -> Vec<(String, TextMatch)> {
    let mut texts = Vec::new();
    for (index, Valued { r#type, name, value }) in written.unwrap_or_default().into_iter().enumerate() {
        let field = field.index(index);
        let wanted = match r#type.as_deref() {
            None | Some(EXACT) => Some(TextMatch::Exact(value.into())),
            Some(PATTERN) => findings
                .accept(&field.key("value"), Pattern::new(&value))
                .map(TextMatch::Pattern),
            Some(other) => {
                unknown(other, &field, findings);
                None
            }
        };
        texts.extend(wanted.map(|wanted| (name, wanted)));
    }
    texts
}

fn unknown(kind: &str, field: &Field, findings: &mut Findings) {
    findings.error(
        field.key("type"),
        format!("`{kind}` is not a way of matching that is known here"),
    );
}

const EXACT: &str = "Exact";
const PATTERN: &str = "RegularExpression";
const ANY_ELEMENT: &str = "[^/]+";
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
