//! The programs that a cluster is made of and those that tests run, and where their builds lie in the user's cache.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::Module;

/// A program that is built from a Go module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    Apiserver,
    /// The command line.
    Kubectl,
    /// The controllers.
    ControllerManager,
    /// Chooses nodes for pods.
    Scheduler,
    /// A node's agent.
    Kubelet,
    /// A node's balancer for services.
    KubeProxy,
    /// A node's runtime of containers.
    Containerd,
    /// What stands between that and a container.
    Shim,
    /// The runtime's own command line.
    Ctr,
    /// The cluster's DNS.
    Coredns,
    /// The tests of the conformance suite.
    Conformance,
    /// The suite's application: what answers.
    EchoServer,
    /// The suite's application: what is run in its pods to ask.
    EchoClient,
    /// A client that tries a server's HTTP/2 by the letter of its RFCs.
    H2spec,
    /// A client of gRPC.
    Grpcurl,
}

/// Programs that are built.
#[derive(Clone, Debug)]
pub struct Programs {
    cache: PathBuf,
}

// === impl Program ===

impl Program {
    /// What a cluster is made of; what is needed by most comes first.
    pub const CLUSTER: [Self; 11] = [
        Self::Etcd,
        Self::Apiserver,
        Self::Kubectl,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Containerd,
        Self::Shim,
        Self::Ctr,
        Self::Coredns,
    ];

    /// What the conformance suite is made of.
    pub const CONFORMANCE: [Self; 3] = [Self::Conformance, Self::EchoServer, Self::EchoClient];

    /// What an API server without nodes needs.
    pub const API: [Self; 3] = [Self::Etcd, Self::Apiserver, Self::Kubectl];

    /// Clients of others that tests bring against the proxy.
    pub const CLIENTS: [Self; 2] = [Self::H2spec, Self::Grpcurl];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::CLUSTER.into_iter().chain(Self::CONFORMANCE).chain(Self::CLIENTS)
    }

    /// The name of its file, by which others find it in PATH.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::Kubectl => "kubectl",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Containerd => "containerd",
            Self::Shim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::Coredns => "coredns",
            Self::Conformance => "conformance.test",
            Self::EchoServer => "server",
            Self::EchoClient => "client",
            Self::H2spec => "h2spec",
            Self::Grpcurl => "grpcurl",
        }
    }

    /// The Go package of its `main`, or of its tests.
    pub fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Apiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::ControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Scheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Containerd => "github.com/containerd/containerd/v2/cmd/containerd",
            Self::Shim => "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            Self::Ctr => "github.com/containerd/containerd/v2/cmd/ctr",
            Self::Coredns => "github.com/coredns/coredns",
            Self::Conformance => "sigs.k8s.io/gateway-api/conformance",
            Self::EchoServer => "istio.io/istio/pkg/test/echo/cmd/server",
            Self::EchoClient => "istio.io/istio/pkg/test/echo/cmd/client",
            Self::H2spec => "github.com/summerwind/h2spec/cmd/h2spec",
            Self::Grpcurl => "github.com/fullstorydev/grpcurl/cmd/grpcurl",
        }
    }

    /// The module that pins it.
    pub fn module(self) -> Module {
        match self {
            Self::Etcd => Module::Etcd,
            Self::Apiserver
            | Self::Kubectl
            | Self::ControllerManager
            | Self::Scheduler
            | Self::Kubelet
            | Self::KubeProxy => Module::Kubernetes,
            Self::Containerd | Self::Shim | Self::Ctr => Module::Containerd,
            Self::Coredns => Module::Coredns,
            Self::Conformance => Module::Conformance,
            Self::EchoServer | Self::EchoClient => Module::Echo,
            Self::H2spec => Module::H2spec,
            Self::Grpcurl => Module::Grpcurl,
        }
    }
}

// === impl Programs ===

impl Programs {
    /// The programs of this checkout's pins, in the user's cache.
    pub fn cached() -> Result<Self> {
        Ok(Self { cache: cache()? })
    }

    /// The folder of a module's programs: a change of its pins is another folder.
    pub fn folder(&self, module: Module) -> Result<PathBuf> {
        Ok(self.cache.join(module.key()?))
    }

    /// Where a program lies, or is to lie.
    pub fn path(&self, program: Program) -> Result<PathBuf> {
        Ok(self.folder(program.module())?.join(program.name()))
    }

    /// Where what is kept beside a module's programs lies, or is to lie.
    pub fn kept(&self, module: Module) -> Result<Option<PathBuf>> {
        module
            .kept()
            .map(|kept| Ok(self.folder(module)?.join(kept.name)))
            .transpose()
    }

    /// Those of `wanted` that are not built yet.
    pub fn absent(&self, wanted: &[Program]) -> Result<Vec<Program>> {
        let mut absent = Vec::new();
        for program in wanted {
            if !self.path(*program)?.is_file() {
                absent.push(*program);
            }
        }
        Ok(absent)
    }
}

/// The folder of all that Weft keeps for the user, shared by all checkouts.
pub fn cache() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .context("no cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("weft"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_absent() {
        let programs = Programs {
            cache: "/nonexistent".into(),
        };
        assert_eq!(programs.absent(&Program::API).unwrap(), Program::API);
    }
}
