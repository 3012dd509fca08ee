//! The steps about requests: routes of the Gateway API, and WebSockets.

use std::collections::BTreeMap;

use harness::{Answer, Family, Http2, Object, WebSocket, wait};
use serde_json::{Value, json};

use crate::{
    shop::{CHAT, OFFERS, PRICES, Shop},
    table::Seen,
};

/// How often each is asked.
const REQUESTS: usize = 1_000;

pub(crate) fn canary(shop: &mut Shop) -> Seen {
    shop.lab.manifests().apply(&route());
    wait::until(wait::PATIENCE, "the route", || {
        ask(shop, "/old", "").is_some_and(|answer| answer.status == 301)
    });
    let counts = count(shop, "/", "");
    let [stable, canary] = ["offers", "offers-canary"].map(|pod| counts.get(pod).copied().unwrap_or_default());
    Seen {
        what: format!("{REQUESTS} requests on one connection: offers {stable}, offers-canary {canary}"),
        // Drawn one by one: seven standard deviations from a tenth, on either side.
        as_promised: stable + canary == REQUESTS && (34..=166).contains(&canary),
    }
}

pub(crate) fn tester(shop: &mut Shop) -> Seen {
    let counts = count(shop, "/", "x-tester: yes\r\n");
    let canary = counts.get("offers-canary").copied().unwrap_or_default();
    let url = format!("http://{}/", OFFERS.v4);
    let told = shop.agents[0].launch().weft(&[
        "debug",
        "route",
        "test",
        "--from",
        "shop/web",
        "--to",
        &url,
        "-H",
        "x-tester: yes",
    ]);
    told.stdout.lines().for_each(|line| println!("   {line}"));
    let explained = told.stdout.contains("testers");
    Seen {
        what: format!(
            "{canary} of {REQUESTS} with the header at offers-canary; route test {}",
            if explained {
                "names the rule"
            } else {
                "does not name the rule"
            }
        ),
        as_promised: canary == REQUESTS && explained,
    }
}

pub(crate) fn mirror(shop: &mut Shop) -> Seen {
    let counts = count(shop, "/copied", "");
    let stable = counts.get("offers").copied().unwrap_or_default();
    let sent = || shop.agents[0].metric("weft_mirrored_requests_total", &["outcome=\"answered\""]) as usize;
    let got = || {
        let records = shop.agents[1].records();
        let such = |record: &&Value| record["path"] == "/copied" && record["destination_pod"] == "shop/offers-canary";
        records.iter().filter(such).count()
    };
    // The last copies may be under way.
    wait::until(wait::PATIENCE, "a record of each copy", || {
        sent() > 0 && sent() == got()
    });
    let copies = got();
    Seen {
        what: format!("{stable} of {REQUESTS} answered by offers; offers-canary got {copies} copies"),
        // As above, of a fifth.
        as_promised: stable == REQUESTS && (112..=288).contains(&copies),
    }
}

pub(crate) fn redirect(shop: &mut Shop) -> Seen {
    let answer = ask(shop, "/old/shelf?page=2", "");
    let answered = answer
        .as_ref()
        .map(|answer| (answer.status, answer.header("location").unwrap_or_default()));
    Seen {
        what: answered.map_or("no answer".to_owned(), |(status, location)| {
            format!("{status} to {location}")
        }),
        as_promised: answered
            .is_some_and(|(status, location)| status == 301 && location.ends_with("/new/shelf?page=2")),
    }
}

pub(crate) fn web_socket(shop: &mut Shop) -> Seen {
    let stream = shop.web.connect(CHAT.at(Family::V4, 80));
    let opened = stream.map_err(|error| error.to_string()).and_then(WebSocket::open);
    let echoed = opened.map(|mut socket| {
        let said = (0..REQUESTS).filter(|number| {
            let text = number.to_string();
            socket.say(&text).is_ok_and(|answer| answer == format!("chat {text}"))
        });
        said.count()
    });
    let accepted = shop.chat.1.accepted();
    Seen {
        what: match &echoed {
            Ok(echoed) => format!("{echoed} of {REQUESTS} texts came back, on {accepted} connection"),
            Err(error) => error.clone(),
        },
        as_promised: echoed.is_ok_and(|echoed| echoed == REQUESTS) && accepted == 1,
    }
}

