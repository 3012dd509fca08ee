//! The memory's file system at boot: a cpio archive of the kind "newc" (Documentation/driver-api/early-userspace).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// An archive that grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<PathBuf>,
    entries: u32,
}

// === impl Archive ===

impl Archive {
    /// Adds a file that everybody may run.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.parents(Path::new(path));
        self.entry(path, FILE | 0o755, content);
    }

    /// Adds a copy of a file of this machine.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(path, &content);
        Ok(())
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.parents(Path::new(path));
        self.entry(path, LINK | 0o777, to.as_bytes());
    }

    /// Adds a folder with those above it.
    pub(super) fn folder(&mut self, path: &str) {
        self.parents(&Path::new(path).join("-"));
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn parents(&mut self, path: &Path) {
        let mut above: Vec<_> = path.ancestors().skip(1).collect();
        // The root, and what stands for it in a relative path, are there.
        above.retain(|folder| folder.file_name().is_some());
        for folder in above.into_iter().rev() {
            if self.folders.insert(folder.to_owned()) {
                self.entry(&folder.to_string_lossy(), FOLDER | 0o755, &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let name = path.trim_start_matches('/');
        // inode, mode, owner, group, links, time, size, four device numbers, length of the name, checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            u32::try_from(content.len()).expect("no file is that large"),
            0,
            0,
            0,
            0,
            u32::try_from(name.len() + 1).expect("no name is that long"),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_behind_the_folders_above_it_and_each_folder_once() {
        let mut archive = Archive::default();
        archive.file("/a/b/one", b"1");
        archive.file("/a/b/two", b"22");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<_> = text
            .split("070701")
            .skip(1)
            .map(|entry| entry[104..].split('\0').next().unwrap_or_default())
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/one", "a/b/two", "TRAILER!!!"]);
        assert_eq!(bytes.len() % 4, 0);
    }
}
