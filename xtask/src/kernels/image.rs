//! Kernels of Debian's releases, in the user's cache folder: fetched by apt into a folder of their own, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace};

/// A kernel ready to boot, with the modules that the tests need.
#[derive(Clone, Debug)]
pub(super) struct Image {
    folder: PathBuf,
}

// === impl Image ===

impl Image {
    /// The kernel of a release: the newest when `update`, else the one that the cache holds.
    pub(super) fn obtain(suite: &str, update: bool) -> Result<Self> {
        let cache = workspace::cache("kernels")?.join(suite);
        let mut cached: Vec<PathBuf> = fs::read_dir(&cache)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|folder| folder.join(READY).exists())
            .collect();
        cached.sort_by_key(|folder| fs::metadata(folder.join(READY)).and_then(|ready| ready.modified()).ok());
        match cached.pop() {
            Some(folder) if !update => Ok(Self { folder }),
            Some(_) | None => fetch(suite, &cache).map(|folder| Self { folder }),
        }
    }

    /// The kernel itself.
    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join(KERNEL)
    }

    /// The modules, in an order in which they can be loaded.
    pub(super) fn modules(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        MODULES
            .iter()
            .map(|name| (*name, self.folder.join(format!("{name}.ko"))))
    }
}

fn fetch(suite: &str, cache: &Path) -> Result<PathBuf> {
    let work = cache.join("apt");
    for folder in ["state/lists/partial", "cache/archives/partial", "fetched"] {
        fs::create_dir_all(work.join(folder))?;
    }
    let signed = if Path::new(KEYRING).exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    fs::write(
        work.join("sources.list"),
        format!("deb {signed}http://deb.debian.org/debian {suite} main\n"),
    )?;
    process::run(apt("apt-get", &work).arg("update"))?;
    let depends = process::output(apt("apt-cache", &work).args(["depends", "--important", "linux-image-cloud-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| format!("{suite} has no kernel for clouds: {depends}"))?;
    let folder = cache.join(package);
    if folder.join(READY).exists() {
        return Ok(folder);
    }
    process::run(
        apt("apt-get", &work)
            .args(["download", package])
            .current_dir(work.join("fetched")),
    )?;
    let unpacked = tempfile::tempdir_in(&work)?;
    for entry in fs::read_dir(work.join("fetched"))? {
        let path = entry?.path();
        process::run(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&path)
                .arg(unpacked.path()),
        )?;
        fs::remove_file(path)?;
    }
    fs::create_dir_all(&folder)?;
    let kernel = find(unpacked.path(), &|name| name.starts_with("vmlinuz-"));
    fs::copy(kernel.context("the package holds no kernel")?, folder.join(KERNEL))?;
    for name in MODULES {
        let found = find(unpacked.path(), &|file| {
            file.strip_prefix(name)
                .is_some_and(|rest| rest == ".ko" || rest == ".ko.xz")
        });
        let module = plain(&found.with_context(|| format!("the package holds no module {name}"))?)?;
        fs::copy(module, folder.join(format!("{name}.ko")))?;
    }
    fs::write(folder.join(READY), "")?;
    Ok(folder)
}

/// apt over one release alone, which shares nothing with the machine's own.
fn apt(program: &str, work: &Path) -> Command {
    let mut apt = Command::new(program);
    apt.arg("-qq");
    for (option, path) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::State", "state"),
        ("Dir::Cache", "cache"),
    ] {
        apt.arg("-o").arg(format!("{option}={}", work.join(path).display()));
    }
    for option in [
        "Dir::Etc::sourceparts=-",
        "Dir::State::status=/dev/null",
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        // Its own user could not write into the cache folder.
        "APT::Sandbox::User=",
    ] {
        apt.args(["-o", option]);
    }
    apt
}

fn find(folder: &Path, such: &impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        if path.is_dir() && !path.is_symlink() {
            return find(&path, such);
        }
        such(path.file_name()?.to_str()?).then_some(path)
    })
}

/// Unpacks a module in place where it is packed.
fn plain(module: &Path) -> Result<PathBuf> {
    if module.extension().is_none_or(|extension| extension != "xz") {
        return Ok(module.to_owned());
    }
    process::run(Command::new("xz").arg("--decompress").arg(module))?;
    let plain = module.with_extension("");
    if !plain.exists() {
        bail!("xz made no {}", plain.display());
    }
    Ok(plain)
}

/// What nodes and pods are made of, and what `weft` asks the kernel for its sockets and policies with.
const MODULES: [&str; 8] = [
    "llc",
    "stp",
    "bridge",
    "veth",
    "inet_diag",
    "tcp_diag",
    "xfrm_algo",
    "xfrm_user",
];

const KERNEL: &str = "vmlinuz";

/// Written when all else is there.
const READY: &str = "ready";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
