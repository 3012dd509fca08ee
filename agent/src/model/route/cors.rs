//! Which pages of other origins may read responses (the Fetch standard's CORS protocol).

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

/// What is allowed to pages of other origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// The origins.
    pub origins: Vec<Origin>,
    /// Whether requests may carry cookies and the like.
    pub credentials: bool,
    /// The methods beside the simple ones; `*` for all.
    pub methods: Vec<Arc<str>>,
    /// The headers that requests may have; `*` for all.
    pub headers: Vec<Arc<str>>,
    /// The headers of responses that pages may see; `*` for all.
    pub exposed: Vec<Arc<str>>,
    /// How long a browser may remember the answer.
    pub max_age: Duration,
}

/// Origins: all, one, or those of all subdomains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// `*`.
    Any,
    /// `scheme://host[:port]`.
    Exact(Arc<str>),
    /// `scheme://*.domain[:port]`.
    Below {
        /// `scheme://`.
        scheme: Arc<str>,
        /// `.domain[:port]`.
        domain: Arc<str>,
    },
}

/// A request by which a browser asks for permission: it is answered by the proxy, with 204 and these headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight(pub Vec<(HeaderName, HeaderValue)>);

// === impl Origin ===

impl Origin {
    /// Reads an origin as routes write it.
    pub fn new(written: &str) -> Self {
        if written == ANY {
            return Self::Any;
        }
        match written.split_once("://*.") {
            Some((scheme, domain)) => Self::Below {
                scheme: format!("{scheme}://").into(),
                domain: format!(".{domain}").into(),
            },
            None => Self::Exact(written.into()),
        }
    }

    fn admits(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(written) => written.eq_ignore_ascii_case(origin),
            Self::Below { scheme, domain } => {
                let host = origin.get(scheme.len()..).unwrap_or_default();
                let starts = origin
                    .get(..scheme.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(scheme));
                let below = host.len().checked_sub(domain.len()).filter(|start| *start > 0);
                starts
                    && below
                        .and_then(|start| host.get(start..))
                        .is_some_and(|end| end.eq_ignore_ascii_case(domain))
            }
        }
    }
}

// === impl Cors ===

impl Cors {
    /// The answer to a preflight; none where the request is none. To an origin that is not allowed it allows nothing.
    pub fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<Preflight> {
        let asked = request.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = request.get(header::ORIGIN).filter(|_| *method == Method::OPTIONS)?;
        let Some(allowed) = self.allowed_origin(origin) else {
            return Some(Preflight(Vec::new()));
        };
        let methods = self.listed(&self.methods, Some(asked));
        let headers = self.listed(&self.headers, request.get(header::ACCESS_CONTROL_REQUEST_HEADERS));
        let max_age = HeaderValue::from(self.max_age.as_secs());
        let others = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (header::ACCESS_CONTROL_MAX_AGE, Some(max_age)),
        ];
        let others = others.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Some(Preflight(self.of_origin(allowed).chain(others).collect()))
    }

    /// Adds to a response what the browser must know, in the place of what the application has said of it.
    pub fn permit(&self, request_origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        let Some(allowed) = request_origin.and_then(|origin| self.allowed_origin(origin)) else {
            return;
        };
        for (name, value) in self.of_origin(allowed) {
            response.insert(name, value);
        }
        if let Some(exposed) = self.listed(&self.exposed, None) {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    fn allowed_origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let text = origin.to_str().ok()?;
        let admitted = self.origins.iter().any(|allowed| allowed.admits(text));
        let any = self.origins.contains(&Origin::Any) && !self.credentials;
        admitted.then(|| {
            if any {
                HeaderValue::from_static(ANY)
            } else {
                origin.clone()
            }
        })
    }

    fn of_origin(&self, allowed: HeaderValue) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        // What is said to one origin must not be remembered for another.
        let vary = (allowed != ANY).then(|| (header::VARY, HeaderValue::from_static("Origin")));
        let credentials = self.credentials.then(|| {
            let allowed = HeaderValue::from_static("true");
            (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed)
        });
        [(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed)]
            .into_iter()
            .chain(credentials)
            .chain(vary)
    }

    /// A list; where all are allowed, what was asked for: with credentials browsers take `*` for a name.
    fn listed(&self, names: &[Arc<str>], asked: Option<&HeaderValue>) -> Option<HeaderValue> {
        if names.iter().any(|name| **name == *ANY) {
            return match (asked, self.credentials) {
                (Some(asked), true) => Some(asked.clone()),
                (None, true) => None,
                (_, false) => Some(HeaderValue::from_static(ANY)),
            };
        }
        let joined = names.join(", ");
        HeaderValue::from_str(&joined).ok().filter(|value| !value.is_empty())
    }
}

