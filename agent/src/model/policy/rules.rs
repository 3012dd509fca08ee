//! The clauses of many policies, found without looking at all of them.
//!
//! Each clause lies in the buckets of one thing that it asks for, the one which the fewest others ask for too: an identity,
//! a namespace, a label, an address range or a port. What asks for nothing of that kind is looked at always.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Caller, Ports, Principal,
    clause::{Clause, Held},
};
use crate::model::Identity;

/// The policies of one action that hold for a pod.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    policies: Vec<Held>,
    /// In the order of policies and rules.
    clauses: Vec<Clause>,
    trust_domain: Arc<str>,
    by_identity: HashMap<Identity, Bucket>,
    by_namespace: HashMap<Arc<str>, Bucket>,
    by_label: HashMap<String, HashMap<String, Bucket>>,
    by_range: HashMap<IpNet, Bucket>,
    prefix_lengths: BTreeSet<u8>,
    by_port: HashMap<u16, Bucket>,
    always: Bucket,
}

/// Indices of clauses, ascending.
type Bucket = Vec<usize>;

/// Something that a clause asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Identity(Identity),
    Namespace(&'a Arc<str>),
    Label(&'a str, &'a str),
    Range(IpNet),
    Port(u16),
}

// === impl RuleSet ===

impl RuleSet {
    /// Sorts the clauses for finding; identities without a trust domain are of `trust_domain`.
    pub(super) fn new(policies: Vec<Held>, trust_domain: &Arc<str>) -> Self {
        let clauses: Vec<Clause> = policies
            .iter()
            .enumerate()
            .flat_map(|(index, held)| Clause::of(index, &held.policy))
            .collect();
        let mut set = Self {
            trust_domain: Arc::clone(trust_domain),
            ..Self::default()
        };
        if clauses.len() <= FEW {
            set.always = (0..clauses.len()).collect();
        } else {
            set.fill(&policies, &clauses);
        }
        Self {
            policies,
            clauses,
            ..set
        }
    }

    /// The first policy that holds for the port, whether or not it matches.
    pub(super) fn holding(&self, port: u16) -> Option<&Held> {
        self.policies.iter().find(|held| held.ports.contains(port))
    }

    /// The first policy that matches, with the index of its first rule that does.
    pub(super) fn first(&self, port: u16, caller: &Caller<'_>) -> Option<(&Held, usize)> {
        let mut best: Option<usize> = None;
        self.visit(port, caller, &mut |bucket| {
            let earlier = bucket
                .iter()
                .copied()
                .take_while(|index| best.is_none_or(|best| *index < best));
            if let Some(found) = { earlier }.find(|index| self.matches(*index, port, caller)) {
                best = Some(found);
            }
        });
        best.map(|index| (self.held(index), self.clauses[index].rule))
    }

    /// All policies that match, in their order.
    pub(super) fn all(&self, port: u16, caller: &Caller<'_>) -> Vec<&Held> {
        let mut found = BTreeSet::new();
        self.visit(port, caller, &mut |bucket| {
            let matching = bucket.iter().filter(|index| self.matches(**index, port, caller));
            found.extend(matching.map(|index| self.clauses[*index].policy));
        });
        found.into_iter().map(|policy| &self.policies[policy]).collect()
    }

    fn held(&self, clause: usize) -> &Held {
        &self.policies[self.clauses[clause].policy]
    }

    fn matches(&self, clause: usize, port: u16, caller: &Caller<'_>) -> bool {
        self.clauses[clause].matches(self.held(clause), port, caller, &self.trust_domain)
    }

    /// Shows the buckets in which clauses that match can lie.
    fn visit(&self, port: u16, caller: &Caller<'_>, look: &mut dyn FnMut(&[usize])) {
        let mut bucket = |found: Option<&Bucket>| {
            if let Some(found) = found {
                look(found);
            }
        };
        bucket(Some(&self.always));
        bucket(self.by_port.get(&port));
        if let Some(identity) = caller.identity {
            bucket(self.by_identity.get(identity));
            bucket(self.by_namespace.get(&identity.namespace));
        }
        if !self.by_label.is_empty() {
            for (key, value) in caller.labels.into_iter().flatten() {
                bucket(self.by_label.get(key).and_then(|values| values.get(value)));
            }
        }
        for length in &self.prefix_lengths {
            bucket(range_around(caller.address, *length).and_then(|range| self.by_range.get(&range)));
        }
    }

