//! The one list of Debian packages which Weft's commands use, each with its reason.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Built, Missing, Need, Toolchain, go};
use crate::process;

/// A Debian package, known to be there by what it brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    name: &'static str,
    reason: &'static str,
    needed_by: &'static [Need],
    proof: Proof,
}

/// How to see that a package's content is there, whoever installed it.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// A program which it brings.
    Program(&'static str),
    /// Some compiler can build the kernel programs.
    Toolchain,
    /// That compiler has its clippy.
    Clippy,
    /// A file of a library that bpf-linker is built with, unless it is built already.
    Linked(&'static str),
    /// A program by which Go is fetched, unless it is there.
    FetchesGo(&'static str),
    /// A file.
    File(&'static str),
}

// === impl Package ===

impl Package {
    fn is_there(&self) -> bool {
        match self.proof {
            Proof::Program(program) => process::find(program).is_some(),
            Proof::Toolchain => Toolchain::find().is_ok(),
            Proof::Clippy => Toolchain::find().is_ok_and(|toolchain| toolchain.clippy().is_file()),
            Proof::Linked(file) => Path::new(file).is_file() || Built::BpfLinker.is_there(),
            Proof::FetchesGo(program) => process::find(program).is_some() || go::is_there(),
            Proof::File(file) => Path::new(file).is_file(),
        }
    }
}

/// The packages that `needs` ask for and the machine lacks.
pub(super) fn absent(needs: &[Need]) -> Vec<Package> {
    PACKAGES
        .iter()
        .filter(|package| package.needed_by.iter().any(|need| needs.contains(need)))
        .filter(|package| !package.is_there())
        .copied()
        .collect()
}

/// Installs `packages`, or says which commands would.
pub(super) fn install(packages: &[Package]) -> Result<Vec<Missing>> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    for package in packages {
        println!("setup: {} is missing: {}", package.name, package.reason);
    }
    let mut install = apt();
    install.args(["install", "--yes", "--no-install-recommends"]);
    install.args(packages.iter().map(|package| package.name));
    let has_apt = process::find("apt-get").is_some();
    if !process::is_root() || !has_apt {
        return Ok(vec![Missing {
            what: what(packages, has_apt),
            commands: vec![process::line(apt().arg("update")), process::line(&install)],
        }]);
    }
    process::run(apt().arg("update"))?;
    process::run(&mut install)?;
    let still_absent = packages.iter().filter(|package| !package.is_there());
    Ok(still_absent
        .map(|package| Missing {
            what: format!("{} is installed and does not serve: {}", package.name, package.reason),
            commands: vec![format!("apt-get install --reinstall {}", package.name)],
        })
        .collect())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn what(packages: &[Package], has_apt: bool) -> String {
    let toolchain = packages.iter().any(|package| matches!(package.proof, Proof::Toolchain));
    let rustup =
        "instead of rustc-web and rust-web-src, `rustup toolchain install nightly --component rust-src` serves";
    let elsewhere = "there is no apt-get here: other systems have the same under names of their own";
    let hints = [(toolchain, rustup), (!has_apt, elsewhere)];
    let hints = hints.iter().filter(|(holds, _)| *holds).map(|(_, hint)| *hint);
    ["Debian packages"]
        .into_iter()
        .chain(hints)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Whoever needs the kernel programs.
const EVERYTHING: &[Need] = &[Need::Build, Need::Test, Need::Bench, Need::Kernels, Need::Ci];

/// Whoever needs a program that Go builds.
const GO: &[Need] = &[Need::Api, Need::Cluster, Need::Conformance, Need::Clients];

const PACKAGES: &[Package] = &[
    Package {
        name: "rustc-web",
        reason: "a rustc whose library can be built for BPF, where rustup's nightly lacks rust-src",
        needed_by: EVERYTHING,
        proof: Proof::Toolchain,
    },
    Package {
        name: "rust-web-src",
        reason: "the library's source for rustc-web",
        needed_by: EVERYTHING,
        proof: Proof::Toolchain,
    },
    Package {
        name: "rust-web-clippy",
        reason: "lints the kernel programs with the toolchain that builds them",
        needed_by: &[Need::Ci],
        proof: Proof::Clippy,
    },
    Package {
        name: "llvm-22-dev",
        reason: "bpf-linker is linked to it",
        needed_by: EVERYTHING,
        proof: Proof::Linked("/usr/lib/llvm-22/bin/llvm-config"),
    },
    Package {
        name: "libpolly-22-dev",
        reason: "llvm-config names it",
        needed_by: EVERYTHING,
        proof: Proof::Linked("/usr/lib/llvm-22/lib/libPolly.a"),
    },
    Package {
        name: "zlib1g-dev",
        reason: "LLVM's static parts need it",
        needed_by: EVERYTHING,
        proof: Proof::Linked("/usr/include/zlib.h"),
    },
    Package {
        name: "libzstd-dev",
        reason: "LLVM's static parts need it",
        needed_by: EVERYTHING,
        proof: Proof::Linked("/usr/include/zstd.h"),
    },
    Package {
        name: "openssl",
        reason: "a TLS peer that is not of Weft, and the certificates of the benchmark's peer",
        needed_by: &[Need::Test, Need::Bench],
        proof: Proof::Program("openssl"),
    },
    Package {
        name: "nftables",
        reason: "stands for the CNI that enforces NetworkPolicies between pods",
        needed_by: &[Need::Test],
        proof: Proof::Program("nft"),
    },
    Package {
        name: "iproute2",
        reason: "`ip` lays out the simulated nodes and pods",
        needed_by: &[Need::Test, Need::Bench, Need::Kernels, Need::Ci],
        proof: Proof::Program("ip"),
    },
    Package {
        name: "qemu-system-x86",
        reason: "boots other kernels",
        needed_by: &[Need::Kernels, Need::Ci],
        proof: Proof::Program("qemu-system-x86_64"),
    },
    Package {
        name: "busybox-static",
        reason: "what runs first on other kernels",
        needed_by: &[Need::Kernels, Need::Ci],
        proof: Proof::Program("busybox"),
    },
    Package {
        name: "xz-utils",
        reason: "unpacks kernel modules",
        needed_by: &[Need::Kernels, Need::Ci],
        proof: Proof::Program("xz"),
    },
    Package {
        name: "python3-pip",
        reason: "fetches the benchmark's peer, and clients of gRPC and WebSockets",
        needed_by: &[Need::Bench, Need::Clients],
        proof: Proof::Program("pip3"),
    },
    Package {
        name: "wrk",
        reason: "the benchmark's HTTP client",
        needed_by: &[Need::Bench],
        proof: Proof::Program("wrk"),
    },
    Package {
        name: "nghttp2-client",
        reason: "the benchmark's client of HTTP/2 and gRPC, and one of the tests'",
        needed_by: &[Need::Bench, Need::Clients],
        proof: Proof::Program("h2load"),
    },
    Package {
        name: "nghttp2-server",
        reason: "the benchmark's server of HTTP/2 and gRPC",
        needed_by: &[Need::Bench],
        proof: Proof::Program("nghttpd"),
    },
    Package {
        name: "curl",
        reason: "a client of HTTP in tests",
        needed_by: &[Need::Clients],
        proof: Proof::Program("curl"),
    },
    Package {
        name: "curl",
        reason: "fetches Go from its module proxy",
        needed_by: GO,
        proof: Proof::FetchesGo("curl"),
    },
    Package {
        name: "unzip",
        reason: "unpacks Go",
        needed_by: GO,
        proof: Proof::FetchesGo("unzip"),
    },
    Package {
        name: "runc",
        reason: "runs the containers of the two-node Kubernetes",
        needed_by: &[Need::Cluster],
        proof: Proof::Program("runc"),
    },
    Package {
        name: "containernetworking-plugins",
        reason: "give the pods of the two-node Kubernetes their network",
        needed_by: &[Need::Cluster],
        proof: Proof::File("/usr/lib/cni/bridge"),
    },
    Package {
        name: "iptables",
        reason: "kube-proxy's services, and ports of a node that lead to a pod",
        needed_by: &[Need::Cluster],
        proof: Proof::Program("iptables"),
    },
];
