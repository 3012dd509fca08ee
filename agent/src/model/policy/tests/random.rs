//! Random policies and callers: what is compiled decides as whoever reads the policies one by one does.

use super::*;
use crate::model::sample::mk_pod;

/// A small generator of numbers (splitmix64): the same ones each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("small")
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Nothing, most often; else some of what `make` gives.
    fn some<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        let length = if self.one_in(3) { 1 + self.below(2) } else { 0 };
        (0..length).map(|_| make(self)).collect()
    }

    fn identity(&mut self) -> Identity {
        let trust_domain = if self.one_in(4) { "other.org" } else { "cluster.local" };
        Identity::new(trust_domain, self.of(&NAMESPACES), self.of(&ACCOUNTS))
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        let labels = self.some(|random| {
            (
                random.of(&["app", "tier"]).to_owned(),
                random.of(&["a", "b"]).to_owned(),
            )
        });
        labels.into_iter().collect()
    }

    fn principal(&mut self) -> Principal {
        let trust_domain = self.one_in(4).then(|| "other.org".into());
        let namespace = self.of(&NAMESPACES).into();
        match self.below(4) {
            0 => Principal::Any,
            1 => Principal::Namespace {
                trust_domain,
                namespace,
            },
            _ => Principal::Account {
                trust_domain,
                namespace,
                service_account: self.of(&ACCOUNTS).into(),
            },
        }
    }

    fn block(&mut self) -> IpBlock {
        let (cidr, hole) = self.of(&[
            ("10.0.0.0/8", "10.1.0.0/16"),
            ("10.1.0.0/16", "10.1.1.0/24"),
            ("fd00::/8", "fd00:1::/32"),
            ("10.1.1.1/32", "10.1.1.1/32"),
        ]);
        let except = self.one_in(2).then(|| hole.parse().unwrap());
        IpBlock {
            cidr: cidr.parse().unwrap(),
            except: except.into_iter().collect(),
        }
    }

    fn source(&mut self) -> Source {
        Source {
            principals: self.some(Self::principal),
            not_principals: self.some(Self::principal),
            namespaces: self.some(|random| random.of(&NAMESPACES).into()),
            not_namespaces: self.some(|random| random.of(&NAMESPACES).into()),
            pod_labels: self.labels(),
            not_pod_labels: self.labels(),
            ip_blocks: self.some(Self::block),
            not_ip_blocks: self.some(Self::block),
            needs_l7: self.one_in(8),
        }
    }

    fn operation(&mut self) -> Operation {
        Operation {
            ports: self.some(|random| random.of(&PORTS)),
            not_ports: self.some(|random| random.of(&PORTS)),
            needs_l7: self.one_in(8),
        }
    }

    fn rule(&mut self) -> Rule {
        Rule {
            from: self.some(Self::source),
            to: self.some(Self::operation),
        }
    }

    fn target(&mut self) -> Target {
        match self.below(4) {
            0 => Target::All,
            1 => Target::Selector(self.labels()),
            _ => Target::Services(vec![ServiceTarget {
                service: self.of(&["web", "db"]).into(),
                section: self.one_in(2).then(|| self.of(&["http", "grpc", "none"]).into()),
            }]),
        }
    }

    fn policy(&mut self, index: usize) -> AuthorizationPolicy {
        AuthorizationPolicy {
            name: ObjectName::new(self.of(&["default", "weft-system", "other"]), format!("p{index:03}")),
            target: self.target(),
            action: self.of(&[Action::Allow, Action::Allow, Action::Deny, Action::Audit]),
            rules: (0..self.below(3)).map(|_| self.rule()).collect(),
            support: if self.one_in(400) {
                Support::Partial
            } else {
                Support::Whole
            },
        }
    }
}

/// The evaluator that the compiled form is compared with: every policy in turn, word for word.
struct Naive<'a> {
    policies: &'a Policies,
    pod: &'a Pod,
    port: u16,
    caller: Caller<'a>,
}

