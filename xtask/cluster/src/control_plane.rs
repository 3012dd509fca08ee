//! etcd and what stands on it: how each is started, who each is.
//!
//! The API server authorises as a real cluster's does (RBAC, nodes restricted to their own objects, tokens of service
//! accounts bound to pods), so that a permission which is missing in a manifest is missing here too.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{Authority, Daemon, Kubeconfig, Names, Program, Programs, addressing};

/// A control plane whose keys and kubeconfigs are made.
#[derive(Debug)]
pub struct ControlPlane {
    programs: Programs,
    folder: PathBuf,
    place: Place,
    authority: Authority,
    admin: Kubeconfig,
}

/// Where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The API server's address.
    pub address: IpAddr,
    /// The API server's port.
    pub api: u16,
    /// etcd's port for clients, on loopback.
    pub etcd: u16,
    /// etcd's port for its peers, of which there are none.
    pub etcd_peers: u16,
}

/// Whom the API server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Clients only: there are no nodes, and nobody but its clients writes objects.
    Alone,
    /// A cluster.
    Cluster,
}

// === impl Place ===

impl Place {
    /// Ports that are free in this network namespace.
    pub fn free(address: IpAddr) -> io::Result<Self> {
        // All are held until all are known.
        let [api, etcd, etcd_peers] = [address, LOOPBACK, LOOPBACK].map(|ip| TcpListener::bind((ip, 0)));
        let [api, etcd, etcd_peers] = [api?, etcd?, etcd_peers?];
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self {
            address,
            api: port(&api)?,
            etcd: port(&etcd)?,
            etcd_peers: port(&etcd_peers)?,
        })
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Makes the keys and kubeconfigs of a control plane in this folder.
    pub fn create(programs: Programs, folder: &Path, place: Place) -> Result<Self> {
        let authority = Authority::create(&folder.join(PKI))?;
        let [v4, v6] = addressing::API_SERVICE;
        let service = format!("kubernetes.default.svc.{}", addressing::DOMAIN);
        let names = Names {
            dns: &[
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                &service,
                "localhost",
            ],
            ips: &[place.address, LOOPBACK, v4, v6],
        };
        let pki = folder.join(PKI);
        authority.server(API_SERVER, None, names)?.write(&pki, API_SERVER)?;
        // What kubelets know the API server by.
        authority
            .user(KUBELET_CLIENT, Some("system:masters"))?
            .write(&pki, KUBELET_CLIENT)?;
        Self::open(programs, folder, place)
    }

    /// Takes the control plane of a folder that [`ControlPlane::create`] made.
    pub fn open(programs: Programs, folder: &Path, place: Place) -> Result<Self> {
        let authority = Authority::open(&folder.join(PKI))?;
        let user = authority.user("kubernetes-admin", Some("system:masters"))?;
        let server = format!("https://{}", SocketAddr::new(place.address, place.api));
        let admin = Kubeconfig::write(folder.join("admin.kubeconfig"), &server, &authority, &user)?;
        Ok(Self {
            programs,
            folder: folder.to_owned(),
            place,
            authority,
            admin,
        })
    }

    /// The API server's URL.
    pub fn url(&self) -> String {
        format!("https://{}", SocketAddr::new(self.place.address, self.place.api))
    }

    /// Who signs the certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The kubeconfig of somebody who may do all.
    pub fn admin(&self) -> &Kubeconfig {
        &self.admin
    }

    /// The kubeconfig of another user, who may do what RBAC grants.
    pub fn kubeconfig(&self, user: &str, group: Option<&str>) -> Result<Kubeconfig> {
        self.kubeconfig_in(&self.folder, user, group)
    }

    /// The same, in another folder.
    pub fn kubeconfig_in(&self, folder: &Path, user: &str, group: Option<&str>) -> Result<Kubeconfig> {
        let credentials = self.authority.user(user, group)?;
        // Users are named `system:node:one`, which is a file's name too.
        let path = folder.join(format!("{user}.kubeconfig"));
        Kubeconfig::write(path, &self.url(), &self.authority, &credentials)
    }

