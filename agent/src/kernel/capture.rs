//! One pod's capture: what is made for it, in the order in which it must be made, and how it is undone.

use std::{
    net::{IpAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use agent_common::{
    PodFlags, PodSettings, Slot,
    mark::{CAPTURED, OURS},
    names::map::LISTENERS,
};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    task::AbortHandle,
};

use super::{
    Captured, Dns, Hold, KernelError, Listeners, PerFamily,
    apply::said,
    desired::Terms,
    half,
    hold::Released,
    maps::{NodeMaps, PodMaps},
    object::Object,
    pins::PodPins,
    programs::{Attachment, attach_to_namespace},
    routing::Routing,
    silence,
};
use crate::{
    model::{Pod, PodUid},
    net::{
        AddressWatch, Backlog, CapturedDatagrams, Cookie, Family, ListenerPorts, Mark, NetError, NetNs, OwnAddress,
        listen,
    },
};

/// A pod that is captured.
pub(super) struct Capture {
    pub(super) pod: Arc<Pod>,
    pub(super) netns: NetNs,
    pub(super) cookie: Cookie,
    pub(super) terms: Terms,
    pub(super) uncaptured_devices: Arc<[String]>,
    pub(super) late: bool,
    pins: PodPins,
    dns: Dns,
    routing: Routing,
    families: Vec<Family>,
    addresses: watch::Sender<Arc<[IpAddr]>>,
    follow: AbortHandle,
    _hold: Hold,
}

/// A pod that is to be captured, and where.
pub(super) struct Candidate {
    pub(super) pod: Arc<Pod>,
    pub(super) netns: NetNs,
    pub(super) cookie: Cookie,
    pub(super) pins: PodPins,
    pub(super) terms: Terms,
    pub(super) dns: Dns,
    /// Whether its containers run already, and nobody has captured it before.
    pub(super) late: bool,
}

/// What the agent listens on in a pod's namespace.
struct Sockets {
    listeners: Listeners,
    dns: Option<PerFamily<UdpSocket>>,
}

/// Where a capture tells what happens later.
#[derive(Clone)]
pub(super) struct Tell {
    pub(super) moved: UnboundedSender<Moved>,
    pub(super) released: UnboundedSender<Released>,
}

/// A captured pod's addresses are others than before, or cannot be followed.
pub(super) struct Moved {
    pub(super) uid: PodUid,
    pub(super) cookie: Cookie,
    pub(super) addresses: Result<Vec<OwnAddress>, NetError>,
}

/// Whether the addresses of a pod could be followed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Following {
    /// All is as the addresses say.
    Done,
    /// A family came or went: the pod must be captured anew.
    OtherFamilies,
}

// === impl Candidate ===

impl Candidate {
    /// Makes everything but the last step, the enrolment; what an agent before this one has left is taken over.
    ///
    /// May be called again after a failure: each step makes things be so, whatever was there.
    pub(super) fn capture(self, object: &mut Object, tell: &Tell) -> Result<(Capture, Captured), KernelError> {
        let watch = AddressWatch::open(&self.netns)?;
        let routing = Routing::of(&self.netns, watch.addresses(), &self.pod.ips, self.dns)?;
        let terms = self.terms.clone();
        let ips = ips(watch.addresses());
        let uncaptured_devices = routing.uncaptured_devices(watch.addresses());
        let families = families(&ips);
        routing.without_dns().apply(&self.netns)?;
        be_silent(&self.netns, &ips, &terms);
        let sockets = self.open_sockets(&families)?;

        let attachment = self.attach(object, &terms, &ips, &sockets)?;
        tracing::debug!(pod = %self.pod.name, ?attachment, "Program of the pod is in place");
        match self.dns {
            // Queries are led here only when somebody is in the slots.
            Dns::Captured => routing.lead(&self.netns)?,
            Dns::Untouched => routing.remove_dns(&self.netns)?,
        }

        let (addresses, receiver) = watch::channel(Arc::from(ips));
        let hold = Hold::new(self.cookie, tell.released.clone());
        let follow = tokio::spawn(follow(self.pod.uid.clone(), self.cookie, watch, tell.moved.clone()));
        let captured = Captured {
            pod: Arc::clone(&self.pod),
            netns: self.netns.clone(),
            addresses: receiver,
            listeners: sockets.listeners,
            dns: sockets.dns,
            hold: hold.clone(),
        };
        let capture = Capture {
            pod: self.pod,
            netns: self.netns,
            cookie: self.cookie,
            terms,
            uncaptured_devices,
            late: self.late,
            pins: self.pins,
            dns: self.dns,
            routing,
            families,
            addresses,
            follow: follow.abort_handle(),
            _hold: hold,
        };
        Ok((capture, captured))
    }