impl Naive<'_> {
    fn decided(&self) -> String {
        // The system namespace's policies come first.
        let of = |system| {
            let policies = self.policies.authorization.iter();
            policies.filter(move |policy| (&*policy.name.namespace == "weft-system") == system)
        };
        let held = || of(true).chain(of(false)).filter(|policy| self.holds(policy));
        let first = |action: Action| {
            let mut of_action = held().filter(|policy| policy.action == action && policy.support == Support::Whole);
            of_action.find_map(|policy| {
                let mut rules = policy.rules.iter();
                Some((policy, rules.position(|rule| self.matches(policy, rule))?))
            })
        };
        let verdict = if let Some(policy) = held().find(|policy| policy.support == Support::Partial) {
            format!("not_understood by {}", policy.name)
        } else if let Some((policy, rule)) = first(Action::Deny) {
            format!("deny_matches by {}[{rule}]", policy.name)
        } else if let Some((policy, rule)) = first(Action::Allow) {
            format!("allowed by {}[{rule}]", policy.name)
        } else if let Some(policy) =
            held().find(|policy| policy.action == Action::Allow && policy.support == Support::Whole)
        {
            format!("no_allow_matches by {}", policy.name)
        } else {
            "allowed".to_owned()
        };
        let audits = held().filter(|policy| policy.action == Action::Audit && policy.support == Support::Whole);
        let audits = audits.filter(|policy| policy.rules.iter().any(|rule| self.matches(policy, rule)));
        audits.fold(verdict, |told, policy| format!("{told} audit {}", policy.name))
    }

    fn holds(&self, policy: &AuthorizationPolicy) -> bool {
        let is_system = &*policy.name.namespace == "weft-system";
        let here = policy.name.namespace == self.pod.name.namespace;
        match &policy.target {
            Target::All => is_system || here,
            Target::Selector(labels) => (is_system || here) && has(Some(&self.pod.labels), labels),
            // The pod is behind `web`, whose port `http` is its 80; it has no `grpc`.
            Target::Services(targets) => targets.iter().any(|target| {
                here && &*target.service == "web"
                    && match target.section.as_deref() {
                        Some("http") => self.port == 80,
                        Some("grpc") => false,
                        Some(_) | None => true,
                    }
            }),
        }
    }

    fn matches(&self, policy: &AuthorizationPolicy, rule: &Rule) -> bool {
        let blind = |needs_l7: bool| needs_l7 && policy.action == Action::Allow;
        let from = |source: &Source| !blind(source.needs_l7) && self.means(source, policy.action);
        let to = |operation: &Operation| {
            !blind(operation.needs_l7)
                && (operation.ports.is_empty() || operation.ports.contains(&self.port))
                && !operation.not_ports.contains(&self.port)
        };
        (rule.from.is_empty() || rule.from.iter().any(from)) && (rule.to.is_empty() || rule.to.iter().any(to))
    }

    fn means(&self, source: &Source, action: Action) -> bool {
        let identity = self.caller.identity;
        let labels = self.caller.labels.filter(|_| identity.is_some());
        let suspicious = action != Action::Allow;
        let text = |identity: &Identity| identity.to_string();
        let is = |principal: &Principal| {
            identity.is_some_and(|identity| match principal {
                Principal::Any => true,
                Principal::Namespace {
                    trust_domain,
                    namespace,
                } => {
                    let domain = trust_domain.as_deref().unwrap_or("cluster.local");
                    text(identity).starts_with(&format!("spiffe://{domain}/ns/{namespace}/sa/"))
                }
                Principal::Account {
                    trust_domain,
                    namespace,
                    service_account,
                } => {
                    let domain = trust_domain.as_deref().unwrap_or("cluster.local");
                    text(identity) == format!("spiffe://{domain}/ns/{namespace}/sa/{service_account}")
                }
            })
        };
        let lives = |namespace: &Arc<str>| {
            identity.is_some_and(|it| it.namespace == *namespace && &*it.trust_domain == "cluster.local")
        };
        let inside = |block: &IpBlock| {
            let address = self.caller.address.to_canonical();
            block.cidr.contains(&address) && !block.except.iter().any(|hole| hole.contains(&address))
        };
        let unproven = |proven: bool, matches: bool| if proven { matches } else { suspicious };
        let proven = identity.is_some();
        (source.principals.is_empty() || source.principals.iter().any(is))
            && (source.namespaces.is_empty() || source.namespaces.iter().any(lives))
            && (source.pod_labels.is_empty() || has(labels, &source.pod_labels))
            && (source.ip_blocks.is_empty() || source.ip_blocks.iter().any(inside))
            && (source.not_principals.is_empty() || unproven(proven, !source.not_principals.iter().any(is)))
            && (source.not_namespaces.is_empty() || unproven(proven, !source.not_namespaces.iter().any(lives)))
            && (source.not_pod_labels.is_empty() || unproven(labels.is_some(), !has(labels, &source.not_pod_labels)))
            && !source.not_ip_blocks.iter().any(inside)
    }
}

fn has(labels: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>) -> bool {
    labels.is_some_and(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

#[test]
fn compiled_policies_decide_as_those_read_one_by_one() {
    let mut random = Random(4);
    let mut verdicts = BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        let mut pod = mk_pod("web", "10.0.0.1");
        pod.labels = random.labels();
        let few_or_many = random.of(&[0, 1, 3, 10, 60]);
        let policies = (0..few_or_many).map(|index| random.policy(index)).collect();
        let mut policies = mk_policies(policies, vec![]);
        let membership = Membership {
            service: ObjectName::new("default", "web"),
            ports: vec![("grpc".into(), None), ("http".into(), Some(80))],
        };
        policies.memberships.insert(pod.uid.clone(), vec![membership]);
        let mesh = mk_guarded(vec![pod.clone()], policies.clone());
        for _ in 0..CALLERS {
            let identity = (!random.one_in(4)).then(|| random.identity());
            let labels = (!random.one_in(4)).then(|| random.labels());
            let caller = Caller {
                identity: identity.as_ref(),
                labels: labels.as_ref(),
                address: mk_ip(random.of(&ADDRESSES)),
            };
            let naive = Naive {
                policies: &policies,
                pod: &pod,
                port: random.of(&PORTS),
                caller,
            };
            let expected = naive.decided();
            assert_eq!(
                decided(&mesh, naive.port, &caller),
                expected,
                "round {round}: {caller:?} {policies:#?}"
            );
            let kind = expected.split([' ']).next().unwrap_or_default().to_owned();
            *verdicts.entry(kind).or_default() += 1;
        }
    }
    // Else the generator would prove nothing.
    for kind in ["allowed", "deny_matches", "no_allow_matches", "not_understood"] {
        assert!(verdicts[kind] > ROUNDS * CALLERS / 100, "{verdicts:?}");
    }
}

const NAMESPACES: [&str; 3] = ["default", "shop", "other"];

const ACCOUNTS: [&str; 3] = ["cart", "front", "default"];

const PORTS: [u16; 3] = [80, 81, 443];

const ADDRESSES: [&str; 6] = [
    "10.1.1.1",
    "10.1.2.1",
    "10.9.9.9",
    "fd00::1",
    "fd00:1::1",
    "::ffff:10.1.1.1",
];

const ROUNDS: usize = 400;

const CALLERS: usize = 25;
