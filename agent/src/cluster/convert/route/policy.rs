//! How long requests may take, when they are tried again, and which stay together.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::duration::{duration, limit};
use crate::{
    cluster::field::{Field, Findings},
    model::{self, OWN_HEADERS, SessionLifetime, SessionToken},
};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeouts {
    request: Option<String>,
    backend_request: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Retry {
    codes: Option<Vec<i64>>,
    attempts: Option<i64>,
    backoff: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionPersistence {
    session_name: Option<String>,
    absolute_timeout: Option<String>,
    idle_timeout: Option<String>,
    r#type: Option<String>,
    cookie_config: Option<CookieConfig>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CookieConfig {
    lifetime_type: Option<String>,
}

// === impl Timeouts ===

impl Timeouts {
    pub(super) fn read(self, field: &Field, findings: &mut Findings) -> model::Timeouts {
        let Self {
            request,
            backend_request,
        } = self;
        let timeouts = model::Timeouts {
            request: limit(request, &field.key("request"), findings),
            backend_request: limit(backend_request, &field.key("backendRequest"), findings),
        };
        if let (Some(request), Some(each)) = (timeouts.request, timeouts.backend_request)
            && each > request
        {
            findings.error(field.key("backendRequest"), "longer than `request`");
        }
        timeouts
    }
}

// === impl Retry ===

impl Retry {
    pub(super) fn read(self, field: &Field, findings: &mut Findings) -> model::Retry {
        let Self {
            codes,
            attempts,
            backoff,
        } = self;
        let codes_field = field.key("codes");
        let mut statuses = Vec::new();
        for (index, code) in codes.unwrap_or_default().into_iter().enumerate() {
            let status = u16::try_from(code).ok().filter(|code| (400..600).contains(code));
            let status = status.ok_or_else(|| format!("{code} is not a status of an error"));
            statuses.extend(findings.accept(&codes_field.index(index), status));
        }
        let attempts = attempts.unwrap_or(1);
        let attempts = u32::try_from(attempts).map_err(|_negative| format!("{attempts} is not a number of attempts"));
        model::Retry {
            statuses,
            attempts: findings.accept(&field.key("attempts"), attempts).unwrap_or_default(),
            backoff: duration(backoff, &field.key("backoff"), findings),
        }
    }
}

// === impl SessionPersistence ===

impl SessionPersistence {
    pub(super) fn read(self, field: &Field, findings: &mut Findings) -> model::SessionPersistence {
        let Self {
            session_name,
            absolute_timeout,
            idle_timeout,
            r#type,
            cookie_config,
        } = self;
        let lifetime = match cookie_config.and_then(|config| config.lifetime_type).as_deref() {
            None | Some("Session") => SessionLifetime::Session,
            Some("Permanent") => SessionLifetime::Permanent,
            Some(other) => {
                let field = field.key("cookieConfig").key("lifetimeType");
                findings.error(field, format!("`{other}` is neither `Session` nor `Permanent`"));
                SessionLifetime::Session
            }
        };
        let token = match r#type.as_deref() {
            None | Some("Cookie") => SessionToken::Cookie(lifetime),
            Some("Header") => SessionToken::Header,
            Some(other) => {
                findings.error(field.key("type"), format!("`{other}` is neither `Cookie` nor `Header`"));
                SessionToken::Header
            }
        };
        let absolute_timeout = duration(absolute_timeout, &field.key("absoluteTimeout"), findings);
        if lifetime == SessionLifetime::Permanent && absolute_timeout.is_none() {
            findings.error(field.key("absoluteTimeout"), "missing: a permanent cookie needs one");
        }
        let name = session_name.and_then(|name| findings.accept(&field.key("sessionName"), session_name_of(name)));
        model::SessionPersistence {
            name: name.map(Into::into),
            token,
            absolute_timeout,
            idle_timeout: duration(idle_timeout, &field.key("idleTimeout"), findings),
        }
    }
}

/// A cookie's name is a token as a header's is (RFC 6265, 4.1.1); those of a header that begin so are the agents' own.
fn session_name_of(name: String) -> Result<String, String> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(header) if header.as_str().starts_with(OWN_HEADERS) => Err(format!("`{name}` begins with `{OWN_HEADERS}`")),
        Ok(_) => Ok(name),
        Err(_) => Err(format!("`{name}` is no name of a cookie or a header")),
    }
}
