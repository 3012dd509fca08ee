//! Where a redirect sends a client.

use http::{Uri, uri::Authority};

use super::Redirect;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whether the client speaks TLS of its own, as seen by the application; not whether the mesh does.
    pub scheme: &'a str,
    /// `Host` or `:authority`; none where a client of HTTP/1.0 says none.
    pub host: Option<&'a str>,
    /// The port of the Service that it dialled.
    pub port: u16,
    /// The target of the request.
    pub uri: &'a Uri,
}

// === impl Redirect ===

impl Redirect {
    /// The value of `Location`.
    ///
    /// Without a port of its own it keeps the one of the Service, unless it changes the scheme: then it is the scheme's.
    /// The port that is the scheme's own anyway is left out. The query stays.
    pub fn location(&self, asked: Asked<'_>) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(asked.scheme);
        let host = self
            .host
            .as_deref()
            .unwrap_or_else(|| asked.host.map_or("", without_port));
        let path = match &self.path {
            Some(change) => change.of(asked.uri.path()),
            None => asked.uri.path().to_owned(),
        };
        let query = asked.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if host.is_empty() {
            // Of nobody's host nothing absolute can be made.
            return format!("{path}{query}");
        }
        let port = match (self.port, &self.scheme) {
            (Some(port), _) => Some(port),
            (None, Some(_)) => None,
            (None, None) => Some(asked.port),
        };
        let port = port
            .filter(|port| Some(*port) != well_known(scheme))
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!("{scheme}://{host}{port}{path}{query}")
    }
}

fn without_port(host: &str) -> &str {
    match host.parse::<Authority>() {
        Ok(authority) => match authority.port() {
            // `Authority::host` would leave out who is before an `@`, which a Host never has.
            Some(port) => host
                .strip_suffix(port.as_str())
                .map_or(host, |host| host.trim_end_matches(':')),
            None => host,
        },
        Err(_) => "",
    }
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::PathChange, *};

    fn nowhere() -> Redirect {
        Redirect {
            scheme: None,
            host: None,
            port: None,
            path: None,
            status: 302,
        }
    }

    fn location(redirect: &Redirect, port: u16, host: &str, target: &str) -> String {
        redirect.location(Asked {
            scheme: "http",
            host: Some(host),
            port,
            uri: &target.parse().unwrap(),
        })
    }

    #[test]
    fn what_is_not_said_stays() {
        assert_eq!(location(&nowhere(), 80, "web", "/a?b=c"), "http://web/a?b=c");
        assert_eq!(location(&nowhere(), 8080, "web:8080", "/a"), "http://web:8080/a");
        assert_eq!(location(&nowhere(), 80, "[fd00::1]:80", "/a"), "http://[fd00::1]/a");
    }

    #[test]
    fn a_port_is_named_where_it_is_not_the_schemes() {
        let host = Some("example.org".into());
        for (scheme, port, asked, expected) in [
            (None, None, 80, "http://example.org/"),
            (None, None, 8080, "http://example.org:8080/"),
            (None, Some(80), 8080, "http://example.org/"),
            (None, Some(8443), 80, "http://example.org:8443/"),
            (Some("https"), None, 8080, "https://example.org/"),
            (Some("http"), None, 8080, "http://example.org/"),
            (Some("https"), Some(443), 80, "https://example.org/"),
            (Some("https"), Some(80), 80, "https://example.org:80/"),
            (Some("http"), Some(443), 80, "http://example.org:443/"),
        ] {
            let redirect = Redirect {
                scheme: scheme.map(Into::into),
                host: host.clone(),
                port,
                ..nowhere()
            };
            assert_eq!(
                location(&redirect, asked, "web", "/"),
                expected,
                "{scheme:?} {port:?} {asked}"
            );
        }
    }

    #[test]
    fn a_path_is_changed_and_the_query_stays() {
        let redirect = Redirect {
            path: Some(PathChange::Prefix {
                matched: "/old".into(),
                with: "/new".into(),
            }),
            ..nowhere()
        };
        assert_eq!(location(&redirect, 80, "web", "/old/x?y=z"), "http://web/new/x?y=z");
    }

    #[test]
    fn a_host_that_is_none_gives_a_relative_place() {
        assert_eq!(location(&nowhere(), 80, "a b", "/a"), "/a");
    }
}
