//! Programs and their links: attached once, adopted after a restart, handed over without a gap when their build changes.

use std::{collections::BTreeSet, error::Error, path::Path};

use agent_common::{
    NodeSettings,
    names::program::{
        CONNECT4, CONNECT6, KEEP4, KEEP6, LEARN4, LEARN6, LOOKUP, OWN_SOCKETS, PROBES, SENDMSG4, SENDMSG6,
    },
};
use aya::{
    Ebpf,
    programs::{
        CgroupAttachMode, Program,
        links::{FdLink, PinnedLink},
    },
};

use super::{
    KernelError,
    balancer::{Order, Ours, Running, View},
    cgroup::{Cgroup, KubeletCgroup},
    maps::NodeMaps,
    object::Object,
    pins::{NodePins, PodPins, pin_link},
};
use crate::net::NetNs;

/// The programs of the whole node.
pub(super) struct NodePrograms {
    pins: NodePins,
    kubelet: KubeletCgroup,
    /// The cgroup above all pods.
    above: Cgroup,
    /// The cgroup of the pods alone, where it was looked for and found.
    pods: Option<Cgroup>,
    /// What ran in a connect() when it was looked last.
    running: Running,
    /// The part of it that matters, by family.
    order: [Order; 2],
    /// What was said of the load balancers of others.
    said: View,
}

/// What was done about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// The link of an agent before this one goes on.
    Adopted,
    /// A new link is pinned, in place of an older one where there was one.
    Attached,
}

// === impl NodePrograms ===

impl NodePrograms {
    pub(super) fn new(pins: NodePins, kubelet: KubeletCgroup, above: Cgroup) -> Self {
        Self {
            pins,
            kubelet,
            above,
            pods: None,
            running: Running::default(),
            order: [Order::default(), Order::default()],
            said: View::Clear,
        }
    }

    /// Attaches what a kernel before 5.15 needs so that namespaces are told apart, or adopts it.
    pub(super) fn attach_learners(&self, ebpf: &mut Ebpf, maps: &NodeMaps, build: u64) -> Result<(), KernelError> {
        let before = maps.settings()?;
        let stands = before.build() == build && before.cgroup() == self.above.id();
        [LEARN4, LEARN6]
            .iter()
            .try_for_each(|name| self.attach_unless(ebpf, name, &self.above, stands))
    }