    /// The store. It need not survive the machine, so it does not wait for the disk.
    pub fn etcd(&self) -> Result<Daemon> {
        let clients = format!("http://{}", SocketAddr::new(LOOPBACK, self.place.etcd));
        let peers = format!("http://{}", SocketAddr::new(LOOPBACK, self.place.etcd_peers));
        let data = self.folder.join("etcd");
        Ok(Daemon::new("etcd", self.programs.path(Program::Etcd)?)
            .flag("data-dir", data)
            .flag("listen-client-urls", &clients)
            .flag("advertise-client-urls", &clients)
            .flag("listen-peer-urls", &peers)
            .flag("initial-advertise-peer-urls", &peers)
            .flag("initial-cluster", format!("default={peers}"))
            .flag("name", "default")
            .flag("log-level", "error")
            .flag("unsafe-no-fsync", "true"))
    }

    /// The API server.
    pub fn api_server(&self, scope: Scope) -> Result<Daemon> {
        let file = |user: &str, kind: &str| self.folder.join(PKI).join(format!("{user}.{kind}"));
        let daemon = Daemon::new("kube-apiserver", self.programs.path(Program::Apiserver)?)
            .flag(
                "etcd-servers",
                format!("http://{}", SocketAddr::new(LOOPBACK, self.place.etcd)),
            )
            .flag("bind-address", self.place.address.to_string())
            .flag("secure-port", self.place.api.to_string())
            .flag("advertise-address", self.place.address.to_string())
            .flag("service-cluster-ip-range", addressing::SERVICES)
            .flag("tls-cert-file", file(API_SERVER, "crt"))
            .flag("tls-private-key-file", file(API_SERVER, "key"))
            .flag("client-ca-file", self.authority.root_file())
            .flag("service-account-key-file", self.authority.token_public_key_file())
            .flag("service-account-signing-key-file", self.authority.token_key_file())
            .flag(
                "service-account-issuer",
                format!("https://kubernetes.default.svc.{}", addressing::DOMAIN),
            )
            .flag("authorization-mode", "Node,RBAC")
            .flag("enable-admission-plugins", "NodeRestriction")
            .flag("allow-privileged", "true")
            .flag("kubelet-client-certificate", file(KUBELET_CLIENT, "crt"))
            .flag("kubelet-client-key", file(KUBELET_CLIENT, "key"))
            .flag("kubelet-certificate-authority", self.authority.root_file())
            .flag("kubelet-preferred-address-types", "InternalIP");
        Ok(match scope {
            // An endpoint on loopback is refused, and nobody looks for one.
            Scope::Alone => daemon.flag("endpoint-reconciler-type", "none"),
            // No kube-proxy runs beside it: webhooks are called at their pods' addresses.
            Scope::Cluster => daemon.flag("enable-aggregator-routing", "true"),
        })
    }

    /// What makes pods of deployments, endpoints of services, and so on.
    pub fn controller_manager(&self) -> Result<Daemon> {
        let kubeconfig = self.kubeconfig("system:kube-controller-manager", None)?;
        Ok(Daemon::new(
            "kube-controller-manager",
            self.programs.path(Program::ControllerManager)?,
        )
        .flag("kubeconfig", kubeconfig.path())
        .flag("authentication-kubeconfig", kubeconfig.path())
        .flag("authorization-kubeconfig", kubeconfig.path())
        .flag("bind-address", LOOPBACK.to_string())
        .flag("root-ca-file", self.authority.root_file())
        .flag("service-account-private-key-file", self.authority.token_key_file())
        .flag("use-service-account-credentials", "true")
        .flag("leader-elect", "false"))
    }

    /// What chooses a node for each pod.
    pub fn scheduler(&self) -> Result<Daemon> {
        let kubeconfig = self.kubeconfig("system:kube-scheduler", None)?;
        Ok(Daemon::new("kube-scheduler", self.programs.path(Program::Scheduler)?)
            .flag("kubeconfig", kubeconfig.path())
            .flag("authentication-kubeconfig", kubeconfig.path())
            .flag("authorization-kubeconfig", kubeconfig.path())
            .flag("bind-address", LOOPBACK.to_string())
            .flag("leader-elect", "false"))
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const PKI: &str = "pki";
const API_SERVER: &str = "kube-apiserver";
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
