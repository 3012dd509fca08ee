//! `cargo xtask image`: container images as OCI archives, without a container engine. One static binary each, no shell.

mod archive;
mod kept;
mod layer;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use cluster::{COREDNS_IMAGE, ECHO_IMAGE, Module, PAUSE_IMAGE, Program, Programs};

use self::{archive::Config, kept::Kept, layer::Layer};
use crate::{
    build, process,
    setup::{self, Need},
    timing::Timing,
    workspace,
};

/// Build container images as OCI archives: Weft's own, and the sample application of tests and examples
///
/// An archive is read by `ctr images import`, `podman load`, `skopeo copy oci-archive:…` and `kind load image-archive`.
#[derive(Args)]
#[command(after_help = "Examples:\n  cargo xtask image\n  cargo xtask image sample\n  cargo xtask image --arch arm64")]
pub(crate) struct Image {
    /// Which; Weft's own, if none is named
    which: Vec<Which>,

    /// For which processors
    #[arg(long, default_value = "amd64")]
    arch: Arch,
}

/// An image of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The agent, the CA, the controller, the CNI plugin and the command line: one binary.
    Weft,
    /// What runs in the pods of tests and of the example.
    Sample,
    /// What holds a pod's namespaces open in the two-node Kubernetes.
    #[value(skip)]
    Pause,
    /// The DNS of the two-node Kubernetes.
    #[value(skip)]
    Coredns,
    /// The application of the Gateway API's conformance suite.
    #[value(skip)]
    Echo,
}

/// The processors of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

// === impl Image ===

impl Image {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build])?;
        let mut timing = Timing::default();
        let wanted = if self.which.is_empty() {
            vec![Which::Weft]
        } else {
            self.which
        };
        if wanted.contains(&Which::Weft) {
            timing.step("kernel programs", build::kernel_programs)?;
        }
        let mut archives = Vec::new();
        for which in wanted {
            let archive = timing.step(&format!("image {which}"), || which.build(self.arch))?;
            archives.push(archive);
        }
        println!("{timing}");
        for archive in archives {
            let size = fs::metadata(&archive)?.len();
            println!("{} ({:.1} MB)", archive.display(), size as f64 / 1e6);
        }
        Ok(())
    }
}

// === impl Which ===

impl Which {
    /// What a manifest calls it.
    pub(crate) fn reference(self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            Self::Weft | Self::Sample => format!("weft.dev/{self}:{version}"),
            Self::Pause => PAUSE_IMAGE.to_owned(),
            Self::Coredns => COREDNS_IMAGE.to_owned(),
            Self::Echo => ECHO_IMAGE.to_owned(),
        }
    }

    /// Its archive, built unless the cache has the one of these sources. The kernel programs are there already.
    pub(crate) fn build(self, arch: Arch) -> Result<PathBuf> {
        let folder = workspace::target().join("images");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let archive = folder.join(format!("{self}-{arch}.tar"));
        let kept = match self {
            Self::Weft => Some(Kept::of(
                self,
                arch,
                &["agent", "agent-common", "target/bpf/weft-ebpf"],
            )?),
            Self::Sample | Self::Pause => Some(Kept::of(self, arch, &["tests/sample"])?),
            // Their programs lie in the cache itself.
            Self::Coredns | Self::Echo => None,
        };
        if let Some(kept) = &kept
            && kept.give(&archive)?
        {
            return Ok(archive);
        }
        self.write(arch, &archive)?;
        if let Some(kept) = kept {
            kept.keep(&archive)?;
        }
        Ok(archive)
    }

    fn write(self, arch: Arch, archive: &Path) -> Result<()> {
        let (files, arguments) = match self {
            Self::Weft => (vec![("/weft", binary("agent", "weft", arch)?)], &[][..]),
            Self::Sample => (vec![("/sample", binary("sample", "sample", arch)?)], &[][..]),
            Self::Pause => (vec![("/sample", binary("sample", "sample", arch)?)], &["pause"][..]),
            Self::Coredns => (vec![("/coredns", Programs::cached()?.path(Program::Coredns)?)], &[][..]),
            Self::Echo => (echo()?, &[][..]),
        };
        let mut contents = Vec::new();
        for (path, file) in &files {
            let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            contents.push((*path, content));
        }
        let layer = Layer::of_files(&contents)?;
        let program = files.first().map(|(path, _)| *path).context("an image has a program")?;
        let config = Config {
            reference: self.reference(),
            arch,
            entrypoint: [&[program], arguments].concat(),
        };
        archive::write(archive, &config, &layer)?;
        let size = fs::metadata(archive)?.len();
        if self == Self::Weft && size > LARGEST {
            bail!("{} has {size} bytes; it may have {LARGEST}", archive.display());
        }
        Ok(())
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weft => "weft",
            Self::Sample => "sample",
            Self::Pause => "pause",
            Self::Coredns => "coredns",
            Self::Echo => "echo",
        })
    }
}

// === impl Arch ===

impl Arch {
    fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Whatever links and compiles C for it.
    fn compiler(self) -> &'static str {
        match self {
            Self::Amd64 => "cc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// Says what is missing before a long build fails for want of it.
    fn check(self) -> Result<()> {
        let rustc = process::output(
            Command::new("rustc")
                .current_dir(workspace::root())
                .args(["--print", "sysroot"]),
        )?;
        let library = Path::new(rustc.trim_end())
            .join("lib/rustlib")
            .join(self.target())
            .join("lib");
        if !library.is_dir() {
            bail!(
                "no Rust library for {target}: `rustup target add {target}` brings it",
                target = self.target()
            );
        }
        if process::find(self.compiler()).is_none() {
            bail!("no {}: Debian's gcc-aarch64-linux-gnu brings it", self.compiler());
        }
        Ok(())
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

/// The files of the conformance suite's application, where its manifests and its tests look for them.
fn echo() -> Result<Vec<(&'static str, PathBuf)>> {
    let programs = Programs::cached()?;
    let certificates = programs
        .kept(Module::Echo)?
        .context("the application has certificates")?;
    Ok(vec![
        ("/usr/local/bin/server", programs.path(Program::EchoServer)?),
        ("/usr/local/bin/client", programs.path(Program::EchoClient)?),
        ("/cert.crt", certificates.join("cert-chain.pem")),
        ("/cert.key", certificates.join("key.pem")),
    ])
}

/// Builds a program that needs no other file, by the system's static C library.
///
/// With `--target`, the flags do not reach build scripts and macros, which cannot be static.
fn binary(package: &str, name: &str, arch: Arch) -> Result<PathBuf> {
    arch.check()?;
    let target = arch.target();
    let variable = target.to_uppercase().replace('-', "_");
    let mut build = process::cargo();
    build
        .args([
            "build",
            "--package",
            package,
            "--bin",
            name,
            "--profile",
            PROFILE,
            "--target",
            target,
        ])
        .env(
            format!("CARGO_TARGET_{variable}_RUSTFLAGS"),
            "-Ctarget-feature=+crt-static",
        )
        .env(format!("CARGO_TARGET_{variable}_LINKER"), arch.compiler());
    process::run(&mut build)?;
    Ok(workspace::target().join(target).join(PROFILE).join(name))
}

/// In Cargo.toml.
const PROFILE: &str = "image";

/// Weft's own: what a node has to fetch before it can join.
const LARGEST: u64 = 30_000_000;
