//! `cargo xtask cluster load`: Weft's image and the sample application's, as they are in the checkout, and Weft installed.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use cluster::{Cluster, Kubectl};

use super::Name;
use crate::{
    build,
    image::{Arch, Which},
    setup::{self, Need},
    timing::Timing,
    workspace,
};

/// Build the images of Weft and of the sample application, give them to the nodes, and install Weft from deploy/
///
/// Where Weft is installed already, its pods are started again with the new image.
///
/// With KUBECONFIG set the nodes are somebody else's: the archives are built, and how to bring them there is printed.
#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    name: Name,

    /// Only these; all, if none is named
    which: Vec<Which>,
}

// === impl Load ===

impl Load {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build])?;
        let mut timing = Timing::default();
        let which = if self.which.is_empty() {
            ALL.to_vec()
        } else {
            self.which
        };
        load(&mut timing, &self.name, &which)?;
        println!("{timing}");
        Ok(())
    }
}

pub(super) fn load(timing: &mut Timing, name: &Name, which: &[Which]) -> Result<()> {
    if which.contains(&Which::Weft) {
        timing.step("kernel programs", build::kernel_programs)?;
    }
    let mut archives = Vec::new();
    for which in which {
        let archive = timing.step(&format!("image {which}"), || which.build(Arch::Amd64))?;
        archives.push((archive, which.reference()));
    }
    if std::env::var_os("KUBECONFIG").is_some_and(|file| !file.is_empty()) {
        println!("KUBECONFIG is set; bring these to your nodes, or to a registry that they pull from:");
        for (archive, reference) in archives {
            let path = archive.display();
            println!("  {reference}");
            println!("    ctr --namespace k8s.io images import {path}     # on a node");
            println!("    kind load image-archive {path}");
            println!("    skopeo copy oci-archive:{path} docker://REGISTRY/NAME:TAG");
        }
        return Ok(());
    }
    let cluster = name.cluster()?;
    if !cluster.runs()? {
        bail!("the cluster {} is not up: `cargo xtask cluster up`", name.name);
    }
    timing.step("import", || {
        archives.iter().try_for_each(|(archive, _)| cluster.load(archive))
    })?;
    for (_, reference) in archives {
        println!("{reference}");
    }
    if which.contains(&Which::Weft) {
        timing.step("install", || install(&cluster))?;
    }
    Ok(())
}

/// As a user does it: `kubectl apply -k deploy`, until all of it is ready.
fn install(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?;
    let was_there = kubectl.run(&["get", AGENTS, IN_SYSTEM]).is_ok();
    let deploy = workspace::root().join("deploy");
    let deploy = deploy.to_str().context("the checkout's path must be text")?;
    kubectl.run(&["apply", "--server-side", "--force-conflicts", "--kustomize", deploy])?;
    if was_there {
        // The image's name is the same, and so is all that Kubernetes compares.
        kubectl.run(&[&["rollout", "restart", IN_SYSTEM][..], &PARTS].concat())?;
    }
    PARTS.iter().try_for_each(|part| is_ready(&kubectl, part))
}

pub(super) fn is_ready(kubectl: &Kubectl, part: &str) -> Result<()> {
    let waited = kubectl.run(&["rollout", "status", part, IN_SYSTEM, "--timeout=120s"]);
    waited.map(drop).with_context(|| {
        let pods = kubectl.run(&["get", "pods", IN_SYSTEM]);
        format!("{part} does not become ready\n{}", pods.unwrap_or_default())
    })
}

pub(super) const AGENTS: &str = "daemonset/weft-agent";
const PARTS: [&str; 3] = ["deployment/weft-ca", AGENTS, "deployment/weft-controller"];
pub(super) const IN_SYSTEM: &str = "--namespace=weft-system";

pub(super) const ALL: [Which; 2] = [Which::Weft, Which::Sample];
