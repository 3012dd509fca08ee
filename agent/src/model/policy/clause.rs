//! One way in which a policy can match: a source of a rule with an operation of the same rule.

use std::sync::Arc;

use super::{Action, AuthorizationPolicy, Caller, Operation, PolicyId, Ports, Source};

/// One `from` entry joined with one `to` entry of one rule; it points into the policy instead of copying it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause {
    /// The index of its policy in the set.
    pub(super) policy: usize,
    /// The index of its rule in the policy.
    pub(super) rule: usize,
    from: Option<usize>,
    to: Option<usize>,
}

/// A policy with the ports that it holds for.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) policy: Arc<AuthorizationPolicy>,
    pub(super) id: Arc<PolicyId>,
    pub(super) ports: Ports,
}

// === impl Clause ===

impl Clause {
    /// All clauses of a policy that could ever match.
    ///
    /// One that needs L7 never lets anybody in; where it denies or records, that part counts as left out.
    pub(super) fn of(index: usize, policy: &AuthorizationPolicy) -> impl Iterator<Item = Self> {
        let action = policy.action;
        policy.rules.iter().enumerate().flat_map(move |(rule, written)| {
            let sources = entries(written.from.len());
            sources.flat_map(move |from| {
                entries(written.to.len()).filter_map(move |to| {
                    let clause = Self {
                        policy: index,
                        rule,
                        from,
                        to,
                    };
                    let needs_l7 = from.is_some_and(|from| written.from[from].needs_l7)
                        || to.is_some_and(|to| written.to[to].needs_l7);
                    (action != Action::Allow || !needs_l7).then_some(clause)
                })
            })
        })
    }

    pub(super) fn source<'a>(&self, policy: &'a AuthorizationPolicy) -> Option<&'a Source> {
        policy.rules[self.rule].from.get(self.from?)
    }

    pub(super) fn operation<'a>(&self, policy: &'a AuthorizationPolicy) -> Option<&'a Operation> {
        policy.rules[self.rule].to.get(self.to?)
    }

    /// Whether it matches; the caller is canonical.
    pub(super) fn matches(&self, held: &Held, port: u16, caller: &Caller<'_>, trust_domain: &str) -> bool {
        let policy = &*held.policy;
        held.ports.contains(port)
            && self.operation(policy).is_none_or(|operation| operation.matches(port))
            && self
                .source(policy)
                .is_none_or(|source| source.matches(caller, trust_domain, policy.action))
    }
}

// === impl Operation ===

impl Operation {
    fn matches(&self, port: u16) -> bool {
        let Self {
            ports,
            not_ports,
            needs_l7: _,
        } = self;
        (ports.is_empty() || ports.contains(&port)) && !not_ports.contains(&port)
    }
}

/// The indices of a list; one time none where it is empty, which means everything.
fn entries(length: usize) -> impl Iterator<Item = Option<usize>> {
    let whole = (length == 0).then_some(None);
    whole.into_iter().chain((0..length).map(Some))
}
