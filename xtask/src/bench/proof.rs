//! What was measured across nodes was mutual TLS, of Weft and of the peer.

use anyhow::{Result, ensure};

use super::{
    envoy,
    target::Kind,
    topology::{Mesh, Place, Topology},
    weft,
};

/// Fails when a measured kind made no handshake. That nothing else passes Weft is its policy: the mesh is Strict.
pub(super) fn all_encrypted(topology: &Topology, kinds: &[Kind]) -> Result<()> {
    for kind in kinds {
        match kind {
            Kind::Direct | Kind::Floor => {}
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
