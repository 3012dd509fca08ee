//! What was measured across nodes was mutual TLS, of Weft and of the peer.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    envoy,
    layer::Layer,
    rounds::Sample,
    target::Kind,
    topology::{Mesh, Place, Topology},
    weft,
};

/// Fails when a measured kind made no handshake. That nothing else passes Weft is its policy: the mesh is Strict.
pub(super) fn all_encrypted(topology: &Topology, kinds: &[Kind]) -> Result<()> {
    for kind in kinds {
        match kind {
            Kind::Direct | Kind::Floor | Kind::EnvoyShared => {}
            Kind::Weft => agents(&topology.mesh)?,
            Kind::WeftUnpooled => agents(&topology.unpooled)?,
            Kind::Envoy => {
                let server = topology.plain.server(Place::AcrossNodes);
                let (all, wanted, resumed) = envoy::handshakes(server.netns())?;
                ensure!(all > 0.0, "Envoy made no TLS handshake");
                ensure!(wanted >= all, "Envoy took another cipher: {wanted} of {all} took ours");
                println!("envoy: {all} TLS handshakes, {resumed} of them resumed");
            }
        }
    }
    Ok(())
}

/// Fails when the agent let requests pass as bytes that it was to serve one by one.
pub(super) fn all_requests_served(topology: &Topology, samples: &[Sample], duration: Duration) -> Result<()> {
    let sent = |sample: &Sample| sample.rate * duration.as_secs_f64();
    let ours = samples
        .iter()
        .filter(|sample| sample.way.kind == Kind::Weft && sample.load.layer() != Layer::Bytes);
    let sent: f64 = ours.map(sent).sum();
    if sent > 0.0 {
        let served = weft::requests(topology.mesh.near.netns())?;
        // wrk ends a little later than it is told.
        ensure!(served >= sent * 0.99, "the agent served {served} requests of {sent:.0}");
        println!("weft: {served} requests served one by one");
    }
    Ok(())
}

fn agents(mesh: &Mesh) -> Result<()> {
    for node in [&mesh.near, &mesh.far] {
        let (handshakes, resumed) = weft::handshakes(node.netns())?;
        ensure!(handshakes > 0.0, "the agent of {} made no TLS handshake", node.name());
        println!(
            "weft, {}: {handshakes} TLS handshakes, {resumed} of them resumed",
            node.name()
        );
    }
    Ok(())
}
