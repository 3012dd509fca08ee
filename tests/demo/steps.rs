//! The steps, in their order.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{Agent, Family, Pod, Talk, wait};

use crate::{
    requests, security,
    shop::{CART, STOCK, STOCK_PORT, Shop},
    table::Seen,
};

/// One step.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) why: &'static str,
    pub(crate) run: fn(&mut Shop) -> Seen,
}

pub(crate) const STEPS: [Step; 18] = [
    Step {
        title: "before the label",
        why: "The pods reach each other as the network has it; nobody plays kube-proxy here, so services do not exist.",
        run: before_the_label,
    },
    Step {
        title: "read on the wire",
        why: "web on node-1 tells stock on node-2 a card's number, while sniffers sit on every interface between them.",
        run: security::read_on_the_wire,
    },
    Step {
        title: "after the label",
        why: "The namespace gets weft.dev/mesh: enabled. No pod is restarted, no connection is harmed.",
        run: after_the_label,
    },
    Step {
        title: "encrypted on the wire",
        why: "The same again, a thousand times, and the same sniffers. The port is the same too, but what passes there is TLS.",
        run: security::encrypted_on_the_wire,
    },
    Step {
        title: "the client's address",
        why: "The application sees the client's own address, though the agents hold the connection.",
        run: the_clients_address,
    },
    Step {
        title: "balancing",
        why: "The service cart has one pod on this node and two on the other.",
        run: balancing,
    },
    Step {
        title: "a server that speaks first",
        why: "The service stock sends a line before it is asked; no agent waits for the client.",
        run: server_first,
    },
    Step {
        title: "live connections",
        why: "weft debug conn show, on node-1, while three connections are open:",
        run: live_connections,
    },
    Step {
        title: "a canary",
        why: "An HTTPRoute sends nine of ten requests for the service offers to its pod, and one to the next version's.",
        run: requests::canary,
    },
    Step {
        title: "a tester's header",
        why: "A rule above it sends all requests that carry x-tester to the next version; weft debug says why.",
        run: requests::tester,
    },
    Step {
        title: "a mirror",
        why: "Of requests for /copied, which the stable version serves, a fifth goes to the next version too, whose answers nobody gets.",
        run: requests::mirror,
    },
    Step {
        title: "a redirect",
        why: "Another rule answers requests for /old by itself: no pod is asked.",
        run: requests::redirect,
    },
    Step {
        title: "a WebSocket",
        why: "web opens a WebSocket to chat on node-2 and says a thousand things; each comes back.",
        run: requests::web_socket,
    },
    Step {
        title: "calls of gRPC",
        why: "web calls prices, of one pod on each node, on one connection; a GRPCRoute lets through one method of it.",
        run: requests::grpc,
    },
    Step {
        title: "cut by a policy",
        why: "An AuthorizationPolicy lets only cart's pods speak to stock, while web and cart-0 do. What it forbids is cut.",
        run: security::cut_by_policy,
    },
    Step {
        title: "denied by a policy",
        why: "web tries again. The agent of node-2 refuses it, records why, and explains it by the code that decided.",
        run: security::denied,
    },
    Step {
        title: "a root rotated",
        why: "weft ca rotate under traffic between the nodes. Certificates live 16 s here, and the old root until the last is over.",
        run: security::rotated,
    },
    Step {
        title: "an agent killed and restarted",
        why: "SIGKILL to the agent of node-1 under traffic: the namespace fails closed, so new connections wait for the next agent.",
        run: killed_and_restarted,
    },
];

fn before_the_label(shop: &mut Shop) -> Seen {
    let pod = &shop.carts[2].0;
    let answer = shop.ask(pod.addresses().at(Family::V4, 8080));
    let service = shop
        .web
        .dial(CART.at(Family::V4, 80))
        .timeout(Duration::from_millis(500))
        .connect();
    let captured = shop.captured();
    Seen {
        what: format!(
            "pod to pod {}; by service {}; agents saw {captured} connections",
            outcome(answer.is_ok()),
            outcome(service.is_ok())
        ),
        as_promised: answer.is_ok() && service.is_err() && captured == 0,
    }
}

fn after_the_label(shop: &mut Shop) -> Seen {
    let start = Instant::now();
    shop.join();
    shop.wait_captured();
    let took = start.elapsed();
    let name = "shop/web";
    let record = shop.agents[0].record("its record", |record| {
        record["source_pod"] == name && record["service"] == "shop/cart"
    });
    println!("   the agent's record: {record}");
    Seen {
        what: format!("captured and served by service after {} ms", took.as_millis()),
        as_promised: true,
    }
}

