//! An image as an OCI archive: a tar of blobs named by their hashes, and an index that says what is what
//! (opencontainers/image-spec, image-layout.md).

use std::{fs::File, io::BufWriter, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tar::Builder;

use super::{
    Arch,
    layer::{Layer, add, sha256},
};

/// What an image says of itself.
#[derive(Clone, Debug)]
pub(super) struct Config<'a> {
    /// What a manifest calls it.
    pub(super) reference: String,
    /// Where it runs.
    pub(super) arch: Arch,
    /// What a container of it starts.
    pub(super) entrypoint: Vec<&'a str>,
}

/// Something that another part of the image names.
struct Blob {
    kind: &'static str,
    bytes: Vec<u8>,
}

/// Writes the archive.
pub(super) fn write(path: &Path, config: &Config<'_>, layer: &Layer) -> Result<()> {
    let blobs = blobs(config, layer)?;
    let [_, _, manifest] = &blobs;
    let mut named = manifest.descriptor();
    // The one is the standard's, the other what containerd takes as a whole name.
    named["annotations"] = json!({
        "org.opencontainers.image.ref.name": config.reference,
        "io.containerd.image.name": config.reference,
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]});

    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut archive = Builder::new(BufWriter::new(file));
    add(
        &mut archive,
        "oci-layout",
        0o644,
        json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes(),
    )?;
    add(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
    for blob in &blobs {
        add(
            &mut archive,
            &format!("blobs/sha256/{}", sha256(&blob.bytes)),
            0o644,
            &blob.bytes,
        )?;
    }
    let end = archive.into_inner().context("cannot end an archive")?;
    end.into_inner().context("cannot write an archive")?;
    Ok(())
}

/// The layer, the configuration which names it, and the manifest which names both.
///
/// The layer is packed: a node fetches it. The configuration names what it is unpacked.
fn blobs(config: &Config<'_>, layer: &Layer) -> Result<[Blob; 3]> {
    let packed = Blob {
        kind: "application/vnd.oci.image.layer.v1.tar+gzip",
        bytes: layer.packed()?,
    };
    let settings = json!({
        "architecture": config.arch.to_string(),
        "os": "linux",
        "config": {"Entrypoint": config.entrypoint, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer.bytes))]},
    });
    let settings = Blob {
        kind: "application/vnd.oci.image.config.v1+json",
        bytes: settings.to_string().into_bytes(),
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": settings.descriptor(),
        "layers": [packed.descriptor()],
    });
    let manifest = Blob {
        kind: MANIFEST,
        bytes: manifest.to_string().into_bytes(),
    };
    Ok([packed, settings, manifest])
}

// === impl Blob ===

impl Blob {
    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.kind,
            "digest": format!("sha256:{}", sha256(&self.bytes)),
            "size": self.bytes.len(),
        })
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn every_part_is_found_by_the_hash_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let config = Config {
            reference: "weft.dev/weft:1".to_owned(),
            arch: Arch::Amd64,
            entrypoint: vec!["/weft"],
        };
        let layer = Layer::of_files(&[("/weft", b"program")]).unwrap();
        write(&path, &config, &layer).unwrap();

        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        let files: BTreeMap<String, Vec<u8>> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (name, content)
            })
            .collect();
        let named = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let content = &files[&format!("blobs/sha256/{digest}")];
            assert_eq!(
                (sha256(content).as_str(), content.len() as u64),
                (digest, descriptor["size"].as_u64().unwrap())
            );
            content
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest: Value = serde_json::from_slice(named(&index["manifests"][0])).unwrap();
        let mut unpacked = Vec::new();
        let packed = named(&manifest["layers"][0]);
        GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, layer.bytes);
        let config: Value = serde_json::from_slice(named(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/weft"]));
        let unpacked = format!("sha256:{}", sha256(&unpacked));
        assert_eq!(config["rootfs"]["diff_ids"], json!([unpacked]));
    }
}
