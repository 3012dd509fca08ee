//! Archives that were built before, in the user's cache: each by a hash of all that went into it. What has not changed is
//! not built again, whatever became of the checkout's `target/`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;

use super::{Arch, Which};
use crate::{process, workspace};

/// Where the archive of these very sources lies, or is to lie.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    /// What its name begins with, whatever it was made of.
    prefix: String,
    key: String,
}

// === impl Kept ===

impl Kept {
    /// That of an image whose program is built from these folders and files of the workspace.
    pub(super) fn of(which: Which, arch: Arch, sources: &[&str]) -> Result<Self> {
        let mut hash = digest::Context::new(&digest::SHA256);
        for source in BUILD.iter().chain(sources) {
            add(&mut hash, workspace::root(), Path::new(source))?;
        }
        let compiler = process::output(Command::new("rustc").current_dir(workspace::root()).arg("-vV"))?;
        hash.update(compiler.as_bytes());
        let mut overrides: Vec<_> = env::vars().filter(|(name, _)| is_override(name)).collect();
        overrides.sort();
        hash.update(format!("{overrides:?}").as_bytes());
        let hash = hash.finish();
        Ok(Self {
            folder: workspace::cache("images")?,
            prefix: format!("{which}-{arch}-"),
            key: hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Puts the kept archive to `path`; says whether there is one.
    pub(super) fn give(&self, path: &Path) -> Result<bool> {
        let kept = self.path();
        if !kept.is_file() {
            return Ok(false);
        }
        fs::copy(&kept, path).with_context(|| format!("cannot copy {}", kept.display()))?;
        // The time says when it was of use last.
        fs::File::options()
            .append(true)
            .open(&kept)?
            .set_modified(SystemTime::now())?;
        Ok(true)
    }

    /// Keeps the archive at `path`, and of others of its image the ones that were of use last.
    pub(super) fn keep(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        // A copy that is cut short leaves nothing that looks whole.
        let unfinished = self.folder.join(format!(".{}{}", self.prefix, std::process::id()));
        fs::copy(path, &unfinished).with_context(|| format!("cannot copy {}", path.display()))?;
        fs::rename(&unfinished, self.path())?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        let rest = kept.len().saturating_sub(MOST);
        for (_, path) in kept.into_iter().take(rest) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}{}.tar", self.prefix, self.key))
    }
}

/// Adds a file, or all of a folder in the order of their names.
fn add(hash: &mut digest::Context, root: &Path, path: &Path) -> Result<()> {
    let full = root.join(path);
    if !full.is_dir() {
        let content = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
        hash.update(format!("{} {}\n", path.display(), content.len()).as_bytes());
        hash.update(&content);
        return Ok(());
    }
    let entries = fs::read_dir(&full).with_context(|| format!("cannot read {}", full.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    names.iter().try_for_each(|name| add(hash, root, &path.join(name)))
}

/// Whether cargo builds otherwise because of this variable.
fn is_override(name: &str) -> bool {
    name == "RUSTFLAGS" || name == "CARGO_ENCODED_RUSTFLAGS" || name.starts_with("CARGO_PROFILE_")
}

/// What goes into every image: versions, profiles, and how an archive is made.
const BUILD: [&str; 5] = [
    ".cargo/config.toml",
    "Cargo.toml",
    "Cargo.lock",
    "xtask/src/image.rs",
    "xtask/src/image",
];

/// How many archives of an image are kept: some checkouts share the cache.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(root: &Path) -> Vec<u8> {
        let mut hash = digest::Context::new(&digest::SHA256);
        add(&mut hash, root, Path::new("sources")).unwrap();
        hash.finish().as_ref().to_vec()
    }

    #[test]
    fn names_and_contents_decide_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let sources = folder.path().join("sources");
        fs::create_dir(&sources).unwrap();
        fs::write(sources.join("a"), "one").unwrap();
        fs::write(sources.join("b"), "two").unwrap();
        let before = hash_of(folder.path());
        fs::write(sources.join("a"), "one").unwrap();
        assert_eq!(hash_of(folder.path()), before);
        fs::write(sources.join("a"), "other").unwrap();
        assert_ne!(hash_of(folder.path()), before);
        fs::write(sources.join("a"), "one").unwrap();
        fs::rename(sources.join("b"), sources.join("c")).unwrap();
        assert_ne!(hash_of(folder.path()), before);
    }

    #[test]
    fn an_archive_is_given_back_by_its_key_alone_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |number: usize| Kept {
            folder: folder.path().join("images"),
            prefix: "weft-amd64-".to_owned(),
            key: number.to_string(),
        };
        let (built, given) = (folder.path().join("built"), folder.path().join("given"));
        for number in 0..=MOST {
            fs::write(&built, format!("archive {number}")).unwrap();
            assert!(!kept(number).give(&given).unwrap());
            kept(number).keep(&built).unwrap();
        }
        assert!(kept(MOST).give(&given).unwrap());
        assert_eq!(fs::read_to_string(&given).unwrap(), format!("archive {MOST}"));
        assert!(
            !kept(0).give(&given).unwrap(),
            "the one that was of use the longest ago"
        );
    }
}
