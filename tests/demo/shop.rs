//! What the demonstration runs on: a shop whose `web` asks `cart` and `stock`.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};

use harness::{Addresses, Agent, App, Family, Lab, Node, Object, Pod, Server, Talk, wait};

/// Two nodes with their agents, and the pods of the namespace `shop`.
pub(crate) struct Shop {
    pub(crate) agents: [Agent; 2],
    pub(crate) web: Pod,
    pub(crate) carts: [(Pod, Server); 3],
    _stock: (Pod, Server),
    nodes: [Node; 2],
    lab: Lab,
}

/// The service `shop/cart`.
pub(crate) const CART: Addresses = Addresses::service(10);

/// The service `shop/stock`.
pub(crate) const STOCK: Addresses = Addresses::service(11);

// === impl Shop ===

impl Shop {
    /// Builds the nodes and starts everything; the namespace is not in the mesh yet.
    pub(crate) fn open() -> Self {
        let lab = Lab::new();
        let nodes = ["node-1", "node-2"].map(|name| lab.node(name));
        lab.manifests().plain("shop");
        lab.manifests()
            .apply(&Object::service("shop/cart", CART, "cart").port("http", 80, 8080));
        lab.manifests()
            .apply(&Object::service("shop/stock", STOCK, "stock").port("banner", 6000, 6000));
        let mut agents = nodes.each_ref().map(|node| node.agent().spawn());

        let web = nodes[0].pod("shop/web").start();
        let carts = [(0, "cart-0"), (1, "cart-1"), (1, "cart-2")].map(|(node, name)| {
            let pod = nodes[node].pod(&format!("shop/{name}")).label("app", "cart").start();
            let server = pod.serve(8080, App::Who);
            (pod, server)
        });
        let stock = nodes[1].pod("shop/stock").start();
        let server = stock.serve(6000, App::Banner);
        agents.iter_mut().for_each(Agent::wait_ready);

        println!("Two nodes stand, with an agent on each, five pods, and two services:");
        for (node, pod) in [
            (1, &web),
            (1, &carts[0].0),
            (2, &carts[1].0),
            (2, &carts[2].0),
            (2, &stock),
        ] {
            println!("   node-{node}  {:8} {}", pod.object().name(), pod.addresses().v4);
        }
        println!("   service cart   {}:80\n   service stock  {}:6000", CART.v4, STOCK.v4);
        Self {
            agents,
            web,
            carts,
            _stock: (stock, server),
            nodes,
            lab,
        }
    }

    /// Sets the label by which the namespace joins; it fails closed, so that nothing passes by a dead agent.
    pub(crate) fn join(&self) {
        self.lab.manifests().enrolled_closed("shop");
    }

    /// Asks the service `cart` from the pod `web`: which pod answered, and what address it saw.
    pub(crate) fn ask_cart(&self) -> Result<(String, String), String> {
        self.ask(CART.at(Family::V4, 80))
    }

    /// Asks an address that answers as `cart` does.
    pub(crate) fn ask(&self, to: SocketAddr) -> Result<(String, String), String> {
        let line = self
            .web
            .connect(to)
            .and_then(Talk::line)
            .map_err(|error| error.to_string())?;
        let (pod, peer) = line.split_once(' ').ok_or_else(|| line.clone())?;
        Ok((pod.to_owned(), peer.to_owned()))
    }

    /// Asks `cart` that often and counts who answered.
    pub(crate) fn count_carts(&self, times: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (pod, _) in (0..times).filter_map(|_| self.ask_cart().ok()) {
            *counts.entry(pod).or_default() += 1;
        }
        counts
    }

    /// The connections which both agents accepted so far.
    pub(crate) fn captured(&self) -> u64 {
        self.agents
            .iter()
            .map(|agent| agent.metric("weft_connections_opened_total", &[]) as u64)
            .sum()
    }

    /// Waits until the service is served through the mesh.
    pub(crate) fn wait_captured(&self) {
        // A connection that was begun before the capture is left alone, and nobody answers it.
        let tried = || {
            self.web
                .dial(CART.at(Family::V4, 80))
                .timeout(Duration::from_millis(50))
        };
        wait::until(wait::PATIENCE, "the namespace in the mesh", || {
            tried().connect().and_then(Talk::line).is_ok() && self.captured() >= 2
        });
    }

    /// What a curious person may type while all this stands.
    pub(crate) fn commands_to_try(&self) -> String {
        let weft = harness::weft();
        let mut text = "It stays up. To try, as root in another shell:\n".to_owned();
        for (number, (node, agent)) in (1..).zip(self.nodes.iter().zip(&self.agents)) {
            let socket = agent.launch().socket();
            let _ = writeln!(text, "\n   # node {number}");
            let _ = writeln!(
                text,
                "   export WEFT_NODE={} WEFT_SOCKET={}",
                node.name(),
                socket.display()
            );
            for command in ["pod show", "pod check", "conn show", "service show"] {
                let _ = writeln!(text, "   {} debug {command}", weft.display());
            }
            let _ = writeln!(
                text,
                "   ip netns exec {} curl -s http://127.0.0.1:15020/metrics",
                node.netns().name()
            );
        }
        let web = self.web.netns().name();
        let _ = writeln!(
            text,
            "\n   # from the pod web: who serves the service cart, and whom it sees"
        );
        let _ = writeln!(text, "   ip netns exec {web} bash -c 'cat < /dev/tcp/{}/80'", CART.v4);
        let _ = writeln!(text, "   ip netns exec {web} ip rule\n");
        let _ = writeln!(
            text,
            "   # the manifests that both agents follow: change a label and look again"
        );
        let _ = writeln!(text, "   ls {}", self.lab.manifests().folder().display());
        text
    }
}
