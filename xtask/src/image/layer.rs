//! The one layer of an image: a tar archive that is the same, byte for byte, whenever the same program is packed.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// The archive.
    pub(super) bytes: Vec<u8>,
}

// === impl Layer ===

impl Layer {
    /// The archive as registries and nodes have it.
    pub(super) fn packed(&self) -> Result<Vec<u8>> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&self.bytes).context("cannot pack a layer")?;
        packer.finish().context("cannot pack a layer")
    }

    /// Programs with what they read, and the folders that containers expect.
    pub(super) fn of_files<C: AsRef<[u8]>>(files: &[(&str, C)]) -> Result<Self> {
        let mut archive = Builder::new(Vec::new());
        let mut folder = entry(EntryType::Directory, 0o1777, 0);
        archive
            .append_data(&mut folder, "tmp/", [].as_slice())
            .context("cannot pack a folder")?;
        for (path, content) in files {
            add(&mut archive, path.trim_start_matches('/'), 0o755, content.as_ref())?;
        }
        Ok(Self {
            bytes: archive.into_inner().context("cannot end a layer")?,
        })
    }
}

/// Adds a file.
pub(super) fn add(archive: &mut Builder<impl std::io::Write>, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut file = entry(EntryType::Regular, mode, content.len() as u64);
    archive
        .append_data(&mut file, path, content)
        .with_context(|| format!("cannot pack {path}"))
}

/// How OCI names content: by its hash.
pub(super) fn sha256(content: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, content);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
