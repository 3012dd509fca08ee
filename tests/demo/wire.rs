//! What a sniffer on each interface between two pods reads.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use harness::{Family, Netns, Sniffer, Talk, wait};

use crate::shop::{STOCK_PORT, Shop};

/// Sniffers on all interfaces of both pods, both nodes, and the underlay: all that may carry what `web` and `stock` say.
pub(crate) struct Wire {
    sniffers: Vec<(String, Sniffer)>,
}

/// What was read so far.
pub(crate) struct Reading {
    /// The interfaces.
    pub(crate) interfaces: usize,
    /// The interfaces on which the text was read.
    pub(crate) telling: usize,
    /// The interfaces on which a ClientHello to the port of `stock` was read.
    pub(crate) greeting: usize,
    /// The packets of TCP and UDP.
    pub(crate) packets: usize,
}

// === impl Wire ===

impl Wire {
    /// Starts to listen on each interface that is between the two pods.
    pub(crate) fn tap(shop: &Shop) -> Self {
        let (stock, _) = &shop.stock;
        let nodes = shop.nodes().each_ref().map(|node| &**node.netns());
        // A node has a link for each of its pods, and only these two pods speak here. The underlay's bridge has no address, so
        // that all passes by its ports.
        let silent = shop
            .carts
            .iter()
            .chain(&shop.offers)
            .chain(&shop.prices)
            .chain([&shop.chat]);
        let others: Vec<_> = silent.map(|(pod, _)| pod.link()).chain(["br0"]).collect();
        let places: [(&str, &Netns); 5] = [
            ("web", shop.web.netns()),
            ("node-1", nodes[0]),
            ("underlay", shop.lab.underlay()),
            ("node-2", nodes[1]),
            ("stock", stock.netns()),
        ];
        let sniffers = places.into_iter().flat_map(|(place, netns)| {
            let names = netns.interfaces().into_iter();
            let between = names.filter(|name| !others.contains(&name.as_str()));
            between.map(move |name| (format!("{place} {name}"), Sniffer::looking_for(netns, &name, SECRET)))
        });
        Self {
            sniffers: sniffers.collect(),
        }
    }

    /// What was read of all that was sent before, told in a line for each interface.
    pub(crate) fn read(&self, shop: &Shop) -> Reading {
        self.wait_for_mark(shop);
        let mut reading = Reading {
            interfaces: self.sniffers.len(),
            telling: 0,
            greeting: 0,
            packets: 0,
        };
        for (place, sniffer) in &self.sniffers {
            let (told, packets) = (sniffer.told(), sniffer.count(|_| true));
            let hellos = sniffer.count(|packet| packet.hello && packet.destination.port() == STOCK_PORT);
            println!(
                "   {place:16} {packets:6} packets, {told:5} with the text, {hellos:3} ClientHello to :{STOCK_PORT}"
            );
            reading.telling += usize::from(told > 0);
            reading.greeting += usize::from(hellos > 0);
            reading.packets += packets;
        }
        reading
    }

    /// Sends a datagram, which no agent takes, the same way, and waits until each sniffer has come to it: each hears, and has
    /// read whatever passed earlier.
    fn wait_for_mark(&self, shop: &Shop) {
        let to = shop.stock.0.addresses().at(Family::V4, MARK_PORT);
        let send = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| socket.send_to(b"mark", to));
        let marked = |sniffer: &Sniffer| sniffer.count(|packet| packet.is_udp() && packet.destination == to) > 0;
        shop.web.run(send).expect("a pod may send a datagram");
        wait::until(wait::PATIENCE, "the mark on every interface", || {
            self.sniffers.iter().all(|(_, sniffer)| marked(sniffer))
        });
    }
}

// === impl Shop ===

impl Shop {
    /// Sends the secret from `web` to `stock` that often, each time by a connection of its own and over both families, and
    /// hears it back; how often that succeeded.
    pub(crate) fn send_secrets(&self, times: usize) -> usize {
        let next = AtomicUsize::new(0);
        let send = || {
            let mut served = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= times {
                    return served;
                }
                let family = Family::BOTH[number % Family::BOTH.len()];
                served += usize::from(
                    self.send_secret(self.stock.0.addresses().at(family, STOCK_PORT))
                        .is_ok(),
                );
            }
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(send)).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).sum()
        })
    }

    fn send_secret(&self, to: SocketAddr) -> io::Result<()> {
        let stream = self.web.connect(to)?;
        Talk::line(&stream)?;
        let echo = Talk::ask(&stream, SECRET.as_bytes())?;
        if echo == SECRET.as_bytes() {
            Ok(())
        } else {
            Err(io::Error::other("another echo"))
        }
    }
}

const SECRET: &str = "card 4929 0000 0000 6, valid to 11/29";

/// How many send at once.
const CLIENTS: usize = 4;

/// Where nobody listens (discard).
const MARK_PORT: u16 = 9;
