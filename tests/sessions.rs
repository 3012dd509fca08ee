//! Sessions that stay with their endpoint (GEP-1619) between real agents.

use harness::{Addresses, Answer, App, Family, Object, Pod, Server, wait};
use serde_json::{Value, json};

use crate::{
    mesh::{Mesh, wait_captured},
    routes::route,
};

/// The services `mesh/web`, with a pod on each node, and `mesh/canary`, between which a route draws lots.
struct Shop {
    client: Pod,
    servers: Vec<(Pod, Server)>,
    _mesh: Mesh,
}

impl Shop {
    fn start(session: &Value) -> Self {
        let mesh = Mesh::start_secured();
        let client = mesh.pod(0, "mesh/client");
        let servers = [(0, "web-0", "web"), (1, "web-1", "web"), (1, "canary", "canary")];
        let servers = servers.map(|(node, name, app)| {
            let pod = mesh.nodes[node].pod(&format!("mesh/{name}")).label("app", app).start();
            wait_captured(&mesh.nodes[node], &pod);
            let server = pod.serve(8080, App::HttpWho);
            (pod, server)
        });
        for (name, addresses) in [("web", WEB), ("canary", CANARY)] {
            let service = Object::service(&format!("mesh/{name}"), addresses, name);
            mesh.apply(&service.port("http", 80, 8080));
        }
        let rules = json!([{
            "sessionPersistence": session,
            "backendRefs": [{ "name": "web", "port": 80, "weight": 2 }, { "name": "canary", "port": 80, "weight": 1 }],
        }]);
        mesh.apply(&route("mesh/web", rules));
        mesh.wait_certified();
        let shop = Self {
            client,
            servers: servers.into(),
            _mesh: mesh,
        };
        for family in Family::BOTH {
            let mut unseen = vec!["web-0", "web-1", "canary"];
            wait::until(wait::PATIENCE, "each pod has served who had no session", || {
                let answer = shop.try_ask(family, "").filter(|answer| answer.status == 200);
                answer.inspect(|answer| unseen.retain(|pod| *pod != answer.body));
                unseen.is_empty()
            });
        }
        shop
    }

    fn try_ask(&self, family: Family, headers: &str) -> Option<Answer> {
        Answer::to(&self.client.connect(WEB.at(family, 80)).ok()?, "/", headers)
    }

    /// Asks until another pod than this serves.
    fn moves_from(&self, pod: &str, headers: &str) -> Answer {
        let mut moved = None;
        wait::until(wait::PATIENCE, "another pod chosen", || {
            let answer = self.try_ask(Family::V4, headers);
            moved = answer.filter(|answer| answer.status == 200 && answer.body != pod);
            moved.is_some()
        });
        moved.expect("it was seen")
    }

    fn ask(&self, family: Family, headers: &str) -> Answer {
        let answer = self.try_ask(family, headers).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.head);
        answer
    }
}

/// What a browser sends back of a cookie.
fn cookie(answer: &Answer) -> &str {
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a name and a value")
}

#[test]
fn a_cookie_keeps_a_client_with_its_pod_and_a_forged_one_is_replaced() {
    let shop = Shop::start(&json!({ "sessionName": "stay" }));
    for family in Family::BOTH {
        for _ in 0..5 {
            let first = shop.ask(family, "");
            let headers = format!("Cookie: theme=dark; {}\r\n", cookie(&first));
            assert!(headers.contains("; stay="), "{headers}");
            for _ in 0..REQUESTS {
                let again = shop.ask(family, &headers);
                assert_eq!(again.body, first.body);
                assert_eq!(again.header("set-cookie"), None, "it is known already");
            }
        }
        // Of another family, of nobody, of no agent's.
        let foreign = shop.ask(other(family), "");
        for forged in [cookie(&foreign), "stay=BAAAAAAAAAAAAAAAAAAAAAAAUAoAAAE", "stay=\"x\""] {
            let answer = shop.ask(family, &format!("Cookie: {forged}\r\n"));
            assert_ne!(cookie(&answer), forged);
        }
    }
}

#[test]
fn a_header_keeps_a_client_with_its_pod_until_that_serves_no_more() {
    let mut shop = Shop::start(&json!({ "type": "Header", "sessionName": "x-stay" }));
    let headers = |answer: &Answer| format!("X-Stay: {}\r\n", answer.header("x-stay").expect("a token"));
    let mut first = shop.ask(Family::V4, "");
    wait::until(wait::PATIENCE, "the canary chosen", || {
        first = shop.ask(Family::V4, "");
        first.body == "canary"
    });
    for _ in 0..REQUESTS {
        assert_eq!(shop.ask(Family::V4, &headers(&first)).body, "canary");
    }
    // Its pod is still one of the service's.
    let (_pod, server) = shop.servers.pop().expect("the canary");
    drop(server);
    let moved = shop.moves_from("canary", &headers(&first));
    for _ in 0..REQUESTS {
        assert_eq!(shop.ask(Family::V4, &headers(&moved)).body, moved.body);
    }
    // The pod serves, and is no longer the service's.
    let of_moved = shop
        .servers
        .iter_mut()
        .find(|(pod, _)| pod.object().name() == moved.body);
    let (pod, _) = of_moved.expect("its pod");
    pod.update(|pod| pod["metadata"]["labels"]["app"] = json!("none"));
    shop.moves_from(&moved.body, &headers(&moved));
}

fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

const WEB: Addresses = Addresses::service(10);
const CANARY: Addresses = Addresses::service(11);
/// Of so many, none elsewhere is as good as impossible by chance: at most two thirds to this power.
const REQUESTS: usize = 30;
