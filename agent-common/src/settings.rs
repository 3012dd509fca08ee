//! What the agent tells the kernel programs, per node and per pod.

use crate::{MeshId, layout::map_value};

/// What the node-wide programs know, the value of [`crate::names::map::NODE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NodeSettings {
    host_cookie: u64,
    build: u64,
    cgroup: u64,
    kubelet_cgroup: u64,
    pods_cgroup: u64,
    mesh: MeshId,
    flags: u32,
}

/// What the connect programs know of an enrolled pod, the value of [`crate::names::map::PODS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PodFlags(u32);

/// What a pod's own program knows, the value of [`crate::names::map::SETTINGS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PodSettings {
    cookie: u64,
    build: u64,
    probe_ports: [u16; PodSettings::PROBE_PORTS],
    flags: PodFlags,
    zero: u32,
}

/// A slot of [`crate::names::map::LISTENERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The IPv4 listener for what the pod's own connections were captured.
    OutboundV4,
    /// The same for IPv6.
    OutboundV6,
    /// The IPv4 listener for connections to the pod.
    InboundV4,
    /// The same for IPv6.
    InboundV6,
    /// The IPv4 socket that answers DNS.
    DnsV4,
    /// The same for IPv6.
    DnsV6,
}

map_value!(NodeSettings, 48);
map_value!(PodFlags, 4);
map_value!(PodSettings, 56);

// === impl NodeSettings ===

impl NodeSettings {
    /// Joins the cookie of the namespace in which the kubelet runs, and which build of the programs is attached.
    pub const fn new(host_cookie: u64, build: u64) -> Self {
        Self {
            host_cookie,
            build,
            cgroup: 0,
            kubelet_cgroup: 0,
            pods_cgroup: 0,
            mesh: MeshId::new([0; 4]),
            flags: 0,
        }
    }

    /// Sets the id of the cgroup above all pods.
    #[must_use]
    pub const fn with_cgroup(self, cgroup: u64) -> Self {
        Self { cgroup, ..self }
    }

    /// Sets the id of the kubelet's cgroup.
    #[must_use]
    pub const fn with_kubelet_cgroup(self, kubelet_cgroup: u64) -> Self {
        Self { kubelet_cgroup, ..self }
    }

    /// Sets the id of the cgroup at which pods' connections are marked.
    #[must_use]
    pub const fn with_pods_cgroup(self, pods_cgroup: u64) -> Self {
        Self { pods_cgroup, ..self }
    }

    /// Sets the id of the mesh, as far as it is known.
    #[must_use]
    pub const fn with_mesh(self, mesh: Option<MeshId>) -> Self {
        match mesh {
            Some(mesh) => Self { mesh, ..self }.with(Self::KNOWS_MESH),
            None => self.without(Self::KNOWS_MESH),
        }
    }

    /// Says whether load balancers of others put other destinations in place of those that pods connect to.
    #[must_use]
    pub const fn with_balancers(self, balancers: bool) -> Self {
        if balancers {
            self.with(Self::HAS_BALANCERS)
        } else {
            self.without(Self::HAS_BALANCERS)
        }
    }

    /// The cookie of the namespace in which the kubelet runs.
    #[inline(always)]
    pub const fn host_cookie(&self) -> u64 {
        self.host_cookie
    }

    /// Which build of the programs is attached.
    pub const fn build(&self) -> u64 {
        self.build
    }

    /// The id of the cgroup above all pods; 0 before programs are attached.
    pub const fn cgroup(&self) -> u64 {
        self.cgroup
    }

    /// The id of the mesh; none while no certificate authority has told it.
    #[inline(always)]
    pub const fn mesh(&self) -> Option<MeshId> {
        if self.flags & Self::KNOWS_MESH == 0 {
            None
        } else {
            Some(self.mesh)
        }
    }

    /// Whether load balancers of others put other destinations in place of those that pods connect to.
    #[inline(always)]
    pub const fn has_balancers(&self) -> bool {
        self.flags & Self::HAS_BALANCERS != 0
    }

    /// The id of the cgroup at which pods' connections are marked; 0 before that.
    pub const fn pods_cgroup(&self) -> u64 {
        self.pods_cgroup
    }

    /// The id of the kubelet's cgroup to which its program is attached; 0 before that.
    pub const fn kubelet_cgroup(&self) -> u64 {
        self.kubelet_cgroup
    }

    const KNOWS_MESH: u32 = 1;
    const HAS_BALANCERS: u32 = 2;

    const fn with(self, flag: u32) -> Self {
        Self {
            flags: self.flags | flag,
            ..self
        }
    }

    const fn without(self, flag: u32) -> Self {
        Self {
            flags: self.flags & !flag,
            ..self
        }
    }
}

// === impl PodFlags ===

impl PodFlags {
    /// New connections pass by the mesh while the agent is away.
    pub const FAIL_OPEN: Self = Self(0);
    /// New connections wait while the agent is away.
    pub const FAIL_CLOSED: Self = Self(1);

    const CAPTURES_DNS: u32 = 2;
    const DENIES_UDP_EGRESS: u32 = 4;
    const PASSES: u32 = 8;

    /// Says that the pod's DNS queries come to the agent: they may leave the cluster whatever other UDP may.
    #[must_use]
    pub const fn with_dns(self) -> Self {
        Self(self.0 | Self::CAPTURES_DNS)
    }

