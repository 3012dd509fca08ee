//! Programs and their links: attached once, adopted after a restart, handed over without a gap when their build changes.

use std::error::Error;

use agent_common::{
    NodeSettings,
    names::program::{CONNECT4, CONNECT6, LOOKUP, OWN_SOCKETS, PROBES, SENDMSG4, SENDMSG6},
};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, Program, links::FdLink},
};

use super::{
    KernelError,
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
    pub(super) fn new(pins: NodePins, kubelet: KubeletCgroup) -> Self {
        Self { pins, kubelet }
    }

    /// Attaches what is to stand above all pods, or adopts it where the same build stands there already.
    pub(super) fn attach(
        &self,
        ebpf: &mut Ebpf,
        maps: &mut NodeMaps,
        wanted: NodeSettings,
        cgroup: &Cgroup,
    ) -> Result<(), KernelError> {
        let before = maps.settings()?;
        let same_build = before.build() == wanted.build();
        for name in ABOVE_PODS {
            let path = self.pins.link(name);
            if same_build && before.cgroup() == cgroup.id() && path.exists() {
                tracing::debug!(name, "Program adopted");
                continue;
            }
            match attach_to_cgroup(ebpf, name, cgroup) {
                Ok(link) => pin_link(link, name, &path)?,
                // Capture goes on without them.
                Err(error) if SENDS.contains(&name) => {
                    let error: &dyn Error = &error;
                    tracing::error!(
                        name,
                        error,
                        "denyUdpEgress holds for connect() only: sends cannot be refused"
                    );
                    continue;
                }
                Err(error) => return Err(error),
            }
            tracing::info!(name, "Program attached");
        }
        // A probe program of another build is replaced as if the kubelet's cgroup were another.
        let kubelet_cgroup = if same_build && self.pins.link(PROBES).exists() {
            before.kubelet_cgroup()
        } else {
            0
        };
        maps.set_settings(
            wanted
                .with_cgroup(cgroup.id())
                .with_kubelet_cgroup(kubelet_cgroup)
                .with_mesh(before.mesh()),
        )
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

/// What stands above all pods. The agent's connections are recorded before any is captured,
/// and its listeners, opened later, greet.
const ABOVE_PODS: [&str; 5] = [OWN_SOCKETS, CONNECT4, CONNECT6, SENDMSG4, SENDMSG6];

/// What refuses datagrams and captures nothing.
const SENDS: [&str; 2] = [SENDMSG4, SENDMSG6];
