//! The compiler of the kernel programs: the first complete one of rustup's nightly and Debian's packages.
//!
//! Both run under the stable cargo which runs us, by `RUSTC` and `RUSTC_BOOTSTRAP`: one way to build, two compilers.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::built;
use crate::process;

/// A rustc that can build `core` for BPF, and whose bitcode our bpf-linker reads.
#[derive(Debug)]
pub(crate) struct Toolchain {
    name: &'static str,
    version: Version,
    rustc: PathBuf,
}

/// What decides whether a rustc serves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    release: String,
    minor: u32,
    llvm: u32,
}

// === impl Toolchain ===

impl Toolchain {
    /// Takes the first toolchain that is complete, or says why none is.
    pub(crate) fn find() -> Result<Self> {
        let candidates = [("rustup's nightly", nightly()), ("Debian's rustc-web", debian())];
        let mut reasons = Vec::new();
        for (name, rustc) in candidates {
            match rustc.and_then(|rustc| Self::complete(name, rustc)) {
                Ok(toolchain) => return Ok(toolchain),
                Err(reason) => reasons.push(format!("{name}: {reason:#}")),
            }
        }
        bail!("no compiler for the eBPF programs\n  {}", reasons.join("\n  "))
    }

    /// The compiler, for `RUSTC`.
    pub(crate) fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// Its clippy, which is installed beside it or not at all.
    pub(crate) fn clippy(&self) -> PathBuf {
        self.rustc.with_file_name("clippy-driver")
    }

    fn complete(name: &'static str, rustc: PathBuf) -> Result<Self> {
        let version = Version::parse(&process::output(Command::new(&rustc).arg("-vV"))?)?;
        if version.minor < OLDEST_MINOR {
            bail!("rustc {} is older than 1.{OLDEST_MINOR}", version.release);
        }
        if version.llvm > built::LLVM {
            bail!(
                "its LLVM {} is newer than bpf-linker's {}: the linker could not read its bitcode",
                version.llvm,
                built::LLVM
            );
        }
        let sysroot = process::output(Command::new(&rustc).args(["--print", "sysroot"]))?;
        let library = Path::new(sysroot.trim_end()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
        if !library.is_file() {
            bail!("the library's source is missing");
        }
        Ok(Self { name, version, rustc })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version {
            release,
            minor: _,
            llvm,
        } = &self.version;
        write!(f, "{} (rustc {release}, LLVM {llvm})", self.name)
    }
}

// === impl Version ===

impl Version {
    /// Reads what `rustc -vV` prints.
    fn parse(verbose: &str) -> Result<Self> {
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("rustc -vV prints no {name}"))
        };
        let release = field("release")?.to_owned();
        let minor = release.split('.').nth(1).and_then(|minor| minor.parse().ok());
        let llvm = field("LLVM version")?
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        Ok(Self {
            minor: minor.with_context(|| format!("unknown release {release:?}"))?,
            llvm: llvm.context("unknown LLVM version")?,
            release,
        })
    }
}

fn nightly() -> Result<PathBuf> {
    let path = process::output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]))?;
    Ok(PathBuf::from(path.trim_end()))
}

/// Only the packaged compiler counts: /usr/bin/rustc of an older Debian or another distribution is caught by its version.
fn debian() -> Result<PathBuf> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    if !rustc.is_file() {
        bail!("not installed");
    }
    Ok(rustc)
}

/// The workspace's `rust-version`.
const OLDEST_MINOR: u32 = 95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_rustc_prints() {
        let printed = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        let expected = Version {
            release: "1.97.0-nightly".to_owned(),
            minor: 97,
            llvm: 22,
        };
        assert_eq!(Version::parse(printed).unwrap(), expected);
    }

    #[test]
    fn a_compiler_without_llvm_is_refused() {
        assert!(Version::parse("release: 1.97.0\n").is_err());
    }

    #[test]
    fn the_oldest_compiler_is_the_workspaces() {
        assert_eq!(env!("CARGO_PKG_RUST_VERSION"), format!("1.{OLDEST_MINOR}"));
    }
}
