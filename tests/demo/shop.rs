//! What the demonstration runs on: a shop whose `web` asks `cart` and `stock`.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};

use harness::{Addresses, Agent, App, Ca, Family, Lab, Node, Object, Pod, Server, Talk, wait};
use serde_json::{Value, json};

/// Two nodes with their agents, the CA of both, and the pods of the namespace `shop`.
pub(crate) struct Shop {
    pub(crate) agents: [Agent; 2],
    pub(crate) web: Pod,
    pub(crate) carts: [(Pod, Server); 3],
    pub(crate) stock: (Pod, Server),
    /// The stable version and the canary.
    pub(crate) offers: [(Pod, Server); 2],
    pub(crate) chat: (Pod, Server),
    pub(crate) prices: [(Pod, Server); 2],
    pub(crate) ca: Ca,
    nodes: [Node; 2],
    pub(crate) lab: Lab,
}

/// The service `shop/cart`.
pub(crate) const CART: Addresses = Addresses::service(10);

/// The service `shop/stock`.
pub(crate) const STOCK: Addresses = Addresses::service(11);

/// The service `shop/offers`, with routes.
pub(crate) const OFFERS: Addresses = Addresses::service(12);

/// The service `shop/chat`.
pub(crate) const CHAT: Addresses = Addresses::service(14);

/// The service `shop/prices`, of gRPC.
pub(crate) const PRICES: Addresses = Addresses::service(15);

/// The services of requests, all on port 80; `offers-canary` is the next version of `offers`.
const REQUESTED: [(&str, &str, Addresses); 4] = [
    ("offers", "http", OFFERS),
    ("offers-canary", "http", Addresses::service(13)),
    ("chat", "http", CHAT),
    ("prices", "grpc", PRICES),
];

/// The port of `stock`, of the service and of the pod.
pub(crate) const STOCK_PORT: u16 = 6000;

// === impl Shop ===

impl Shop {
    /// Builds the nodes and starts everything; the namespace is not in the mesh yet.
    pub(crate) fn open() -> Self {
        let lab = Lab::new();
        let nodes = ["node-1", "node-2"].map(|name| lab.node(name));
        lab.manifests().plain("shop");
        lab.manifests()
            .apply(&Object::service("shop/cart", CART, "cart").port("main", 80, 8080));
        lab.manifests()
            .apply(&Object::service("shop/stock", STOCK, "stock").port("banner", STOCK_PORT, STOCK_PORT));
        for (name, port, addresses) in REQUESTED {
            let service = Object::service(&format!("shop/{name}"), addresses, name);
            lab.manifests().apply(&service.port(port, 80, 8080));
        }
        // Whether an agent may be there is known of pods behind services, and of these ranges.
        let ranges = [
            "10.101.0.0/16",
            "10.102.0.0/16",
            "fd00:244:0:1::/64",
            "fd00:244:0:2::/64",
        ];
        lab.manifests()
            .apply(&Object::mesh_config(json!({ "podCIDRs": ranges })));
        // Certificates that live so shortly let a whole rotation be seen.
        let ca = nodes[0].ca(&["--short-life", "16s", "--rotation-step", "1s"]);
        let mut agents = nodes.each_ref().map(|node| node.agent_of(&ca).spawn());

        let web = nodes[0].pod("shop/web").start();
        let carts = [(0, "cart-0"), (1, "cart-1"), (1, "cart-2")].map(|(node, name)| {
            let pod = nodes[node].pod(&format!("shop/{name}")).label("app", "cart").start();
            let server = pod.serve(8080, App::Who);
            (pod, server)
        });
        let stock = nodes[1].pod("shop/stock").start();
        let server = stock.serve(STOCK_PORT, App::Banner);
        let serve = |node: &Node, name: &str, app| {
            let pod = node.pod(&format!("shop/{name}")).start();
            let server = pod.serve(8080, app);
            (pod, server)
        };
        let offers = [(0, "offers"), (1, "offers-canary")].map(|(node, name)| serve(&nodes[node], name, App::HttpWho));
        let chat = serve(&nodes[1], "chat", App::WebSocket);
        let prices = [(0, "prices-0"), (1, "prices-1")].map(|(node, name)| {
            let pod = nodes[node].pod(&format!("shop/{name}")).label("app", "prices").start();
            let server = pod.serve(8080, App::Http2Mirror);
            (pod, server)
        });
        agents.iter_mut().for_each(Agent::wait_ready);

        println!("Two nodes stand, with an agent on each and a CA for both, ten pods, and six services:");
        for (node, pod) in [
            (1, &web),
            (1, &carts[0].0),
            (2, &carts[1].0),
            (2, &carts[2].0),
            (2, &stock),
            (1, &offers[0].0),
            (2, &offers[1].0),
            (2, &chat.0),
            (1, &prices[0].0),
            (2, &prices[1].0),
        ] {
            println!("   node-{node}  {:13} {}", pod.object().name(), pod.addresses().v4);
        }
        let requested = REQUESTED.map(|(name, _, addresses)| (name, addresses, 80));
        for (name, addresses, port) in [("cart", CART, 80), ("stock", STOCK, STOCK_PORT)]
            .into_iter()
            .chain(requested)
        {
            println!("   service {name:13} {}:{port}", addresses.v4);
        }
        Self {
            agents,
            web,
            carts,
            stock: (stock, server),
            offers,
            chat,
            prices,
            ca,
            nodes,
            lab,
        }
    }

    /// The nodes.
    pub(crate) fn nodes(&self) -> &[Node; 2] {
        &self.nodes
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
        let (stock, _) = &self.stock;
        wait::until(wait::PATIENCE, "the other node's pods in the mesh", || {
            self.nodes[1].captures(stock)
        });
        self.certificates("valid certificates", |certificate| certificate["state"] == "valid");
    }

    /// Waits until the certificates of all pods are such, and returns them.
    pub(crate) fn certificates(&self, what: &str, such: impl Fn(&Value) -> bool) -> Vec<Value> {
        wait::until_some(CERTIFIED, what, || {
            let shown = self.agents.iter().map(|agent| agent.debug(&["cert", "show"]));
            let rows: Vec<_> = shown
                .flat_map(|rows| rows.as_array().cloned().unwrap_or_default())
                .collect();
            (rows.len() == PODS && rows.iter().all(&such)).then_some(rows)
        })
    }

    /// Whether `web` may connect to `stock`, as `weft debug` of node-2 is asked. Its agent knows the pods of its own node; of
    /// `web` it knows what a certificate and a connection say.
    pub(crate) fn question(&self) -> String {
        format!(
            "policy test --from spiffe://cluster.local/ns/shop/sa/default --label app=web --address {} --to shop/stock --port {STOCK_PORT}",
            self.web.addresses().v4
        )
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
            for command in [
                "pod show",
                "pod check",
                "conn show",
                "service show",
                "cert show",
                "policy show",
                "route show",
            ] {
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
            "   {} debug {}    # node 2 decides",
            weft.display(),
            self.question()
        );
        let state = self.ca.state();
        let _ = writeln!(text, "\n   # the CA of both: look at its roots, and replace them");
        for command in ["show", "rotate"] {
            let _ = writeln!(text, "   {} ca {command} --state {}", weft.display(), state.display());
        }
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

/// How many pods [`Shop::open`] starts.
const PODS: usize = 10;

/// On a busy machine each step of the CA and its agents takes its time.
const CERTIFIED: Duration = Duration::from_secs(60);
