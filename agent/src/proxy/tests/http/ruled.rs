//! A service with a route of one rule, and what is asked there.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::model::{
    Contents, Mirror, ObjectName, Share, WrittenRule,
    route::sample::{mk_backend, mk_match, mk_route, mk_written_rule},
    sample::{NODE, ZONE},
};

/// Makes `api` of these endpoints with a route of this rule, and beside it the service `mirror` at port 9000.
pub(super) fn rule(world: &World, endpoints: &[SocketAddr], mirrors: &[SocketAddr], rule: WrittenRule) {
    let contents = mk_contents(world, AppProtocol::Http1, endpoints, mirrors, rule);
    world.mesh.send_replace(Arc::new(Mesh::new(contents)));
}

/// The mesh of [`rule`], with what the port of `api` speaks.
pub(super) fn mk_contents(
    world: &World,
    app_protocol: AppProtocol,
    endpoints: &[SocketAddr],
    mirrors: &[SocketAddr],
    rule: WrittenRule,
) -> Contents {
    let mut api = world.api(endpoints);
    api.ports[0].app_protocol = Some(app_protocol);
    let mirrors = mirrors.iter().map(|address| mk_endpoint(&address.to_string()));
    let mirror = Service {
        ports: vec![mk_port(9000, mirrors.collect())],
        ..mk_service("mirror", &["127.96.0.2"])
    };
    let mut route = mk_route("route");
    route.parents[0].service = ObjectName::new("default", "api");
    route.rules = vec![rule];
    Contents {
        generation: 1,
        node: NODE.into(),
        zone: Some(ZONE.into()),
        pods: vec![web().into()],
        services: vec![Arc::new(api), Arc::new(mirror)],
        routes: vec![Arc::new(route)],
        ..Contents::default()
    }
}

pub(super) fn mk_rule(world: &World) -> WrittenRule {
    WrittenRule {
        backends: vec![mk_backend("api", world.out, 1)],
        ..mk_written_rule("all", vec![mk_match(Default::default())])
    }
}

pub(super) fn mk_mirror(numerator: u32, denominator: u32) -> Mirror {
    Mirror {
        target: mk_backend("mirror", 9000, 1).target,
        share: Share { numerator, denominator },
    }
}

/// Copies of this outcome that were counted; of those that failed, for this reason.
pub(super) fn mirrored(world: &World, outcome: &str, reason: &str) -> usize {
    let series = format!("weft_mirrored_requests_total{{outcome=\"{outcome}\",reason=\"{reason}\"}} ");
    let text = world.exposition.text().unwrap();
    let counted = text.lines().find_map(|line| line.strip_prefix(&series));
    counted.map_or(0, |count| count.parse().unwrap())
}

pub(super) fn unavailable() -> String {
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy".into()
}

pub(super) fn post(body: &str) -> String {
    format!(
        "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn counted(world: &World, line: &str) -> bool {
    world.exposition.text().unwrap().lines().any(|found| found == line)
}

/// An application that says 503 so many times, and then what it was told.
pub(super) fn busy(world: &World, times: usize) -> App {
    let asked = AtomicUsize::new(0);
    App::start(world.app("127.0.0.1:0"), move |request| {
        match asked.fetch_add(1, SeqCst) < times {
            true => unavailable(),
            false => answer(&String::from_utf8_lossy(&request.body)),
        }
    })
}
