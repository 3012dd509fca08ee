//! Rules, which are nearly the same for all kinds.

use serde::{Deserialize, Serialize};

use super::{
    GrpcMatch, HttpMatch,
    filter::{self, Filter},
    policy::{Retry, SessionPersistence, Timeouts},
    reference::{BackendRef, backend},
};
use crate::{
    cluster::field::{Field, Findings},
    model::{self, Filters, Match, PathMatch, WrittenRule},
};

/// A rule of an HTTPRoute.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpRule {
    name: Option<String>,
    matches: Option<Vec<HttpMatch>>,
    filters: Option<Vec<Filter>>,
    backend_refs: Option<Vec<BackendRef>>,
    timeouts: Option<Timeouts>,
    retry: Option<Retry>,
    session_persistence: Option<SessionPersistence>,
}

/// A rule of a GRPCRoute.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GrpcRule {
    name: Option<String>,
    matches: Option<Vec<GrpcMatch>>,
    filters: Option<Vec<Filter>>,
    backend_refs: Option<Vec<BackendRef>>,
    session_persistence: Option<SessionPersistence>,
}

/// A rule of a TLSRoute or a TCPRoute.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamRule {
    name: Option<String>,
    backend_refs: Option<Vec<BackendRef>>,
}

// === impl HttpRule ===

impl HttpRule {
    pub(super) fn read(self, namespace: &str, field: &Field, findings: &mut Findings) -> WrittenRule {
        let Self {
            name,
            matches,
            filters,
            backend_refs,
            timeouts,
            retry,
            session_persistence,
        } = self;
        let matches = read_matches(matches, field, findings, HttpMatch::read);
        let timeouts = timeouts.map(|timeouts| timeouts.read(&field.key("timeouts"), findings));
        let retry = retry.map(|retry| retry.read(&field.key("retry"), findings));
        let parts = Parts {
            name,
            matches,
            filters,
            backend_refs,
            session_persistence,
        };
        WrittenRule {
            timeouts: timeouts.unwrap_or_default(),
            retry,
            ..parts.read(namespace, field, findings)
        }
    }
}

// === impl GrpcRule ===

impl GrpcRule {
    pub(super) fn read(self, namespace: &str, field: &Field, findings: &mut Findings) -> WrittenRule {
        let Self {
            name,
            matches,
            filters,
            backend_refs,
            session_persistence,
        } = self;
        let parts = Parts {
            name,
            matches: read_matches(matches, field, findings, GrpcMatch::read),
            filters,
            backend_refs,
            session_persistence,
        };
        parts.read(namespace, field, findings)
    }
}

// === impl StreamRule ===

impl StreamRule {
    pub(super) fn read(self, namespace: &str, field: &Field, findings: &mut Findings) -> WrittenRule {
        let Self { name, backend_refs } = self;
        let parts = Parts {
            name,
            matches: Vec::new(),
            filters: None,
            backend_refs,
            session_persistence: None,
        };
        parts.read(namespace, field, findings)
    }
}

/// What rules of several kinds have.
struct Parts {
    name: Option<String>,
    matches: Vec<Match>,
    filters: Option<Vec<Filter>>,
    backend_refs: Option<Vec<BackendRef>>,
    session_persistence: Option<SessionPersistence>,
}

// === impl Parts ===

impl Parts {
    fn read(self, namespace: &str, field: &Field, findings: &mut Findings) -> WrittenRule {
        let Self {
            name,
            matches,
            filters,
            backend_refs,
            session_persistence,
        } = self;
        let matched = only_prefix(&matches);
        let filters = filter::filters(filters, namespace, matched, &field.key("filters"), findings);
        let backends_field = field.key("backendRefs");
        let written = backend_refs.unwrap_or_default();
        if filters.redirect.is_some() && !written.is_empty() {
            findings.error(
                backends_field.clone(),
                "a rule that redirects sends nothing to backends",
            );
        }
        let mut backends = Vec::new();
        for (index, reference) in written.into_iter().enumerate() {
            let field = backends_field.index(index);
            backends.push(backend(reference, namespace, matched, &field, findings));
        }
        only_headers(&backends, &backends_field, findings);
        let session = session_persistence.map(|session| session.read(&field.key("sessionPersistence"), findings));
        WrittenRule {
            name: name.map(Into::into),
            filters,
            backends,
            timeouts: model::Timeouts::default(),
            retry: None,
            session,
            matches,
        }
    }
}

/// Where a backend is already chosen, it is too late for what answers or sends elsewhere.
fn only_headers(backends: &[model::WeightedBackend], field: &Field, findings: &mut Findings) {
    for (index, backend) in backends.iter().enumerate() {
        let Filters {
            cors,
            redirect,
            request_headers: _,
            response_headers: _,
            rewrite: _,
            mirrors: _,
        } = &backend.filters;
        if cors.is_some() || redirect.is_some() {
            findings.error(
                field.index(index).key("filters"),
                "CORS and RequestRedirect are for rules, not for backends",
            );
        }
    }
}

fn read_matches<M: Default>(
    written: Option<Vec<M>>,
    field: &Field,
    findings: &mut Findings,
    read: impl Fn(M, &Field, &mut Findings) -> Option<Match>,
) -> Vec<Match> {
    let written = written.filter(|matches| !matches.is_empty());
    let written = written.unwrap_or_else(|| vec![M::default()]).into_iter().enumerate();
    let field = field.key("matches");
    written
        .filter_map(|(index, written)| read(written, &field.index(index), findings))
        .collect()
}

/// The prefix by which a rule matches, where it is the only match.
fn only_prefix(matches: &[Match]) -> Option<&str> {
    let [Match { path, .. }] = matches else { return None };
    match path {
        PathMatch::Prefix(prefix) => Some(prefix),
        PathMatch::Exact(_) | PathMatch::Pattern(_) | PathMatch::GrpcMethod(_) => None,
    }
}
