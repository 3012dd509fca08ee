//! The policies of all local pods, compiled when the mesh changes; what a change does not touch is taken over.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Membership, Policies,
    held::{Applicable, PodPolicies, Settings},
    remote::Remote,
    scope::Scopes,
};
use crate::model::{MeshConfig, ObjectName, OnAgentFailure, Pod, PodUid, Service};

/// What all policies come to.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Compiled(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    settings: Option<Settings>,
    scopes: Scopes,
    pods: HashMap<PodUid, Entry>,
    remote: Remote,
}

/// A pod with what holds for it.
#[derive(Clone, Debug)]
struct Entry {
    /// As it came; in the mesh it may be one that fails closed.
    given: Arc<Pod>,
    pod: Arc<Pod>,
    applicable: Arc<Applicable>,
    memberships: Vec<Membership>,
    policies: Arc<PodPolicies>,
}

/// What is compiled.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Given<'a> {
    pub(in crate::model) policies: &'a Policies,
    pub(in crate::model) config: &'a MeshConfig,
    pub(in crate::model) services: &'a BTreeMap<ObjectName, Arc<Service>>,
}

// === impl Compiled ===

impl Compiled {
    /// Compiles, and gives the pods as the policies want them: one with a Strict port fails closed.
    pub(in crate::model) fn new(
        given: Given<'_>,
        pods: Vec<Arc<Pod>>,
        previous: Option<&Self>,
    ) -> (Self, BTreeMap<PodUid, Arc<Pod>>) {
        let settings = Settings {
            trust_domain: given.config.trust_domain.as_str().into(),
            system_namespace: given.config.system_namespace.as_str().into(),
            mtls: given.config.mtls,
        };
        let previous = previous
            .map(|previous| &*previous.0)
            .filter(|previous| previous.settings.as_ref() == Some(&settings));
        let scopes = Scopes::new(
            given.policies,
            &settings.system_namespace,
            previous.map(|previous| &previous.scopes),
        );
        let mut shared: HashMap<Arc<Applicable>, Arc<PodPolicies>> = HashMap::new();
        let mut entries = HashMap::with_capacity(pods.len());
        for pod in pods {
            let memberships = given
                .policies
                .memberships
                .get(&pod.uid)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let scope = scopes.of(&pod.name.namespace);
            let old = previous.and_then(|previous| previous.pods.get(&pod.uid)).filter(|old| {
                *old.given == *pod && Arc::ptr_eq(&old.applicable.scope, scope) && old.memberships == memberships
            });
            let entry = old.cloned().unwrap_or_else(|| {
                let applicable = Arc::new(Applicable::new(scope, &pod, memberships));
                let policies = shared
                    .get(&applicable)
                    .map_or_else(|| Arc::new(applicable.compile(&settings)), Arc::clone);
                Entry {
                    pod: if policies.is_strict_anywhere() {
                        failing_closed(&pod)
                    } else {
                        Arc::clone(&pod)
                    },
                    given: pod,
                    applicable,
                    memberships: memberships.to_vec(),
                    policies,
                }
            });
            shared
                .entry(Arc::clone(&entry.applicable))
                .or_insert_with(|| Arc::clone(&entry.policies));
            entries.insert(entry.given.uid.clone(), entry);
        }
        let pods = entries
            .iter()
            .map(|(uid, entry)| (uid.clone(), Arc::clone(&entry.pod)))
            .collect();
        let remote = Remote::new(&scopes, given, &settings);
        let compiled = Inner {
            settings: Some(settings),
            scopes,
            pods: entries,
            remote,
        };
        (Self(Arc::new(compiled)), pods)
    }

    /// What holds for a pod of this node.
    pub(super) fn of(&self, pod: &PodUid) -> Option<&PodPolicies> {
        self.0.pods.get(pod).map(|entry| &*entry.policies)
    }

    /// The pods as they came, in the order of their UIDs.
    pub(in crate::model) fn given(&self) -> impl Iterator<Item = Arc<Pod>> {
        let pods: BTreeMap<&PodUid, &Entry> = self.0.pods.iter().collect();
        pods.into_values().map(|entry| Arc::clone(&entry.given))
    }

    /// Which policies these are.
    pub(super) fn applicable(&self, pod: &PodUid) -> Option<&Applicable> {
        self.0.pods.get(pod).map(|entry| &*entry.applicable)
    }

    pub(super) fn remote(&self) -> &Remote {
        &self.0.remote
    }
}

fn failing_closed(pod: &Arc<Pod>) -> Arc<Pod> {
    match pod.on_agent_failure {
        OnAgentFailure::Closed => Arc::clone(pod),
        OnAgentFailure::Open => Arc::new(Pod {
            on_agent_failure: OnAgentFailure::Closed,
            ..Pod::clone(pod)
        }),
    }
}
