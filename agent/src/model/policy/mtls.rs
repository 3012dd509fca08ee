//! What the AuthenticationPolicies of a workload come to, port by port.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{AuthenticationPolicy, MtlsMode, PolicyId, PortMtls, Ports, Target};

/// How peers of a workload prove who they are, on each of its ports.
#[derive(Clone, Debug, Default)]
pub(super) struct Mtls {
    others: PortAuthentication,
    ports: BTreeMap<u16, PortAuthentication>,
}

/// How peers prove who they are on one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortAuthentication {
    /// Whether mutual TLS is needed.
    pub mode: Setting<MtlsMode>,
    /// Who may come in plaintext although it is.
    pub plaintext_from: Setting<Arc<[IpNet]>>,
}

/// A value with the policy that gives it; without one it is the mesh's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Whose it is.
    pub by: Option<Arc<PolicyId>>,
}

/// A policy with the ports that it holds for.
#[derive(Clone, Debug)]
pub(super) struct Holding<'a> {
    pub(super) policy: &'a AuthenticationPolicy,
    pub(super) ports: Ports,
    /// Whether it is of the system namespace.
    pub(super) mesh_wide: bool,
}

/// How much a policy is about one workload; the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Mesh,
    MeshSelector,
    Namespace,
    Workload,
    Section,
}

// === impl Mtls ===

impl Mtls {
    /// Works out which of the policies decides on each port.
    pub(super) fn new(mut holding: Vec<Holding<'_>>, default: MtlsMode) -> Self {
        holding.sort_by(|one, other| one.rank().cmp(&other.rank()));
        let listed = holding.iter().flat_map(|held| {
            let own = match &held.ports {
                Ports::All => &[][..],
                Ports::Only(ports) => ports,
            };
            held.policy.mtls.ports.keys().chain(own).copied()
        });
        Self {
            others: resolve(&holding, None, default),
            ports: { listed }
                .map(|port| (port, resolve(&holding, Some(port), default)))
                .collect(),
        }
    }

    pub(super) fn at(&self, port: u16) -> &PortAuthentication {
        self.ports.get(&port).unwrap_or(&self.others)
    }

    /// The ports on which something else holds than on the others.
    pub(super) fn ports(&self) -> impl Iterator<Item = (Option<u16>, &PortAuthentication)> {
        let single = self
            .ports
            .iter()
            .map(|(port, authentication)| (Some(*port), authentication));
        single.chain([(None, &self.others)])
    }

    /// Whether plaintext is refused on any port.
    pub(super) fn is_strict_anywhere(&self) -> bool {
        self.ports().any(|(_, authentication)| authentication.is_strict())
    }
}

// === impl PortAuthentication ===

impl PortAuthentication {
    /// Whether mutual TLS is needed.
    pub fn is_strict(&self) -> bool {
        self.mode.value == MtlsMode::Strict
    }

    /// Whether a peer at this address may come in plaintext.
    pub fn admits_plaintext(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        match self.mode.value {
            MtlsMode::Permissive => true,
            MtlsMode::Strict => self.plaintext_from.value.iter().any(|range| range.contains(&from)),
        }
    }
}

// === impl Holding ===

impl Holding<'_> {
    fn specificity(&self) -> Specificity {
        match (&self.policy.target, &self.ports, self.mesh_wide) {
            (Target::All, _, true) => Specificity::Mesh,
            (Target::Selector(_), _, true) => Specificity::MeshSelector,
            (Target::All, _, false) => Specificity::Namespace,
            (Target::Selector(_), _, false) | (Target::Services(_), Ports::All, _) => Specificity::Workload,
            (Target::Services(_), Ports::Only(_), _) => Specificity::Section,
        }
    }

    fn rank(&self) -> impl Ord {
        (Reverse(self.specificity()), self.policy.age())
    }
}

/// What holds on a port, or on those of which no policy speaks: the first that says something decides.
///
/// `holding` is sorted by rank. What a policy says of the very port goes before what any policy of the same specificity
/// says of all ports.
fn resolve(holding: &[Holding<'_>], port: Option<u16>, default: MtlsMode) -> PortAuthentication {
    let by = |held: &Holding<'_>| Some(Arc::new(held.policy.id()));
    let mode = first(holding, port, |of_port| of_port.mode, |held| held.policy.mtls.mode);
    let plaintext_from = first(
        holding,
        port,
        |of_port| of_port.plaintext_from.clone(),
        |held| held.policy.mtls.plaintext_from.clone(),
    );
    PortAuthentication {
        mode: mode.map_or(
            Setting {
                value: default,
                by: None,
            },
            |(held, value)| Setting { value, by: by(held) },
        ),
        plaintext_from: plaintext_from.map_or_else(Setting::default, |(held, value)| Setting { value, by: by(held) }),
    }
}

fn first<'a, 'b, T>(
    holding: &'a [Holding<'b>],
    port: Option<u16>,
    of_port: impl Fn(&PortMtls) -> Option<T>,
    of_all: impl Fn(&Holding<'_>) -> Option<T>,
) -> Option<(&'a Holding<'b>, T)> {
    let holds = |held: &Holding<'_>| match port {
        Some(port) => held.ports.contains(port),
        None => held.ports == Ports::All,
    };
    let mut levels = holding.chunk_by(|one, other| one.specificity() == other.specificity());
    levels.find_map(|level| {
        let level = || level.iter().filter(|held| holds(held));
        let single =
            port.and_then(|port| level().find_map(|held| Some((held, of_port(held.policy.mtls.ports.get(&port)?)?))));
        single.or_else(|| level().find_map(|held| Some((held, of_all(held)?))))
    })
}