    /// Attaches what is to stand above the pods, or adopts it where the same build stands there already.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        maps: &mut NodeMaps,
        wanted: NodeSettings,
    ) -> Result<(), KernelError> {
        let before = maps.settings()?;
        let same_build = before.build() == wanted.build();
        self.find_pods(before.pods_cgroup())?;
        let pods = self.pods.as_ref().unwrap_or(&self.above);

        // The agent's connections are recorded before any is captured, and its listeners, opened later, greet.
        self.attach_unless(
            ebpf,
            OWN_SOCKETS,
            &self.above,
            same_build && before.cgroup() == self.above.id(),
        )?;
        let marked = same_build && before.pods_cgroup() == pods.id();
        for name in [CONNECT4, CONNECT6] {
            self.attach_unless(ebpf, name, pods, marked)?;
        }
        for name in [SENDMSG4, SENDMSG6] {
            // Capture goes on without them.
            if let Err(error) = self.attach_unless(ebpf, name, pods, marked) {
                let error: &dyn Error = &error;
                tracing::error!(
                    name,
                    error,
                    "denyUdpEgress holds for connect() only: sends cannot be refused"
                );
            }
        }
        let balancers = self.keep(ebpf, pods, same_build)?;
        let (running, order) = (Running::at(pods)?, self.orders(pods)?);
        // A probe program of another build is replaced as if the kubelet's cgroup were another.
        let kubelet_cgroup = if same_build && self.pins.link(PROBES).exists() {
            before.kubelet_cgroup()
        } else {
            0
        };
        maps.set_settings(
            wanted
                .with_cgroup(self.above.id())
                .with_kubelet_cgroup(kubelet_cgroup)
                .with_pods_cgroup(pods.id())
                .with_mesh(before.mesh())
                .with_balancers(balancers != View::Clear),
        )?;
        (self.running, self.order) = (running, order);
        self.say(balancers);
        Ok(())
    }

    /// Attaches the program that recognises probes to the kubelet's cgroup, once there is one, and whenever it is another.
    pub(super) fn follow_kubelet(&mut self, object: &Object, maps: &mut NodeMaps) -> Result<(), KernelError> {
        let settings = maps.settings()?;
        let Some(cgroup) = self.kubelet.open_unless(settings.kubelet_cgroup())? else {
            return Ok(());
        };
        let link = attach_to_cgroup(&mut object.load_node()?, PROBES, &cgroup)?;
        pin_link(link, PROBES, &self.pins.link(PROBES))?;
        tracing::info!(cgroup = cgroup.id(), "Probes of the kubelet are recognised");
        maps.set_settings(settings.with_kubelet_cgroup(cgroup.id()))
    }

    /// Attaches anew where load balancers of others have come, or stand otherwise than before.
    pub(super) fn follow_balancers(&mut self, object: &Object, maps: &mut NodeMaps) -> Result<(), KernelError> {
        let pods = self.pods.as_ref().unwrap_or(&self.above);
        let running = Running::at(pods)?;
        if running == self.running {
            return Ok(());
        }
        // Agents of other nodes come and go on the same kernel.
        let order = self.orders(pods)?;
        self.running = running;
        if order == self.order {
            return Ok(());
        }
        // Until all stands, the next look tries again.
        let settings = maps.settings()?;
        let attached = object
            .load_node()
            .and_then(|mut ebpf| self.attach(&mut ebpf, maps, settings));
        if attached.is_err() {
            self.running = Running::default();
        }
        attached
    }

    /// Looks for the cgroup of the pods alone where others change what pods connect to; once used it is used on.
    fn find_pods(&mut self, used: u64) -> Result<(), KernelError> {
        let others = self
            .orders(&self.above)?
            .iter()
            .any(|order| order.others().next().is_some());
        if self.pods.is_some() || !(others || (used != 0 && used != self.above.id())) {
            return Ok(());
        }
        self.pods = self.above.of_pods()?;
        if self.pods.is_none() && others {
            tracing::warn!(
                above = %self.above.path().display(),
                "No cgroup of the pods alone is found: programs of others run before those of Weft"
            );
        }
        Ok(())
    }

    /// Sees to it that what others change is put back behind them, and says how things are then.
    fn keep(&self, ebpf: &mut Ebpf, pods: &Cgroup, same_build: bool) -> Result<View, KernelError> {
        let view = |orders: [Order; 2]| {
            let [v4, v6] = orders.map(|order| order.view());
            v4.max(v6)
        };
        let before = view(self.orders(pods)?);
        match before {
            View::Clear => return Ok(before),
            View::Kept if same_build => return Ok(before),
            View::Kept | View::Changed => {}
        }
        for name in [KEEP4, KEEP6] {
            // The last that is attached to a cgroup is the last that runs there.
            self.attach_unless(ebpf, name, &self.above, false)?;
        }
        self.orders(pods).map(view)
    }

    fn say(&mut self, balancers: View) {
        if balancers == self.said {
            return;
        }
        self.said = balancers;
        let pods = self.pods.as_ref().unwrap_or(&self.above);
        let others = self.orders(pods).map(|orders| {
            let others: BTreeSet<String> = orders.iter().flat_map(Order::others).map(str::to_owned).collect();
            others.into_iter().collect::<Vec<_>>().join(", ")
        });
        let (others, pods) = (others.unwrap_or_default(), pods.path().display());
        match balancers {
            View::Clear => tracing::info!("Load balancers of others are gone"),
            View::Kept => tracing::info!(
                others,
                %pods,
                "Programs of others change where pods connect to: Weft marks before them and puts it back behind them"
            ),
            View::Changed => tracing::warn!(
                others,
                %pods,
                "Programs of others change where pods connect to before Weft sees it: services are balanced by them"
            ),
        }
    }

    fn orders(&self, cgroup: &Cgroup) -> Result<[Order; 2], KernelError> {
        let id = |name| program_id(&self.pins.link(name), name);
        let ours = [(CONNECT4, KEEP4), (CONNECT6, KEEP6)].map(|(marks, keeps)| Ours {
            marks: id(marks),
            keeps: id(keeps),
        });
        Ok(Running::at(cgroup)?.orders(ours))
    }

    /// Attaches and pins a program unless the same stands there and is pinned.
    fn attach_unless(
        &self,
        ebpf: &mut Ebpf,
        name: &'static str,
        cgroup: &Cgroup,
        stands: bool,
    ) -> Result<(), KernelError> {
        let path = self.pins.link(name);
        if stands && path.exists() {
            tracing::debug!(name, "Program adopted");
            return Ok(());
        }
        pin_link(attach_to_cgroup(ebpf, name, cgroup)?, name, &path)?;
        tracing::info!(name, cgroup = %cgroup.path().display(), "Program attached");
        Ok(())
    }
}

/// The program behind a pinned link; none when nothing is pinned there.
fn program_id(pin: &Path, name: &'static str) -> Option<u32> {
    let info = PinnedLink::from_pin(pin).and_then(|link| FdLink::from(link).info());
    match info {
        Ok(info) => Some(info.program_id()),
        Err(error) => {
            tracing::trace!(name, %error, "No pinned link");
            None
        }
    }
}

/// Attaches a pod's program to its namespace and pins the link, in place of an older one where there is one.
pub(super) fn attach_to_namespace(ebpf: &mut Ebpf, netns: &NetNs, pins: &PodPins) -> Result<(), KernelError> {
    let failed = KernelError::program;
    let Some(Program::SkLookup(program)) = ebpf.program_mut(LOOKUP) else {
        return Err(KernelError::NoProgram(LOOKUP));
    };
    program.load().map_err(failed(LOOKUP))?;
    let id = program.attach(netns).map_err(failed(LOOKUP))?;
    let link = program.take_link(id).map_err(failed(LOOKUP))?;
    pin_link(link.into(), LOOKUP, &pins.link())
}

fn attach_to_cgroup(ebpf: &mut Ebpf, name: &'static str, cgroup: &Cgroup) -> Result<FdLink, KernelError> {
    let failed = KernelError::program;
    let unpinnable = |source| KernelError::Link { name, source };
    // `Single` is what link-based attachment takes; links share the hook with others' all the same.
    let mode = CgroupAttachMode::Single;
    match ebpf.program_mut(name) {
        Some(Program::CgroupSockAddr(program)) => {
            program.load().map_err(failed(name))?;
            let id = program.attach(cgroup, mode).map_err(failed(name))?;
            let link = program.take_link(id).map_err(failed(name))?;
            link.try_into().map_err(unpinnable)
        }
        Some(Program::SockOps(program)) => {
            program.load().map_err(failed(name))?;
            let id = program.attach(cgroup, mode).map_err(failed(name))?;
            let link = program.take_link(id).map_err(failed(name))?;
            link.try_into().map_err(unpinnable)
        }
        _ => Err(KernelError::NoProgram(name)),
    }
}
