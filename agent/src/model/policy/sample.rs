//! Policies for tests, with defaults.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Action, AuthenticationPolicy, AuthorizationPolicy, MtlsMode, Policies, Rule, Source, Support, Target, WrittenMtls,
};
use crate::model::{Contents, Identity, Mesh, ObjectName, Pod, Service, sample};

/// An AuthorizationPolicy `default/<name>` for all pods of the namespace.
pub(crate) fn mk_authorization(name: &str, action: Action, rules: Vec<Rule>) -> AuthorizationPolicy {
    AuthorizationPolicy {
        name: ObjectName::new("default", name),
        target: Target::All,
        action,
        rules,
        support: Support::Whole,
    }
}

/// An AuthenticationPolicy `default/<name>` for all pods of the namespace.
pub(crate) fn mk_authentication(name: &str, mode: MtlsMode) -> AuthenticationPolicy {
    AuthenticationPolicy {
        name: ObjectName::new("default", name),
        created: None,
        target: Target::All,
        mtls: WrittenMtls {
            mode: Some(mode),
            ..WrittenMtls::default()
        },
        support: Support::Whole,
    }
}

/// A rule for whoever this source means, to every port.
pub(crate) fn mk_rule(source: Source) -> Rule {
    Rule {
        from: vec![source],
        to: Vec::new(),
    }
}

/// The identity of an account of the mesh's own trust domain.
pub(crate) fn mk_identity(namespace: &str, account: &str) -> Identity {
    Identity::new("cluster.local", namespace, account)
}

/// Labels, from pairs.
pub(crate) fn mk_labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

/// These policies alone, in any order.
pub(crate) fn mk_policies(
    authorization: Vec<AuthorizationPolicy>,
    authentication: Vec<AuthenticationPolicy>,
) -> Policies {
    let mut policies = Policies {
        authorization: authorization.into_iter().map(Arc::new).collect(),
        authentication: authentication.into_iter().map(Arc::new).collect(),
        ..Policies::default()
    };
    policies.authorization.sort_by(|one, other| one.name.cmp(&other.name));
    policies.authentication.sort_by(|one, other| one.name.cmp(&other.name));
    policies
}

/// What a mesh with these policies is built from.
pub(crate) fn mk_contents(pods: Vec<Pod>, services: Vec<Service>, policies: Policies) -> Contents {
    Contents {
        generation: 1,
        node: sample::NODE.into(),
        zone: Some(sample::ZONE.into()),
        pods: pods.into_iter().map(Arc::new).collect(),
        services: services.into_iter().map(Arc::new).collect(),
        policies,
        ..Contents::default()
    }
}

/// A mesh of pods with these policies.
pub(crate) fn mk_guarded(pods: Vec<Pod>, policies: Policies) -> Mesh {
    Mesh::new(mk_contents(pods, Vec::new(), policies))
}