pub(crate) fn grpc(shop: &mut Shop) -> Seen {
    shop.lab.manifests().apply(&methods());
    let client = wait::until_some(wait::PATIENCE, "the route of calls", || {
        let client = Http2::open(shop.web.connect(PRICES.at(Family::V4, 80)).ok()?)?;
        let refused = client.call("/shop.Prices/Set")?;
        (refused.grpc_status() == Some(UNIMPLEMENTED)).then_some(client)
    });
    let mut counts = BTreeMap::<String, usize>::new();
    for answer in (0..REQUESTS).filter_map(|_| client.call("/shop.Prices/Get")) {
        if answer.grpc_status() == Some("0")
            && let Some(pod) = answer.headers.get("server").and_then(|pod| pod.to_str().ok())
        {
            *counts.entry(pod.to_owned()).or_default() += 1;
        }
    }
    let each = shop.prices.each_ref().map(|(pod, server)| {
        let name = pod.object().name();
        let calls = counts.get(name).copied().unwrap_or_default();
        format!("{name} {calls} on {} connection", server.accepted())
    });
    Seen {
        what: format!(
            "{REQUESTS} calls on one connection: {}; Set is status {UNIMPLEMENTED}",
            each.join(", ")
        ),
        as_promised: counts.len() == 2 && counts.values().sum::<usize>() == REQUESTS,
    }
}

/// Asks the service `offers` from the pod `web`.
fn ask(shop: &Shop, target: &str, headers: &str) -> Option<Answer> {
    let stream = shop.web.connect(OFFERS.at(Family::V4, 80)).ok()?;
    Answer::to(&stream, target, headers)
}

/// Asks `offers` again and again on one connection, and counts which pod answered.
fn count(shop: &Shop, target: &str, headers: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let Ok(stream) = shop.web.connect(OFFERS.at(Family::V4, 80)) else {
        return counts;
    };
    for answer in (0..REQUESTS).map_while(|_| Answer::to(&stream, target, headers)) {
        *counts.entry(answer.body).or_default() += 1;
    }
    counts
}

fn route() -> Object {
    Object::new(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "namespace": "shop", "name": "offers" },
        "spec": {
            "parentRefs": [{ "group": "", "kind": "Service", "name": "offers", "port": 80 }],
            "rules": [
                {
                    "name": "testers",
                    "matches": [{ "headers": [{ "name": "x-tester", "value": "yes" }] }],
                    "backendRefs": [{ "name": "offers-canary", "port": 80 }],
                },
                {
                    "name": "moved",
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/old" } }],
                    "filters": [{ "type": "RequestRedirect", "requestRedirect": {
                        "statusCode": 301, "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/new" } } }],
                },
                {
                    "name": "copied",
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/copied" } }],
                    "filters": [{ "type": "RequestMirror", "requestMirror": {
                        "backendRef": { "name": "offers-canary", "port": 80 }, "percent": 20 } }],
                    "backendRefs": [{ "name": "offers", "port": 80 }],
                },
                {
                    "name": "canary",
                    "backendRefs": [
                        { "name": "offers", "port": 80, "weight": 90 },
                        { "name": "offers-canary", "port": 80, "weight": 10 },
                    ],
                },
            ],
        },
    }))
}

fn methods() -> Object {
    Object::new(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": { "namespace": "shop", "name": "prices" },
        "spec": {
            "parentRefs": [{ "group": "", "kind": "Service", "name": "prices", "port": 80 }],
            "rules": [{
                "matches": [{ "method": { "service": "shop.Prices", "method": "Get" } }],
                "backendRefs": [{ "name": "prices", "port": 80 }],
            }],
        },
    }))
}

/// What gRPC answers for a method that nobody serves.
const UNIMPLEMENTED: &str = "12";