    /// Refuses UDP that leaves the cluster.
    #[must_use]
    pub const fn with_udp_egress_denied(self) -> Self {
        Self(self.0 | Self::DENIES_UDP_EGRESS)
    }

    /// Lets new connections pass by the mesh: the agent has left. What else is refused stays refused.
    #[must_use]
    pub const fn passing(self) -> Self {
        Self(self.0 | Self::PASSES)
    }

    /// Whether new connections wait while the agent is away.
    #[inline(always)]
    pub const fn fail_closed(self) -> bool {
        self.0 & Self::FAIL_CLOSED.0 != 0
    }

    /// Whether the pod's DNS queries come to the agent.
    #[inline(always)]
    pub const fn captures_dns(self) -> bool {
        self.0 & Self::CAPTURES_DNS != 0
    }

    /// Whether UDP that leaves the cluster is refused.
    #[inline(always)]
    pub const fn denies_udp_egress(self) -> bool {
        self.0 & Self::DENIES_UDP_EGRESS != 0
    }

    /// Whether new connections pass by the mesh.
    #[inline(always)]
    pub const fn passes(self) -> bool {
        self.0 & Self::PASSES != 0
    }
}

// === impl PodSettings ===

impl PodSettings {
    /// How many probe ports a pod may have.
    pub const PROBE_PORTS: usize = 16;

    /// Joins the pod's network namespace and the build of its program; the pod fails open and has no probes.
    pub const fn new(cookie: u64, build: u64) -> Self {
        Self {
            cookie,
            build,
            probe_ports: [0; Self::PROBE_PORTS],
            flags: PodFlags::FAIL_OPEN,
            zero: 0,
        }
    }

    /// Sets what happens while the agent is away.
    #[must_use]
    pub const fn with_flags(self, flags: PodFlags) -> Self {
        Self { flags, ..self }
    }

    /// Sets the ports of the kubelet's probes; those beyond [`Self::PROBE_PORTS`] are left out.
    #[must_use]
    pub fn with_probe_ports(mut self, ports: &[u16]) -> Self {
        self.probe_ports = [0; Self::PROBE_PORTS];
        self.probe_ports
            .iter_mut()
            .zip(ports)
            .for_each(|(slot, port)| *slot = *port);
        self
    }

    /// The cookie of the pod's network namespace.
    #[inline(always)]
    pub const fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Which build of the program is attached.
    pub const fn build(&self) -> u64 {
        self.build
    }

    /// What happens while the agent is away.
    #[inline(always)]
    pub const fn flags(&self) -> PodFlags {
        self.flags
    }

    /// Whether the kubelet probes this port.
    #[inline(always)]
    pub fn probes(&self, port: u16) -> bool {
        port != 0 && self.probe_ports.contains(&port)
    }

    /// The ports that the kubelet probes.
    pub fn probe_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.probe_ports.iter().copied().filter(|port| *port != 0)
    }
}

// === impl Slot ===

impl Slot {
    /// Every slot, in the order of their indices.
    pub const ALL: [Self; 6] = [
        Self::OutboundV4,
        Self::OutboundV6,
        Self::InboundV4,
        Self::InboundV6,
        Self::DnsV4,
        Self::DnsV6,
    ];

    /// Where the slot lies in the map.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The slot as tables and JSON show it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OutboundV4 => "outbound_v4",
            Self::OutboundV6 => "outbound_v6",
            Self::InboundV4 => "inbound_v4",
            Self::InboundV6 => "inbound_v6",
            Self::DnsV4 => "dns_v4",
            Self::DnsV6 => "dns_v6",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_ports_are_those_given_and_never_zero() {
        let settings = PodSettings::new(1, 2).with_probe_ports(&[8080, 9090]);
        assert!(settings.probes(8080));
        assert!(settings.probes(9090));
        assert!(!settings.probes(80));
        assert!(!settings.probes(0));
        assert!(settings.probe_ports().eq([8080, 9090]));
    }

    #[test]
    fn probe_ports_beyond_the_limit_are_left_out() {
        let ports: [u16; 20] = core::array::from_fn(|i| i as u16 + 1);
        assert_eq!(
            PodSettings::new(1, 2).with_probe_ports(&ports).probe_ports().count(),
            PodSettings::PROBE_PORTS
        );
    }

    #[test]
    fn a_mesh_of_zeros_is_one_and_none_is_none() {
        let settings = NodeSettings::new(1, 2);
        assert_eq!(settings.mesh(), None);
        let zeros = MeshId::new([0; 4]);
        assert_eq!(settings.with_mesh(Some(zeros)).mesh(), Some(zeros));
        assert_eq!(settings.with_mesh(Some(zeros)).with_mesh(None).mesh(), None);
    }

    #[test]
    fn a_pod_that_passes_still_denies_udp_egress() {
        let flags = PodFlags::FAIL_OPEN.with_dns().with_udp_egress_denied();
        assert!(!flags.passes() && !flags.fail_closed());
        let passing = flags.passing();
        assert!(passing.passes() && passing.denies_udp_egress() && passing.captures_dns());
        assert!(!PodFlags::FAIL_CLOSED.denies_udp_egress());
    }

    #[test]
    fn slots_lie_in_the_order_of_their_list() {
        assert!(
            Slot::ALL
                .iter()
                .enumerate()
                .all(|(index, slot)| slot.index() == index as u32)
        );
    }
}