    fn fill(&mut self, policies: &[Held], clauses: &[Clause]) {
        let mut asked: HashMap<Key<'_>, usize> = HashMap::new();
        for clause in clauses {
            for key in keys(clause, &policies[clause.policy], &self.trust_domain)
                .into_iter()
                .flatten()
            {
                *asked.entry(key).or_default() += 1;
            }
        }
        let trust_domain = Arc::clone(&self.trust_domain);
        for (index, clause) in clauses.iter().enumerate() {
            let rarest = keys(clause, &policies[clause.policy], &trust_domain)
                .into_iter()
                .min_by_key(|keys| keys.iter().map(|key| asked[key]).max());
            match rarest {
                None => self.always.push(index),
                Some(keys) => keys.into_iter().for_each(|key| self.bucket(key).push(index)),
            }
        }
        // A clause that names one thing twice lies in its bucket twice, which does no harm.
    }

    fn bucket(&mut self, key: Key<'_>) -> &mut Bucket {
        match key {
            Key::Identity(identity) => self.by_identity.entry(identity).or_default(),
            Key::Namespace(namespace) => self.by_namespace.entry(Arc::clone(namespace)).or_default(),
            Key::Label(key, value) => self
                .by_label
                .entry(key.to_owned())
                .or_default()
                .entry(value.to_owned())
                .or_default(),
            Key::Range(range) => {
                self.prefix_lengths.insert(range.prefix_len());
                self.by_range.entry(range).or_default()
            }
            Key::Port(port) => self.by_port.entry(port).or_default(),
        }
    }
}

/// The choices of keys under which a clause would be found: whatever it matches has one key of each choice.
fn keys<'a>(clause: &Clause, held: &'a Held, own: &Arc<str>) -> Vec<Vec<Key<'a>>> {
    let mut choices = Vec::new();
    if let Ports::Only(ports) = &held.ports {
        choices.push(ports.iter().map(|port| Key::Port(*port)).collect());
    }
    if let Some(operation) = clause.operation(&held.policy) {
        choices.push(operation.ports.iter().map(|port| Key::Port(*port)).collect());
    }
    if let Some(source) = clause.source(&held.policy) {
        // None of the keys of a choice may be missing, so that one principal which has no key forbids the choice.
        choices.push(
            source
                .principals
                .iter()
                .map(|it| principal_key(it, own))
                .collect::<Option<_>>()
                .unwrap_or_default(),
        );
        choices.push(source.namespaces.iter().map(Key::Namespace).collect());
        choices.extend(
            source
                .pod_labels
                .iter()
                .map(|(key, value)| vec![Key::Label(key, value)]),
        );
        choices.push(
            source
                .ip_blocks
                .iter()
                .map(|block| Key::Range(block.cidr.trunc()))
                .collect(),
        );
    }
    choices.retain(|keys: &Vec<_>| !keys.is_empty());
    choices
}

fn principal_key<'a>(principal: &'a Principal, own: &Arc<str>) -> Option<Key<'a>> {
    match principal {
        Principal::Any => None,
        Principal::Namespace { namespace, .. } => Some(Key::Namespace(namespace)),
        Principal::Account {
            trust_domain,
            namespace,
            service_account,
        } => Some(Key::Identity(Identity {
            trust_domain: Arc::clone(trust_domain.as_ref().unwrap_or(own)),
            namespace: Arc::clone(namespace),
            service_account: Arc::clone(service_account),
        })),
    }
}

fn range_around(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok().map(|range| range.trunc())
}

/// So many clauses are faster looked at one by one than found.
const FEW: usize = 8;
