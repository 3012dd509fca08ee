//! The policies that may hold for pods of one namespace: its own and those of the system namespace.

use std::{collections::HashMap, sync::Arc};

use super::{AuthenticationPolicy, AuthorizationPolicy, Policies, PolicyId};

/// What may hold for pods of one namespace, in the order of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) authentication: Vec<Arc<AuthenticationPolicy>>,
    pub(super) authorization: Vec<Arc<AuthorizationPolicy>>,
    pub(super) undecodable: Vec<Arc<PolicyId>>,
}

/// The scopes of all namespaces.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    own: HashMap<Arc<str>, Arc<Scope>>,
    /// That of a namespace without policies of its own.
    system: Arc<Scope>,
}

// === impl Scopes ===

impl Scopes {
    /// Sorts policies by namespace; scopes in which nothing has changed stay the same values.
    pub(super) fn new(policies: &Policies, system_namespace: &str, previous: Option<&Self>) -> Self {
        let mut found: HashMap<Arc<str>, Scope> = HashMap::new();
        for policy in &policies.authentication {
            of(&mut found, &policy.name.namespace)
                .authentication
                .push(Arc::clone(policy));
        }
        for policy in &policies.authorization {
            of(&mut found, &policy.name.namespace)
                .authorization
                .push(Arc::clone(policy));
        }
        for policy in &policies.undecodable {
            of(&mut found, &policy.name.namespace)
                .undecodable
                .push(Arc::new(policy.clone()));
        }
        let system = found.remove(system_namespace).unwrap_or_default();
        let own = found
            .into_iter()
            .map(|(namespace, scope)| {
                let scope = system.followed_by(scope);
                let old = previous.and_then(|previous| previous.own.get(&namespace));
                (namespace, same(old, scope))
            })
            .collect();
        let system = same(previous.map(|previous| &previous.system), system);
        Self { own, system }
    }

    pub(super) fn of(&self, namespace: &str) -> &Arc<Scope> {
        self.own.get(namespace).unwrap_or(&self.system)
    }

    /// The scope of all namespaces without policies of their own.
    pub(super) fn system(&self) -> &Arc<Scope> {
        &self.system
    }

    /// The namespaces with policies of their own.
    pub(super) fn own(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Scope>)> {
        self.own.iter()
    }
}

// === impl Scope ===

impl Scope {
    fn followed_by(&self, own: Self) -> Self {
        let mut joined = self.clone();
        joined.authentication.extend(own.authentication);
        joined.authorization.extend(own.authorization);
        joined.undecodable.extend(own.undecodable);
        joined
    }

    fn is_same(&self, other: &Self) -> bool {
        same_values(&self.authentication, &other.authentication)
            && same_values(&self.authorization, &other.authorization)
            && self.undecodable == other.undecodable
    }
}

fn of<'a>(found: &'a mut HashMap<Arc<str>, Scope>, namespace: &Arc<str>) -> &'a mut Scope {
    found.entry(Arc::clone(namespace)).or_default()
}

fn same(old: Option<&Arc<Scope>>, new: Scope) -> Arc<Scope> {
    old.filter(|old| old.is_same(&new))
        .map_or_else(|| Arc::new(new), Arc::clone)
}

fn same_values<T>(these: &[Arc<T>], those: &[Arc<T>]) -> bool {
    these.len() == those.len() && these.iter().zip(those).all(|(this, that)| Arc::ptr_eq(this, that))
}
