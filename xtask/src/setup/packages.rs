//! The one list of Debian packages which Weft's commands use, each with its reason.

use std::process::Command;

use anyhow::Result;

use super::{Built, Missing, Need, Toolchain};
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
    /// bpf-linker has been built.
    BpfLinker,
}

// === impl Package ===

impl Package {
    fn is_there(&self) -> bool {
        match self.proof {
            Proof::Program(program) => process::find(program).is_some(),
            Proof::Toolchain => Toolchain::find().is_ok(),
            Proof::Clippy => Toolchain::find().is_ok_and(|toolchain| toolchain.clippy().is_file()),
            Proof::BpfLinker => Built::BpfLinker
                .program()
                .is_ok_and(|linker| process::runs(&linker, "--version")),
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
    if !process::is_root() || process::find("apt-get").is_none() {
        return Ok(vec![Missing {
            what: what(packages),
            command: process::line(&install),
        }]);
    }
    process::run(apt().arg("update"))?;
    process::run(&mut install)?;
    let still_absent: Vec<_> = packages.iter().filter(|package| !package.is_there()).copied().collect();
    // Libraries show only in what is built with them afterwards.
    let unproven = still_absent
        .iter()
        .filter(|package| !matches!(package.proof, Proof::BpfLinker));
    Ok(unproven
        .map(|package| Missing {
            what: format!("{} is installed and does not serve: {}", package.name, package.reason),
            command: format!("apt-get install --reinstall {}", package.name),
        })
        .collect())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn what(packages: &[Package]) -> String {
    let toolchain = packages.iter().any(|package| matches!(package.proof, Proof::Toolchain));
    let way_out =
        "; instead of rustc-web and rust-web-src, `rustup toolchain install nightly --component rust-src` serves";
    format!("Debian packages{}", if toolchain { way_out } else { "" })
}

const EVERYTHING: &[Need] = &[Need::Build, Need::Test, Need::Bench, Need::Kernels, Need::Ci];

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
        proof: Proof::BpfLinker,
    },
    Package {
        name: "libpolly-22-dev",
        reason: "llvm-config names it",
        needed_by: EVERYTHING,
        proof: Proof::BpfLinker,
    },
    Package {
        name: "zlib1g-dev",
        reason: "LLVM's static parts need it",
        needed_by: EVERYTHING,
        proof: Proof::BpfLinker,
    },
    Package {
        name: "libzstd-dev",
        reason: "LLVM's static parts need it",
        needed_by: EVERYTHING,
        proof: Proof::BpfLinker,
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
        reason: "fetches the benchmark's peer",
        needed_by: &[Need::Bench],
        proof: Proof::Program("pip3"),
    },
    Package {
        name: "wrk",
        reason: "the benchmark's HTTP client",
        needed_by: &[Need::Bench],
        proof: Proof::Program("wrk"),
    },
];
