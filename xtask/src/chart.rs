//! `cargo xtask chart`: writes the Helm chart in deploy/helm/weft from the kustomize base, file by file.
//!
//! The chart is the base with a few values in place of what the base says: rendered with its defaults, it is the base. A
//! test does that without Helm, whose language the chart uses nothing of but values.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::workspace;

/// Write deploy/helm/weft, the Helm chart, from the kustomize base in deploy
#[derive(Args)]
pub(crate) struct Chart {}

/// A value of the chart.
struct Value {
    /// What the base says.
    base: &'static str,
    /// What the chart says.
    template: &'static str,
    /// How often the base says it.
    places: usize,
}

// === impl Chart ===

impl Chart {
    pub(crate) fn run(self) -> Result<()> {
        for (path, text) in files(&workspace::root().join("deploy"))? {
            let path = workspace::root().join("deploy/helm/weft").join(path);
            let folder = path.parent().context("a file lies in a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// All files of the chart by their paths within it.
fn files(base: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = vec![
        ("Chart.yaml".into(), CHART.replace("VERSION", VERSION)),
        ("values.yaml".into(), VALUES.replace("VERSION", VERSION)),
    ];
    let mut places = vec![0; SUBSTITUTED.len()];
    for name in TEMPLATES {
        let mut text = read(base, name)?;
        ensure!(!text.contains("{{"), "{name} has what Helm takes for its own");
        for (value, places) in SUBSTITUTED.iter().zip(&mut places) {
            *places += text.matches(value.base).count();
            text = text.replace(value.base, value.template);
        }
        files.push((Path::new("templates").join(name), text));
    }
    for (value, places) in SUBSTITUTED.iter().zip(places) {
        ensure!(
            places == value.places,
            "`{}` stands {places} times in the base, not {}",
            value.base,
            value.places
        );
    }
    for name in CRDS {
        // Helm installs these before all else, and looks for no templates in them.
        files.push((Path::new("crds").join(name), read(&base.join("crds"), name)?));
    }
    Ok(files)
}

fn read(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The namespace is Helm's to make: `--create-namespace`.
const TEMPLATES: [&str; 4] = ["agent.yaml", "ca.yaml", "controller.yaml", "network-policies.yaml"];

const CRDS: [&str; 3] = [
    "authenticationpolicies.mesh.weft.dev.yaml",
    "authorizationpolicies.mesh.weft.dev.yaml",
    "meshconfigs.mesh.weft.dev.yaml",
];

const SUBSTITUTED: [Value; 4] = [
    Value {
        base: concat!("image: weft.dev/weft:", env!("CARGO_PKG_VERSION")),
        template: "image: {{ .Values.image.repository }}:{{ .Values.image.tag }}",
        places: 3,
    },
    Value {
        base: "imagePullPolicy: IfNotPresent",
        template: "imagePullPolicy: {{ .Values.image.pullPolicy }}",
        places: 3,
    },
    Value {
        base: "replicas: 2",
        template: "replicas: {{ .Values.replicas }}",
        places: 2,
    },
    Value {
        base: "--cni=on",
        template: "--cni={{ .Values.cni }}",
        places: 1,
    },
];

const CHART: &str = "\
# Written by `cargo xtask chart` from the kustomize base in deploy.
apiVersion: v2
name: weft
description: A service mesh without sidecars, one agent per node
type: application
version: VERSION
appVersion: VERSION
kubeVersion: \">=1.31.0-0\"
";

const VALUES: &str = "\
# Written by `cargo xtask chart` from the kustomize base in deploy.
#
#   helm install weft deploy/helm/weft --namespace weft-system --create-namespace
#   kubectl label namespace weft-system weft.dev/mesh=disabled pod-security.kubernetes.io/enforce=privileged
image:
  repository: weft.dev/weft
  tag: VERSION
  pullPolicy: IfNotPresent
# Of the CA and of the controller each.
replicas: 2
# Whether a chained CNI plugin holds each pod until it is captured: on or off.
cni: \"on\"
";

#[cfg(test)]
mod tests;
