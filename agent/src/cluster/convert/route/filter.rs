//! What happens to messages.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reference::{ObjectReference, number, target};
use crate::{
    cluster::field::{Field, Findings},
    model::{Cors, Filters, Header, HeaderChanges, HeaderName, Mirror, Origin, PathChange, Redirect, Rewrite, Share},
};

/// One of the things that can happen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    r#type: String,
    request_header_modifier: Option<HeaderModifier>,
    response_header_modifier: Option<HeaderModifier>,
    request_mirror: Option<RequestMirror>,
    request_redirect: Option<RequestRedirect>,
    url_rewrite: Option<UrlRewrite>,
    cors: Option<CorsFilter>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct HeaderModifier {
    set: Option<Vec<HeaderValue>>,
    add: Option<Vec<HeaderValue>>,
    remove: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct HeaderValue {
    name: String,
    value: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestMirror {
    backend_ref: ObjectReference,
    percent: Option<u32>,
    fraction: Option<Fraction>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Fraction {
    numerator: u32,
    denominator: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestRedirect {
    scheme: Option<String>,
    hostname: Option<String>,
    path: Option<PathModifier>,
    port: Option<i64>,
    status_code: Option<u16>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct UrlRewrite {
    hostname: Option<String>,
    path: Option<PathModifier>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct PathModifier {
    r#type: String,
    replace_full_path: Option<String>,
    replace_prefix_match: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CorsFilter {
    allow_origins: Option<Vec<String>>,
    allow_credentials: Option<bool>,
    allow_methods: Option<Vec<String>>,
    allow_headers: Option<Vec<String>>,
    expose_headers: Option<Vec<String>>,
    max_age: Option<u32>,
}

/// Where filters stand.
struct Place<'a> {
    namespace: &'a str,
    /// The prefix by which the rule matches.
    matched: Option<&'a str>,
}

/// Reads filters; `matched` is the prefix by which the rule matches, where it is the only match.
pub(super) fn filters(
    written: Option<Vec<Filter>>,
    namespace: &str,
    matched: Option<&str>,
    field: &Field,
    findings: &mut Findings,
) -> Filters {
    let place = Place { namespace, matched };
    let mut filters = Filters::default();
    let mut kinds: Vec<String> = Vec::new();
    for (index, filter) in written.unwrap_or_default().into_iter().enumerate() {
        let field = field.index(index);
        if filter.r#type != MIRROR && kinds.contains(&filter.r#type) {
            findings.error(field, format!("{} stands here twice", filter.r#type));
            continue;
        }
        kinds.push(filter.r#type.clone());
        filter.read(&place, &mut filters, &field, findings);
    }
    if filters.redirect.is_some() && filters.rewrite.is_some() {
        findings.error(field.clone(), "RequestRedirect and URLRewrite exclude each other");
    }
    filters
}

// === impl Filter ===

impl Filter {
    fn read(self, place: &Place<'_>, filters: &mut Filters, field: &Field, findings: &mut Findings) {
        let Self {
            r#type,
            request_header_modifier,
            response_header_modifier,
            request_mirror,
            request_redirect,
            url_rewrite,
            cors,
        } = self;
        let missing = || format!("what {} does is missing", r#type);
        let known = match r#type.as_str() {
            "RequestHeaderModifier" => request_header_modifier.map(|written| {
                filters.request_headers = changes(written, &field.key("requestHeaderModifier"), findings);
            }),
            "ResponseHeaderModifier" => response_header_modifier.map(|written| {
                filters.response_headers = changes(written, &field.key("responseHeaderModifier"), findings);
            }),
            MIRROR => request_mirror.map(|written| {
                let mirror = mirror(written, place, &field.key("requestMirror"), findings);
                filters.mirrors.push(mirror);
            }),
            "RequestRedirect" => request_redirect.map(|written| {
                filters.redirect = Some(redirect(written, place, &field.key("requestRedirect"), findings));
            }),
            "URLRewrite" => url_rewrite.map(|written| {
                let UrlRewrite { hostname, path } = written;
                let path_field = field.key("urlRewrite").key("path");
                filters.rewrite = Some(Rewrite {
                    host: hostname.map(Into::into),
                    path: path.and_then(|path| change(path, place, &path_field, findings)),
                });
            }),
            "CORS" => cors.map(|written| filters.cors = Some(read_cors(written))),
            other => {
                findings.error(
                    field.key("type"),
                    format!("`{other}` is not a filter that is known here"),
                );
                return;
            }
        };
        if known.is_none() {
            findings.error(field.clone(), missing());
        }
    }
}

fn changes(written: HeaderModifier, field: &Field, findings: &mut Findings) -> HeaderChanges {
    let HeaderModifier { set, add, remove } = written;
    let mut headers = |written: Option<Vec<HeaderValue>>, field: Field| -> Vec<Header> {
        let written = written.unwrap_or_default().into_iter().enumerate();
        written
            .filter_map(|(index, HeaderValue { name, value })| {
                findings.accept(&field.index(index), Header::new(&name, &value))
            })
            .collect()
    };
    let (set, add) = (headers(set, field.key("set")), headers(add, field.key("add")));
    let field = field.key("remove");
    let remove = remove.unwrap_or_default().into_iter().enumerate();
    let remove = remove.filter_map(|(index, name)| findings.accept(&field.index(index), HeaderName::new(&name)));
    HeaderChanges {
        remove: remove.collect(),
        set,
        add,
    }
}

fn mirror(written: RequestMirror, place: &Place<'_>, field: &Field, findings: &mut Findings) -> Mirror {
    let RequestMirror {
        backend_ref,
        percent,
        fraction,
    } = written;
    let share = match (percent, fraction) {
        (None, None) => Share::ALL,
        (Some(percent), None) => Share {
            numerator: percent,
            denominator: 100,
        },
        (None, Some(Fraction { numerator, denominator })) => Share {
            numerator,
            denominator: denominator.unwrap_or(100),
        },
        (Some(_), Some(_)) => {
            findings.error(field.clone(), "`percent` and `fraction` exclude each other");
            Share::ALL
        }
    };
    if share.denominator == 0 || share.numerator > share.denominator {
        findings.error(field.clone(), "more than all requests cannot be mirrored");
    }
    Mirror {
        target: target(backend_ref, place.namespace, &field.key("backendRef"), findings),
        share,
    }
}

fn redirect(written: RequestRedirect, place: &Place<'_>, field: &Field, findings: &mut Findings) -> Redirect {
    let RequestRedirect {
        scheme,
        hostname,
        path,
        port,
        status_code,
    } = written;
    if let Some(scheme) = scheme.as_deref().filter(|scheme| !["http", "https"].contains(scheme)) {
        findings.error(field.key("scheme"), format!("`{scheme}` is neither `http` nor `https`"));
    }
    let status = status_code.unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&status) {
        findings.error(
            field.key("statusCode"),
            format!("{status} is not the status of a redirect"),
        );
    }
    Redirect {
        scheme: scheme.map(Into::into),
        host: hostname.map(Into::into),
        port: port.and_then(|port| number(port, &field.key("port"), findings)),
        path: path.and_then(|path| change(path, place, &field.key("path"), findings)),
        status,
    }
}

fn change(written: PathModifier, place: &Place<'_>, field: &Field, findings: &mut Findings) -> Option<PathChange> {
    let PathModifier {
        r#type,
        replace_full_path,
        replace_prefix_match,
    } = written;
    match (r#type.as_str(), replace_full_path, replace_prefix_match) {
        ("ReplaceFullPath", Some(full), None) => Some(PathChange::Full(full.into())),
        ("ReplacePrefixMatch", None, Some(with)) => {
            let Some(matched) = place.matched else {
                findings.error(
                    field.clone(),
                    "only a rule whose one match is by prefix has a prefix to replace",
                );
                return None;
            };
            Some(PathChange::Prefix {
                matched: matched.into(),
                with: with.into(),
            })
        }
        (other, ..) => {
            findings.error(
                field.clone(),
                format!("`{other}` does not go with what is given beside it"),
            );
            None
        }
    }
}

fn read_cors(written: CorsFilter) -> Cors {
    let CorsFilter {
        allow_origins,
        allow_credentials,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
    } = written;
    let list = |names: Option<Vec<String>>| names.unwrap_or_default().into_iter().map(Into::into).collect();
    let origins = allow_origins.unwrap_or_default();
    Cors {
        origins: origins.iter().map(|origin| Origin::new(origin)).collect(),
        credentials: allow_credentials.unwrap_or_default(),
        methods: list(allow_methods),
        headers: list(allow_headers),
        exposed: list(expose_headers),
        max_age: max_age.map_or(DEFAULT_MAX_AGE, |seconds| Duration::from_secs(seconds.into())),
    }
}

const MIRROR: &str = "RequestMirror";

/// As the specification has it.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(5);