const ANY: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_cors(origins: &[&str], credentials: bool) -> Cors {
        Cors {
            origins: origins.iter().map(|origin| Origin::new(origin)).collect(),
            credentials,
            methods: vec!["GET".into(), "PUT".into()],
            headers: vec!["x-a".into(), "x-b".into()],
            exposed: vec!["x-c".into()],
            max_age: Duration::from_secs(5),
        }
    }

    fn preflight(cors: &Cors, origin: &'static str) -> Vec<(String, String)> {
        let mut request = HeaderMap::new();
        request.insert(header::ORIGIN, HeaderValue::from_static(origin));
        request.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        request.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-z"));
        let Preflight(headers) = cors.preflight(&Method::OPTIONS, &request).expect("it is one");
        let text = |value: HeaderValue| value.to_str().unwrap().to_owned();
        headers
            .into_iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    #[test]
    fn origins_are_exact_or_below_a_domain() {
        for (written, origin, admitted) in [
            ("*", "https://a.example", true),
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example", "http://a.example", false),
            ("https://*.example", "https://a.b.example", true),
            ("https://*.example", "https://example", false),
            ("https://*.example", "https://.example", false),
            ("https://*.example", "https://badexample", false),
            ("https://*.example:8443", "https://a.example:8443", true),
            ("https://*.example:8443", "https://a.example", false),
        ] {
            assert_eq!(Origin::new(written).admits(origin), admitted, "{written} {origin}");
        }
    }

    #[test]
    fn a_preflight_is_answered_with_what_is_allowed() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let cors = mk_cors(&["https://a.example"], true);
        let expected = [
            pair("access-control-allow-origin", "https://a.example"),
            pair("access-control-allow-credentials", "true"),
            pair("vary", "Origin"),
            pair("access-control-allow-methods", "GET, PUT"),
            pair("access-control-allow-headers", "x-a, x-b"),
            pair("access-control-max-age", "5"),
        ];
        assert_eq!(preflight(&cors, "https://a.example"), expected);
        assert_eq!(preflight(&cors, "https://b.example"), []);
    }

    #[test]
    fn a_star_is_said_only_where_no_credentials_come() {
        let all = |credentials| Cors {
            methods: vec!["*".into()],
            headers: vec!["*".into()],
            ..mk_cors(&["*"], credentials)
        };
        let values = |cors: &Cors| -> Vec<String> {
            let headers = preflight(cors, "https://a.example").into_iter();
            headers.map(|(_, value)| value).collect()
        };
        assert_eq!(values(&all(false)), ["*", "*", "*", "5"]);
        assert_eq!(
            values(&all(true)),
            ["https://a.example", "true", "Origin", "PUT", "x-z", "5"]
        );
    }

    #[test]
    fn other_requests_are_no_preflights_and_get_permission_with_the_response() {
        let cors = mk_cors(&["https://a.example"], false);
        let mut request = HeaderMap::new();
        request.insert(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert_eq!(cors.preflight(&Method::OPTIONS, &request), None);
        let mut response = HeaderMap::new();
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        cors.permit(request.get(header::ORIGIN), &mut response);
        assert_eq!(response[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(response[header::ACCESS_CONTROL_EXPOSE_HEADERS], "x-c");
        let mut untouched = HeaderMap::new();
        cors.permit(Some(&HeaderValue::from_static("https://b.example")), &mut untouched);
        cors.permit(None, &mut untouched);
        assert!(untouched.is_empty());
    }
}
