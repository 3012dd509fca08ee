//! Rules for connections of which only bytes are seen, or a TLS greeting.

use std::{collections::HashMap, sync::Arc};

use super::Rule;

/// The rules of TLSRoutes, by server name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Arc<Rule>>,
    /// Without the `*`, each beginning with a dot.
    below: HashMap<Box<str>, Arc<Rule>>,
    any: Option<Arc<Rule>>,
}

// === impl Names ===

impl Names {
    /// Adds a rule for these names, for all where there are none; who came first keeps a name.
    pub(super) fn add(&mut self, names: &[Arc<str>], rule: &Arc<Rule>) {
        if names.is_empty() {
            self.any.get_or_insert_with(|| Arc::clone(rule));
        }
        for name in names {
            let name = name.to_ascii_lowercase();
            let (map, name) = match name.strip_prefix('*') {
                Some(domain) => (&mut self.below, domain.into()),
                None => (&mut self.exact, name.into_boxed_str()),
            };
            map.entry(name).or_insert_with(|| Arc::clone(rule));
        }
    }

    /// The rule for a server name: its own, else that of the longest domain above, else that for all.
    pub(super) fn choose(&self, server_name: Option<&str>) -> Option<&Arc<Rule>> {
        let named = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let own = self.exact.get(name.as_str());
            own.or_else(|| {
                let mut domains = name.match_indices('.').map(|(dot, _)| &name[dot..]);
                domains.find_map(|domain| self.below.get(domain))
            })
        });
        named.or(self.any.as_ref())
    }

    /// All rules, for showing.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.exact.values().chain(self.below.values()).chain(&self.any)
    }
}

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
        let choice = |names: &Names, name: &str| names.choose(Some(name)).map(|rule| rule_name(rule));
        let chosen = |name: &str| choice(&names, name);
        assert_eq!(chosen("A.example").as_deref(), Some("a.example"));
        assert_eq!(chosen("x.example").as_deref(), Some("*.example"));
        assert_eq!(chosen("x.y.b.example").as_deref(), Some("*.b.example"));
        assert_eq!(chosen("example"), None);
        assert_eq!(names.choose(None), None);
        names.add(&[], &mk_rule("rest"));
        assert_eq!(choice(&names, "example").as_deref(), Some("rest"));
    }
}