    fn open_sockets(&self, families: &[Family]) -> Result<Sockets, NetError> {
        let ports = ListenerPorts::of(&self.netns, self.pod.ports.iter().map(|port| port.port))?;
        let queue = BACKLOG.queue(&self.netns)?;
        let present = |family| families.contains(&family).then_some(family);
        let listener = |family, mark| {
            present(family)
                .map(|family| listen(&self.netns, family, &ports, mark, queue))
                .transpose()
        };
        let listeners = Listeners {
            // Accepted sockets have the listener's mark (`inet_request_mark`). The client's resets reflect it
            // (`ip_send_unicast_reply`): without CAPTURED they leave the pod, and the agent's socket lingers.
            outbound: PerFamily::try_from_fn(|family| listener(family, Mark(CAPTURED | OURS)))?,
            // Answers to clients outside must leave the pod.
            inbound: PerFamily::try_from_fn(|family| listener(family, Mark(OURS)))?,
        };
        let dns = match self.dns {
            Dns::Untouched => None,
            Dns::Captured => Some(PerFamily::try_from_fn(|family| {
                present(family)
                    .map(|family| CapturedDatagrams::open(&self.netns, family, &ports, Mark(OURS)))
                    .transpose()
            })?),
        };
        Ok(Sockets { listeners, dns })
    }

    /// Fills the pod's maps and attaches its program, or adopts the one that is attached.
    fn attach(
        &self,
        object: &mut Object,
        terms: &Terms,
        own: &[IpAddr],
        sockets: &Sockets,
    ) -> Result<Attachment, KernelError> {
        let settings = settings(self.cookie, object.build(), terms, self.dns);
        let pinned = PodMaps::open(&self.pins)?;
        let before = pinned.as_ref().map(PodMaps::settings).transpose()?;
        let same_namespace = before.is_some_and(|before| before.cookie() == self.cookie.0);
        let same_build = before.is_some_and(|before| before.build() == object.build());
        if same_namespace {
            // Before anybody listens: what connects from here on has another end.
            half::end(&self.pod, &self.netns);
        }
        if let (Some(mut maps), true, true, true) = (pinned, same_namespace, same_build, self.pins.link().exists()) {
            fill(&mut maps, own, sockets)?;
            maps.set_settings(settings)?;
            return Ok(Attachment::Adopted);
        }
        if !same_namespace {
            self.pins.remove()?;
        }
        self.pins.create()?;
        let mut ebpf = object.load_pod(&self.pins)?;
        let mut maps = PodMaps::open(&self.pins)?.ok_or(KernelError::NoMap(LISTENERS))?;
        // The build is written when its program is attached: an agent that dies in between leaves no wrong claim.
        maps.set_settings(self::settings(self.cookie, 0, terms, self.dns))?;
        fill(&mut maps, own, sockets)?;
        attach_to_namespace(&mut ebpf, &self.netns, &self.pins)?;
        maps.set_settings(settings)?;
        Ok(Attachment::Attached)
    }
}

// === impl Capture ===

impl Capture {
    /// The last step: from here on what the pod opens is captured.
    pub(super) fn enrol(&self, maps: &mut NodeMaps) -> Result<(), KernelError> {
        maps.enrol(self.cookie, flags(&self.terms, self.dns))
    }

    /// Lets what the pod opens pass by the mesh. Where its datagrams are refused, they are as long as it is enrolled.
    pub(super) fn let_pass(&self, maps: &mut NodeMaps) -> Result<(), KernelError> {
        let flags = flags(&self.terms, self.dns);
        if flags.denies_udp_egress() {
            maps.enrol(self.cookie, flags.passing())
        } else {
            maps.leave(self.cookie)
        }
    }

    /// Changes the terms of the capture in place.
    pub(super) fn adjust(&mut self, terms: Terms, maps: &mut NodeMaps) -> Result<(), KernelError> {
        self.rewrite(&terms, self.dns)?;
        be_silent(&self.netns, &self.addresses.borrow(), &terms);
        maps.enrol(self.cookie, flags(&terms, self.dns))?;
        self.terms = terms;
        Ok(())
    }

    /// Follows the addresses of the namespace.
    pub(super) fn follow(&mut self, addresses: &[OwnAddress]) -> Result<Following, KernelError> {
        let ips = ips(addresses);
        if families(&ips) != self.families {
            return Ok(Following::OtherFamilies);
        }
        let routing = Routing::of(&self.netns, addresses, &self.pod.ips, self.dns)?;
        if let Some(mut maps) = PodMaps::open(&self.pins)? {
            maps.set_own(&ips)?;
        }
        self.uncaptured_devices = routing.uncaptured_devices(addresses);
        if routing != self.routing {
            routing.apply(&self.netns)?;
            self.routing = routing;
        }
        be_silent(&self.netns, &ips, &self.terms);
        self.addresses.send_replace(ips.into());
        Ok(Following::Done)
    }

