//! The steps about who may read and who may speak: encryption, policies, roots.

use std::time::{Duration, Instant};

use harness::{Family, Object, Talk, wait};
use serde_json::{Value, json};

use crate::{
    shop::{CART, STOCK, STOCK_PORT, Shop},
    steps::Traffic,
    table::Seen,
    wire::Wire,
};

/// How often the text is sent through the mesh.
const REQUESTS: usize = 1_000;

/// How soon a change of policy is to be felt.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn read_on_the_wire(shop: &mut Shop) -> Seen {
    let wire = Wire::tap(shop);
    let served = shop.send_secrets(2);
    let reading = wire.read(shop);
    Seen {
        what: format!("the text on {} of {} interfaces", reading.telling, reading.interfaces),
        as_promised: served == 2 && reading.telling == reading.interfaces,
    }
}

pub(crate) fn encrypted_on_the_wire(shop: &mut Shop) -> Seen {
    let wire = Wire::tap(shop);
    let before = shop.stock.1.accepted();
    let served = shop.send_secrets(REQUESTS);
    let reached = shop.stock.1.accepted() - before;
    let reading = wire.read(shop);
    Seen {
        what: format!(
            "{reached} requests at the app, {} packets: the text on {} of {} interfaces, ClientHello on {}",
            reading.packets, reading.telling, reading.interfaces, reading.greeting
        ),
        as_promised: served == REQUESTS
            && reached >= REQUESTS
            && reading.telling == 0
            && reading.greeting == reading.interfaces,
    }
}

pub(crate) fn cut_by_policy(shop: &mut Shop) -> Seen {
    let to = STOCK.at(Family::V4, STOCK_PORT);
    let [forbidden, allowed] = [&shop.web, &shop.carts[0].0].map(|pod| pod.connect(to));
    let greeted = [&forbidden, &allowed].map(|stream| stream.as_ref().is_ok_and(|stream| Talk::line(stream).is_ok()));
    let start = Instant::now();
    shop.lab.manifests().apply(&Object::policy(
        "AuthorizationPolicy",
        "shop/carts-ask-stock",
        json!({
            "action": "ALLOW",
            "targetRefs": [{ "kind": "Service", "name": "stock" }],
            "rules": [{ "from": [{ "namespaces": ["shop"], "podLabels": { "app": "cart" } }] }],
        }),
    ));
    let ended = forbidden.is_ok_and(|stream| Talk::hear(stream).is_err());
    let took = start.elapsed();
    let kept = allowed.is_ok_and(|stream| Talk::ask(stream, b"still here").is_ok());
    let record = shop.agents[1].record("the cut", |record| {
        record["source_pod"] == "shop/web" && !record["reason"].is_null()
    });
    println!("   the agent's record: {record}");
    let reason = record["reason"].as_str().unwrap_or("none");
    Seen {
        what: format!(
            "cut after {} ms, reason {reason}; cart-0's {}",
            took.as_millis(),
            if kept { "goes on" } else { "is cut too" }
        ),
        as_promised: greeted == [true; 2] && ended && took < SOON && kept && reason == "policy_denied",
    }
}

pub(crate) fn denied(shop: &mut Shop) -> Seen {
    let agent = &shop.agents[1];
    let known = agent.records().len();
    let to = STOCK.at(Family::V4, STOCK_PORT);
    let refused = shop.web.connect(to).and_then(Talk::line).is_err();
    let served = shop.carts[0].0.connect(to).and_then(Talk::line).is_ok();
    wait::until(wait::PATIENCE, "the refusal's record", || {
        agent.records().iter().skip(known).any(is_refusal)
    });
    let record = agent
        .records()
        .into_iter()
        .skip(known)
        .find(is_refusal)
        .unwrap_or_default();
    println!("   the agent's record: {record}");
    let question = shop.question();
    let asked: Vec<_> = question.split(' ').collect();
    let told = agent.launch().weft(&[&["debug"], &asked[..]].concat());
    println!("   weft debug {question}");
    let lines = told.stdout.lines().chain(told.stderr.lines());
    lines.for_each(|line| println!("   {line}"));
    let explained = agent.launch().weft(&[&["debug", "-j"], &asked[..]].concat()).stdout;
    let explained: Value = serde_json::from_str(&explained).unwrap_or_default();
    let reason = explained[0]["reason"].as_str().unwrap_or("none");
    Seen {
        what: format!(
            "web {}, cart-0 {}: {}; policy test: {reason}",
            if refused { "refused" } else { "served" },
            if served { "served" } else { "refused" },
            record["reason"].as_str().unwrap_or("no reason"),
        ),
        as_promised: refused && served && reason == "no_allow_matches" && told.code == Some(3),
    }
}

pub(crate) fn rotated(shop: &mut Shop) -> Seen {
    let roots = || shop.ca.show()["roots"].clone();
    let handshakes = || shop.agents[0].metric("weft_tls_handshakes_total", &["side=\"client\""]);
    let (old, shaken) = (roots(), handshakes());
    let start = Instant::now();
    let ((), traffic) = Traffic::during(&shop.web, CART.at(Family::V4, 80), Some(PACE), || {
        let begun = shop.ca.command(&["rotate"]);
        assert_eq!(begun.code, Some(0), "weft ca rotate: {}", begun.stderr);
        wait::until(ROTATED, "the old root gone", || shop.ca.show()["rotation"] == "none");
        let new = roots();
        shop.certificates("certificates of the new root", |certificate| {
            certificate["state"] == "valid" && new.as_array().is_some_and(|new| new.contains(&certificate["root"]))
        });
    });
    let (took, new) = (start.elapsed(), roots());
    println!("   before: {old}\n   after:  {new}");
    let gone = new.as_array().is_some_and(|new| {
        let old = old.as_array().map_or(&[][..], Vec::as_slice);
        !new.is_empty() && new.iter().all(|root| !old.contains(root))
    });
    Seen {
        what: format!(
            "{} requests, {} failed, {} handshakes in {} s; the old root {}",
            traffic.served,
            traffic.cut,
            handshakes() - shaken,
            took.as_secs(),
            if gone { "is gone" } else { "is still there" }
        ),
        as_promised: traffic.served > 0 && traffic.cut == 0 && gone && handshakes() > shaken,
    }
}

/// Whether it is the record of a connection of `web` that was refused.
fn is_refusal(record: &Value) -> bool {
    record["source_pod"] == "shop/web" && record["reason"] == "policy_denied"
}

/// How long a client rests between two requests while a root is rotated: traffic, not load, is to be shown.
const PACE: Duration = Duration::from_millis(5);

/// A certificate lives 16 s here, and the old root 5 s longer.
const ROTATED: Duration = Duration::from_secs(60);
