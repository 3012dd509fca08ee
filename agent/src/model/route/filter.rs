//! What a rule, or one of its backends, does to messages.
//!
//! In this order: CORS answers preflights, a redirect answers the rest; else request headers are changed, host and path are
//! rewritten, copies are sent, and in the end the response's headers are changed and those of CORS added.

use std::sync::Arc;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::{BackendTarget, Cors, HeaderChanges, PathChange};

/// What is done; each at most once, but for mirrors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filters {
    /// Who else's pages may read the responses.
    pub cors: Option<Cors>,
    /// Where the client is sent instead.
    pub redirect: Option<Redirect>,
    /// Changes to the request's headers.
    pub request_headers: HeaderChanges,
    /// Changes to the response's headers.
    pub response_headers: HeaderChanges,
    /// Changes to host and path.
    pub rewrite: Option<Rewrite>,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
}

/// Where a client is sent, by what of its request is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The scheme, `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// The host.
    pub host: Option<Arc<str>>,
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathChange>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// How host and path of a request are changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// The host.
    pub host: Option<Arc<str>>,
    /// The path.
    pub path: Option<PathChange>,
}

/// A backend that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The backend; one that cannot be used gets none.
    pub target: BackendTarget,
    /// Of how many requests.
    pub share: Share,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many.
    pub numerator: u32,
    /// Of how many; never 0.
    pub denominator: u32,
}

// === impl Rewrite ===

impl Rewrite {
    /// The host as a header has it.
    pub fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.host.as_deref()?).ok()
    }

    /// The target of the request with its path changed; the query stays.
    pub fn target(&self, uri: &http::Uri) -> Option<http::uri::PathAndQuery> {
        let path = self.path.as_ref()?.of(uri.path());
        match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        }
        .parse()
        .ok()
    }
}

// === impl Share ===

impl Share {
    /// All.
    pub const ALL: Self = Self {
        numerator: 1,
        denominator: 1,
    };

    /// Whether it is one of them, by an even random number.
    pub fn draws(self, random: u64) -> bool {
        random % u64::from(self.denominator.max(1)) < u64::from(self.numerator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_draws_as_many_as_it_says() {
        let share = |numerator, denominator| Share { numerator, denominator };
        let drawn = |share: Share| (0..1000).filter(|random| share.draws(*random)).count();
        assert_eq!(drawn(Share::ALL), 1000);
        assert_eq!(drawn(share(20, 100)), 200);
        assert_eq!(drawn(share(1, 8)), 125);
        assert_eq!(drawn(share(0, 100)), 0);
    }

    #[test]
    fn a_rewritten_path_keeps_its_query() {
        let rewrite = Rewrite {
            host: Some("example.org".into()),
            path: Some(PathChange::Full("/new".into())),
        };
        let target = |uri: &'static str| rewrite.target(&http::Uri::from_static(uri)).unwrap().to_string();
        assert_eq!(target("/old?a=1"), "/new?a=1");
        assert_eq!(target("http://web/old"), "/new");
        assert_eq!(rewrite.host_header().unwrap(), "example.org");
        let host_only = Rewrite { path: None, ..rewrite };
        assert_eq!(host_only.target(&http::Uri::from_static("/old")), None);
    }
}
