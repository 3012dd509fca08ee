//! Who opens a connection, and whether a source of a rule means him.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{Action, IpBlock, Principal, Source, target::carries};
use crate::model::Identity;

/// Who opens a connection, as far as it is proven.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// What its certificate proves.
    pub identity: Option<&'a Identity>,
    /// The labels of its pod; they count only beside an identity.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Its address; a v4 address written as v6 counts as v4.
    pub address: IpAddr,
}

// === impl Caller ===

impl Caller<'_> {
    /// Whoever comes in plaintext.
    pub fn unproven(address: IpAddr) -> Self {
        Self {
            identity: None,
            labels: None,
            address,
        }
    }

    /// As the rules see it.
    pub(super) fn canonical(self) -> Self {
        Self {
            labels: self.labels.filter(|_| self.identity.is_some()),
            address: self.address.to_canonical(),
            ..self
        }
    }
}

// === impl Source ===

impl Source {
    /// Whether it means the caller, who is canonical.
    pub(super) fn matches(&self, caller: &Caller<'_>, trust_domain: &str, action: Action) -> bool {
        let Self {
            principals,
            not_principals,
            namespaces,
            not_namespaces,
            pod_labels,
            not_pod_labels,
            ip_blocks,
            not_ip_blocks,
            needs_l7: _,
        } = self;
        let Caller {
            identity,
            labels,
            address,
        } = *caller;
        let is_one_of =
            |list: &[Principal], identity: &Identity| list.iter().any(|it| it.matches(identity, trust_domain));
        let lives_in = |list: &[Arc<str>], identity: &Identity| {
            *identity.trust_domain == *trust_domain && list.contains(&identity.namespace)
        };
        let is_in = |list: &[IpBlock]| list.iter().any(|block| block.contains(address));
        // What a not-form answers about a caller who has not proven what it asks for.
        let unproven = counts_unproven(action);
        (principals.is_empty() || identity.is_some_and(|identity| is_one_of(principals, identity)))
            && (namespaces.is_empty() || identity.is_some_and(|identity| lives_in(namespaces, identity)))
            && (pod_labels.is_empty() || labels.is_some_and(|labels| carries(labels, pod_labels)))
            && (ip_blocks.is_empty() || is_in(ip_blocks))
            && (not_principals.is_empty() || identity.map_or(unproven, |identity| !is_one_of(not_principals, identity)))
            && (not_namespaces.is_empty() || identity.map_or(unproven, |identity| !lives_in(not_namespaces, identity)))
            && (not_pod_labels.is_empty() || labels.map_or(unproven, |labels| !carries(labels, not_pod_labels)))
            && (not_ip_blocks.is_empty() || !is_in(not_ip_blocks))
    }
}

// === impl Principal ===

impl Principal {
    fn matches(&self, identity: &Identity, own: &str) -> bool {
        let of_domain = |domain: &Option<Arc<str>>| *identity.trust_domain == *domain.as_deref().unwrap_or(own);
        match self {
            Self::Any => true,
            Self::Namespace {
                trust_domain,
                namespace,
            } => identity.namespace == *namespace && of_domain(trust_domain),
            Self::Account {
                trust_domain,
                namespace,
                service_account,
            } => {
                identity.service_account == *service_account
                    && identity.namespace == *namespace
                    && of_domain(trust_domain)
            }
        }
    }
}

// === impl IpBlock ===

impl IpBlock {
    fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|hole| hole.contains(&address))
    }
}

/// Whether a not-form matches whoever has not proven what it asks for.
fn counts_unproven(action: Action) -> bool {
    match action {
        Action::Allow => false,
        Action::Deny | Action::Audit => true,
    }
}
