//! A node: the configuration of its containerd, kubelet and kube-proxy, and of its pods' network.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{ControlPlane, Daemon, Machine, Names, PAUSE_IMAGE, Program, Programs, addressing, network::Site};

/// A node of a cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in Kubernetes.
    pub name: String,
    /// Where it is.
    pub site: Site,
    /// What it runs on.
    pub machine: Machine,
}

// === impl Node ===

impl Node {
    /// Writes all files that its daemons read.
    pub(crate) fn configure(&self, plane: &ControlPlane) -> Result<()> {
        let folder = &self.machine.folder;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let user = format!("system:node:{}", self.name);
        let authority = plane.authority();
        let names = Names {
            dns: &[&self.name],
            ips: &self.site.addresses,
        };
        let group = Some("system:nodes");
        let (certificate, key) = authority.server(&user, group, names)?.write(folder, "kubelet")?;
        plane.kubeconfig_in(folder, &user, group)?;
        let proxy = plane.kubeconfig_in(folder, PROXY_USER, None)?;
        write(&folder.join("ca.crt"), authority.root())?;
        // A node that knows no other name server than the cluster's.
        write(&folder.join("resolv.conf"), "")?;
        write(&folder.join("containerd.toml"), &containerd())?;
        write(
            &folder.join("kubelet.yaml"),
            &self.kubelet([&certificate, &key]).to_string(),
        )?;
        write(&folder.join("kube-proxy.yaml"), &self.proxy(proxy.path()).to_string())?;
        let cni = self.machine.disk(POD_NETWORKS);
        fs::create_dir_all(&cni).with_context(|| format!("cannot make {}", cni.display()))?;
        write(&cni.join("10-pods.conflist"), &format!("{:#}\n", self.pod_network()))?;
        Ok(())
    }

    /// What runs on it.
    pub(crate) fn daemons(name: &str, site: &Site, folder: &Path, programs: &Programs) -> Result<Vec<Daemon>> {
        let [v4, v6] = site.addresses;
        let kubelet = Daemon::new("kubelet", programs.path(Program::Kubelet)?)
            .flag("config", folder.join("kubelet.yaml"))
            .flag("kubeconfig", folder.join(format!("system:node:{name}.kubeconfig")))
            .flag("hostname-override", name)
            .flag("node-ip", format!("{v4},{v6}"));
        let containerd = Daemon::new("containerd", programs.path(Program::Containerd)?)
            .flag("config", folder.join("containerd.toml"));
        let proxy = Daemon::new("kube-proxy", programs.path(Program::KubeProxy)?)
            .flag("config", folder.join("kube-proxy.yaml"))
            .flag("hostname-override", name);
        Ok(vec![containerd, kubelet, proxy])
    }

    /// The object by which the cluster knows its ranges; the kubelet finds it and fills in the rest.
    pub(crate) fn object(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name},
            "spec": {"podCIDR": self.site.pods[0], "podCIDRs": self.site.pods},
        })
    }

    fn kubelet(&self, [certificate, key]: [&Path; 2]) -> Value {
        let ca = self.machine.folder.join("ca.crt");
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": ca},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": certificate,
            "tlsPrivateKeyFile": key,
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": false,
            "failSwapOn": false,
            "clusterDNS": [addressing::DNS_SERVICE[0]],
            "clusterDomain": addressing::DOMAIN,
            "resolvConf": self.machine.folder.join("resolv.conf"),
            // The disk is the developer's own, and may be nearly full.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": false,
            "makeIPTablesUtilChains": false,
        })
    }

    fn proxy(&self, kubeconfig: &Path) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": kubeconfig},
            "mode": "iptables",
            "clusterCIDR": addressing::PODS,
            // These settings of the kernel are not a namespace's own.
            "conntrack": {"maxPerCore": 0, "min": 0},
        })
    }

    /// Without masquerading: every machine of the cluster knows the way to every pod, and sees its own address.
    fn pod_network(&self) -> Value {
        let ranges: Vec<_> = self
            .site
            .pods
            .iter()
            .map(|subnet| json!([{"subnet": subnet}]))
            .collect();
        json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isDefaultGateway": true,
                    "hairpinMode": true,
                    "ipam": {"type": "host-local", "ranges": ranges},
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        })
    }
}

/// The snapshotter copies: overlays do not lie on every file system, and the images are small.
fn containerd() -> String {
    format!(
        r#"version = 3
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins.'io.containerd.cri.v1.images']
snapshotter = "native"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE, which containers that hold a CI lack, runc cannot lower it.
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Where containerd listens, on every node.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// Where containerd looks for the pods' networks, and who wants to be part of them puts himself.
const POD_NETWORKS: &str = "/etc/cni/net.d";

/// What a node keeps when it is started again.
pub(crate) const DISKS: [&str; 6] = [
    POD_NETWORKS,
    "/opt/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/weft",
    "/var/log/pods",
];

/// The user to whom a cluster's own roles grant what kube-proxy needs.
const PROXY_USER: &str = "system:kube-proxy";