    /// Lets what is opened to the pod reach its applications, before its namespace is no longer enrolled: from then on
    /// the agent's own legs are not recorded, and would come back to its listeners.
    pub(super) fn let_in(&self) -> Result<(), KernelError> {
        // The default fails open.
        self.rewrite(&Terms::default(), self.dns)?;
        self.leave_slots(&[Slot::InboundV4, Slot::InboundV6])
    }

    /// Takes the sockets out of the kernel's reach and the program away. To be called after [`Self::let_in`], when no
    /// connect() is under way that was marked: without a program the pod's own listener on all addresses would get it.
    pub(super) fn release(self) -> Result<(), KernelError> {
        self.rewrite(&Terms::default(), Dns::Untouched)?;
        self.routing.remove_dns(&self.netns)?;
        be_silent(&self.netns, &[], &Terms::default());
        self.leave_slots(&Slot::ALL)?;
        self.pins.remove()
    }

    /// Takes the sockets out of the kernel's reach and leaves the rest to the agent after this one.
    pub(super) fn suspend(&self) -> Result<(), KernelError> {
        self.rewrite(&self.terms, Dns::Untouched)?;
        self.routing.remove_dns(&self.netns)?;
        self.leave_slots(&Slot::ALL)
    }

    fn leave_slots(&self, slots: &[Slot]) -> Result<(), KernelError> {
        match PodMaps::open(&self.pins)? {
            Some(mut maps) => maps.clear_slots(slots),
            None => Ok(()),
        }
    }

    fn rewrite(&self, terms: &Terms, dns: Dns) -> Result<(), KernelError> {
        let Some(mut maps) = PodMaps::open(&self.pins)? else {
            return Ok(());
        };
        let build = maps.settings()?.build();
        maps.set_settings(settings(self.cookie, build, terms, dns))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.follow.abort();
    }
}

fn settings(cookie: Cookie, build: u64, terms: &Terms, dns: Dns) -> PodSettings {
    PodSettings::new(cookie.0, build)
        .with_flags(flags(terms, dns))
        .with_probe_ports(&terms.probe_ports)
}

fn flags(terms: &Terms, dns: Dns) -> PodFlags {
    match dns {
        Dns::Captured => terms.flags.with_dns(),
        Dns::Untouched => terms.flags,
    }
}

/// Addresses before slots: with listeners but without addresses everything would be a stray.
fn fill(maps: &mut PodMaps, own: &[IpAddr], sockets: &Sockets) -> Result<(), KernelError> {
    maps.set_own(own)?;
    let Listeners { outbound, inbound } = &sockets.listeners;
    let streams: [(Slot, &Option<TcpListener>); 4] = [
        (Slot::OutboundV4, &outbound.v4),
        (Slot::OutboundV6, &outbound.v6),
        (Slot::InboundV4, &inbound.v4),
        (Slot::InboundV6, &inbound.v6),
    ];
    streams
        .into_iter()
        .try_for_each(|(slot, listener)| maps.set_slot(slot, listener.as_ref()))?;
    let dns = sockets.dns.as_ref();
    maps.set_slot(Slot::DnsV4, dns.and_then(|sockets| sockets.v4.as_ref()))?;
    maps.set_slot(Slot::DnsV6, dns.and_then(|sockets| sockets.v6.as_ref()))
}

/// Where the kernel cannot, connections by IPv6 are refused while the agent is away; that is no reason not to capture.
fn be_silent(netns: &NetNs, own: &[IpAddr], terms: &Terms) {
    said(
        "Connections by IPv6 will not wait for the agent",
        silence::apply(netns, own, terms),
    );
}

async fn follow(uid: PodUid, cookie: Cookie, mut watch: AddressWatch, moved: UnboundedSender<Moved>) {
    loop {
        let addresses = watch.changed().await.map(<[OwnAddress]>::to_vec);
        let failed = addresses.is_err();
        let news = Moved {
            uid: uid.clone(),
            cookie,
            addresses,
        };
        if moved.send(news).is_err() || failed {
            return;
        }
    }
}

fn ips(addresses: &[OwnAddress]) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = addresses.iter().map(|address| address.ip).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

/// The families of which the namespace has any address: a listener needs its loopback.
fn families(ips: &[IpAddr]) -> Vec<Family> {
    [Family::V4, Family::V6]
        .into_iter()
        .filter(|family| {
            ips.iter().any(|ip| match family {
                Family::V4 => ip.is_ipv4(),
                Family::V6 => ip.is_ipv6(),
            })
        })
        .collect()
}

/// How many connections may wait for the agent while it is busy with others.
const BACKLOG: Backlog = Backlog::AtLeast(4096);