fn the_clients_address(shop: &mut Shop) -> Seen {
    let own = shop.web.addresses();
    let seen: Vec<_> = shop
        .carts
        .iter()
        .flat_map(|(pod, _)| Family::BOTH.map(|family| (family, pod.addresses().at(family, 8080))))
        .map(|(family, to)| {
            let peer = shop.ask(to).map(|(_, peer)| peer);
            let kept = peer
                .as_ref()
                .is_ok_and(|peer| peer.parse().is_ok_and(|peer: SocketAddr| peer.ip() == own.of(family)));
            println!("   {to} saw {}", peer.unwrap_or_else(|error| error));
            kept
        })
        .collect();
    let kept = seen.iter().filter(|kept| **kept).count();
    Seen {
        what: format!("{kept} of {} pods' addresses saw {} or {}", seen.len(), own.v4, own.v6),
        as_promised: kept == seen.len(),
    }
}

fn balancing(shop: &mut Shop) -> Seen {
    let counts = shop.count_carts(60);
    let each: Vec<_> = counts.iter().map(|(pod, count)| format!("{pod} {count}")).collect();
    Seen {
        what: format!("60 connections: {}", each.join(", ")),
        as_promised: counts.len() == 3 && counts.values().sum::<usize>() == 60,
    }
}

fn server_first(shop: &mut Shop) -> Seen {
    let start = Instant::now();
    let line = shop.web.connect(STOCK.at(Family::V4, STOCK_PORT)).and_then(Talk::line);
    let took = start.elapsed();
    Seen {
        what: format!("its line came after {:.1} ms", took.as_secs_f64() * 1000.0),
        as_promised: line.is_ok_and(|line| line == "stock") && took < Duration::from_millis(200),
    }
}

fn live_connections(shop: &mut Shop) -> Seen {
    let to = STOCK.at(Family::V4, STOCK_PORT);
    let open: Vec<_> = (0..3).filter_map(|_| shop.web.connect(to).ok()).collect();
    open.iter().for_each(|stream| drop(Talk::line(stream)));
    let launch = shop.agents[0].launch();
    let shown = launch.weft(&["debug", "conn", "show"]);
    shown.stdout.lines().for_each(|line| println!("   {line}"));
    let count = launch.debug(&["conn", "show"]).as_array().map_or(0, |connections| {
        connections
            .iter()
            .filter(|connection| connection["service"] == "shop/stock")
            .count()
    });
    Seen {
        what: format!("{count} connections of shop/stock, {} opened", open.len()),
        as_promised: count == open.len(),
    }
}

/// What a client lived through.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) served: usize,
    pub(crate) cut: usize,
    longest: Duration,
    /// When the last one that was cut was begun.
    last_cut: Option<Instant>,
}

impl Traffic {
    /// Asks again and again, with such a rest in between, while the work is done.
    pub(crate) fn during<T>(
        client: &Pod,
        to: SocketAddr,
        rest: Option<Duration>,
        work: impl FnOnce() -> T,
    ) -> (T, Self) {
        let stop = AtomicBool::new(false);
        let asking = || {
            let mut traffic = Self::default();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                match client.connect(to).and_then(Talk::line) {
                    Ok(_) => traffic.served += 1,
                    Err(error) => {
                        println!("   not served: {error}");
                        traffic.cut += 1;
                        traffic.last_cut = Some(start);
                    }
                }
                traffic.longest = traffic.longest.max(start.elapsed());
                if let Some(rest) = rest {
                    thread::sleep(rest);
                }
            }
            traffic
        };
        thread::scope(|scope| {
            let asking = scope.spawn(asking);
            let stopped = Stop(&stop);
            let done = work();
            drop(stopped);
            (done, asking.join().unwrap_or_default())
        })
    }
}

/// Ends the client also when the work panics, or nothing would.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn killed_and_restarted(shop: &mut Shop) -> Seen {
    let [agent, _] = &mut shop.agents;
    let ((away, ready), traffic) = Traffic::during(&shop.web, CART.at(Family::V4, 80), None, || {
        let opened = |agent: &Agent| agent.metric("weft_connections_opened_total", &[]);
        let before = opened(agent);
        wait::until(wait::PATIENCE, "traffic", || opened(agent) > before + 100.0);
        let start = Instant::now();
        agent.restart();
        let (away, ready) = (start.elapsed(), Instant::now());
        wait::until(wait::PATIENCE, "traffic again", || opened(agent) > 20.0);
        (away, ready)
    });
    let Traffic {
        served,
        cut,
        longest,
        last_cut,
    } = traffic;
    Seen {
        what: format!(
            "away {} ms: {served} connections served, {cut} cut, the longest wait {} ms",
            away.as_millis(),
            longest.as_millis()
        ),
        // The one that the agent held when it died, and one that its listener took while the kernel closed its sockets one
        // by one: none of the next agent's, and none that nobody ends.
        as_promised: cut <= 2 && last_cut.is_none_or(|begun| begun < ready) && longest < wait::PATIENCE,
    }
}

fn outcome(works: bool) -> &'static str {
    if works { "works" } else { "does not" }
}
