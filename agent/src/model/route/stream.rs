//! Rules for connections of which only bytes are seen, or a TLS greeting.

use std::{collections::HashMap, sync::Arc};

use super::Rule;

/// The rules of TLSRoutes, by server name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Named>,
    /// Without the `*`, each beginning with a dot.
    below: HashMap<Box<str>, Named>,
    any: Option<Arc<Rule>>,
}

/// A rule, and the name for which it is.
#[derive(Clone, Debug)]
struct Named {
    rule: Arc<Rule>,
    /// As it is written.
    name: Arc<str>,
}

// === impl Names ===

impl Names {
    /// Adds a rule for these names, for all where there are none; who came first keeps a name.
    pub(super) fn add(&mut self, names: &[Arc<str>], rule: &Arc<Rule>) {
        if names.is_empty() {
            self.any.get_or_insert_with(|| Arc::clone(rule));
        }
        for written in names {
            let name = written.to_ascii_lowercase();
            let (map, name) = match name.strip_prefix('*') {
                Some(domain) => (&mut self.below, domain.into()),
                None => (&mut self.exact, name.into_boxed_str()),
            };
            map.entry(name).or_insert_with(|| Named {
                rule: Arc::clone(rule),
                name: Arc::clone(written),
            });
        }
    }

    /// The rule for a server name, and the name by which it was found: its own, else that of the longest domain above, else
    /// that for all.
    pub(super) fn choose(&self, server_name: Option<&str>) -> Option<(&Arc<Rule>, Option<&str>)> {
        let named = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let own = self.exact.get(name.as_str());
            own.or_else(|| {
                let mut domains = name.match_indices('.').map(|(dot, _)| &name[dot..]);
                domains.find_map(|domain| self.below.get(domain))
            })
        });
        let named = named.map(|Named { rule, name }| (rule, Some(&**name)));
        named.or_else(|| self.any.as_ref().map(|rule| (rule, None)))
    }

    /// All rules, for showing.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        let named = self.exact.values().chain(self.below.values());
        named.map(|named| &named.rule).chain(&self.any)
    }
}

/// Whether bytes can be the name of a server that a client of TLS asks for: a host's, in full (RFC 6066, 3).
pub fn is_server_name(name: &[u8]) -> bool {
    let is_of_a_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.iter().all(is_of_a_host)
}

/// RFC 1035, 2.3.4, as text.
const LONGEST_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::{
        super::sample::{mk_rule, rule_name},
        *,
    };

    #[test]
    fn the_longest_name_wins() {
        let mut names = Names::default();
        for name in ["a.example", "*.example", "*.b.example"] {
            names.add(&[name.into()], &mk_rule(name));
        }
        names.add(&["a.example".into()], &mk_rule("too late"));
        let choice = |names: &Names, name: &str| names.choose(Some(name)).map(|(rule, _)| rule_name(rule));
        let chosen = |name: &str| choice(&names, name);
        assert_eq!(chosen("A.example").as_deref(), Some("a.example"));
        assert_eq!(chosen("x.example").as_deref(), Some("*.example"));
        assert_eq!(chosen("x.y.b.example").as_deref(), Some("*.b.example"));
        assert_eq!(chosen("example"), None);
        assert!(names.choose(None).is_none());
        let by = |name: &str| names.choose(Some(name)).and_then(|(_, name)| name);
        assert_eq!(
            (by("A.example"), by("x.example")),
            (Some("a.example"), Some("*.example"))
        );
        names.add(&[], &mk_rule("rest"));
        assert_eq!(choice(&names, "example").as_deref(), Some("rest"));
    }

    #[test]
    fn a_server_is_named_as_a_host_in_full() {
        assert!(is_server_name(b"a-b_c.example"));
        for name in [&b""[..], b"*.example", b"a b", "ä.example".as_bytes(), &[b'a'; 254]] {
            assert!(!is_server_name(name), "{}", name.escape_ascii());
        }
    }
}
