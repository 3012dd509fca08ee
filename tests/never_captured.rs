//! What is never captured: link-local addresses, the cloud's metadata servers, and the API server.

use harness::{Addresses, App, Family, Object, Pod, Talk};

use crate::mesh::{Single, opened};

#[test]
fn metadata_servers_and_link_local_addresses_are_not_captured() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    mesh.node.netns().ip("address add 169.254.169.254/32 dev cni0\n\
         address add fd00:ec2::254/128 dev cni0 nodad\n\
         address add fe80::1/64 dev cni0 nodad\n");
    let app = mesh.node.serve(8080, App::Echo);
    for address in ["169.254.169.254:8080", "[fd00:ec2::254]:8080"] {
        let stream = client.connect(address.parse().unwrap()).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(
            app.peers().last().unwrap(),
            &stream.local_addr().unwrap(),
            "{address} without the agent"
        );
    }
    // A link-local destination needs the link.
    let link = client.run(|| nix::net::if_::if_nametoindex("eth0")).unwrap();
    let to = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 8080, 0, link);
    let stream = client.connect(to.into()).unwrap();
    assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    assert_eq!(opened(&mesh.agent), 0);
}

#[test]
fn the_api_server_is_not_captured_by_service_nor_by_endpoint() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let service = Addresses::service(1);
    mesh.apply(
        &Object::service("default/kubernetes", service, "none")
            .spec("selector", serde_json::Value::Null)
            .port("https", 443, 6443),
    );
    for family in Family::BOTH {
        let endpoint = mesh.node.addresses().of(family);
        let name = format!("default/kubernetes-{family:?}").to_lowercase();
        mesh.apply(&Object::slice(&name, "kubernetes", &[("https", 6443)]).endpoint(endpoint));
    }
    mesh.node.netns().ip(&format!(
        "address add {}/32 dev cni0\naddress add {}/128 dev cni0 nodad\n",
        service.v4, service.v6
    ));
    let apps = [443, 6443].map(|port| mesh.node.serve(port, App::Echo));

    for family in Family::BOTH {
        for (app, to) in apps
            .iter()
            .zip([service.at(family, 443), mesh.node.addresses().at(family, 6443)])
        {
            harness::wait::until(harness::wait::PATIENCE, format!("{to} is exempt"), || {
                let Ok(stream) = client.connect(to) else { return false };
                Talk::ask(&stream, b"x").is_ok() && app.peers().last() == stream.local_addr().ok().as_ref()
            });
        }
    }
}

#[test]
fn the_same_address_on_another_port_is_captured() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let service = Addresses::service(1);
    mesh.apply(
        &Object::service("default/kubernetes", service, "none")
            .spec("selector", serde_json::Value::Null)
            .port("https", 443, 6443),
    );
    mesh.apply(
        &Object::slice("default/kubernetes", "kubernetes", &[("https", 6443)])
            .endpoint(mesh.node.addresses().v4.into()),
    );
    let _app = mesh.node.serve(8080, App::Echo);
    reaches_by_the_agent(&mesh, &client, mesh.node.addresses().at(Family::V4, 8080));
}

fn reaches_by_the_agent(mesh: &Single, client: &Pod, to: std::net::SocketAddr) {
    let before = opened(&mesh.agent);
    let stream = client.connect(to).unwrap();
    assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    assert_eq!(opened(&mesh.agent), before + 1);
}
