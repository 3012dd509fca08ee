//! Which policies hold for one pod, compiled.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    Action, AuthenticationPolicy, AuthorizationPolicy, Membership, MtlsMode, PolicyId, Ports, Support,
    clause::Held,
    mtls::{Holding, Mtls},
    rules::RuleSet,
    scope::Scope,
};
use crate::model::Pod;

/// Which policies hold for a pod; pods for which the same ones hold share what they compile to.
#[derive(Clone, Debug)]
pub(super) struct Applicable {
    pub(super) scope: Arc<Scope>,
    authentication: Vec<(usize, Ports)>,
    authorization: Vec<(usize, Ports)>,
}

/// What the policies of a pod come to.
#[derive(Debug)]
pub(super) struct PodPolicies {
    pub(super) mtls: Mtls,
    pub(super) deny: RuleSet,
    pub(super) allow: RuleSet,
    pub(super) audit: RuleSet,
    /// Policies that deny since they are not understood.
    pub(super) obscure: Vec<(Arc<PolicyId>, Ports)>,
}

/// What compiling needs beside the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) trust_domain: Arc<str>,
    pub(super) system_namespace: Arc<str>,
    pub(super) mtls: MtlsMode,
}

// === impl Applicable ===

impl Applicable {
    /// Finds the policies of the scope that hold for the pod.
    pub(super) fn new(scope: &Arc<Scope>, pod: &Pod, memberships: &[Membership]) -> Self {
        Self {
            authentication: holding(&scope.authentication, |policy| {
                policy.target.ports(&policy.name.namespace, &pod.labels, memberships)
            }),
            authorization: holding(&scope.authorization, |policy| {
                policy.target.ports(&policy.name.namespace, &pod.labels, memberships)
            }),
            scope: Arc::clone(scope),
        }
    }

    /// The AuthenticationPolicies, each with the ports that it holds for.
    pub(super) fn authentication(&self) -> impl Iterator<Item = (&Arc<AuthenticationPolicy>, &Ports)> + Clone {
        let held = self.authentication.iter();
        held.map(|(index, ports)| (&self.scope.authentication[*index], ports))
    }

    /// The AuthorizationPolicies likewise.
    pub(super) fn authorization(&self) -> impl Iterator<Item = (&Arc<AuthorizationPolicy>, &Ports)> + Clone {
        let held = self.authorization.iter();
        held.map(|(index, ports)| (&self.scope.authorization[*index], ports))
    }

    /// Compiles them.
    pub(super) fn compile(&self, settings: &Settings) -> PodPolicies {
        let undecodable = self
            .scope
            .undecodable
            .iter()
            .map(|policy| (Arc::clone(policy), Ports::All));
        let partial_authentication = self
            .authentication()
            .filter(|(policy, _)| policy.support == Support::Partial)
            .map(|(policy, ports)| (Arc::new(policy.id()), ports.clone()));
        let partial_authorization = self
            .authorization()
            .filter(|(policy, _)| policy.support == Support::Partial)
            .map(|(policy, ports)| (Arc::new(policy.id()), ports.clone()));
        let of_action = |action: Action| {
            let policies = self
                .authorization()
                .filter(|(policy, _)| policy.support == Support::Whole && policy.action == action)
                .map(|(policy, ports)| Held {
                    policy: Arc::clone(policy),
                    id: Arc::new(policy.id()),
                    ports: ports.clone(),
                })
                .collect();
            RuleSet::new(policies, &settings.trust_domain)
        };
        PodPolicies {
            mtls: Mtls::new(
                self.authentication()
                    .map(|(policy, ports)| Holding {
                        policy,
                        ports: ports.clone(),
                        mesh_wide: policy.name.namespace == settings.system_namespace,
                    })
                    .collect(),
                settings.mtls,
            ),
            deny: of_action(Action::Deny),
            allow: of_action(Action::Allow),
            audit: of_action(Action::Audit),
            obscure: undecodable
                .chain(partial_authentication)
                .chain(partial_authorization)
                .collect(),
        }
    }
}

impl PartialEq for Applicable {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scope, &other.scope)
            && self.authentication == other.authentication
            && self.authorization == other.authorization
    }
}

impl Eq for Applicable {}

impl Hash for Applicable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.scope), &self.authentication, &self.authorization).hash(state);
    }
}

// === impl PodPolicies ===

impl PodPolicies {
    /// The policy that denies all on this port since it is not understood.
    pub(super) fn obscure_at(&self, port: u16) -> Option<&Arc<PolicyId>> {
        self.obscure
            .iter()
            .find(|(_, ports)| ports.contains(port))
            .map(|(policy, _)| policy)
    }

    /// Whether plaintext is refused on any port.
    pub(super) fn is_strict_anywhere(&self) -> bool {
        self.mtls.is_strict_anywhere() || !self.obscure.is_empty()
    }
}

fn holding<T>(policies: &[Arc<T>], ports: impl Fn(&T) -> Option<Ports>) -> Vec<(usize, Ports)> {
    let indexed = policies.iter().enumerate();
    indexed
        .filter_map(|(index, policy)| Some((index, ports(policy)?)))
        .collect()
}
