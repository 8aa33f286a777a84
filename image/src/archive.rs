//! The archive's bytes: one layer, its configuration, a manifest and an index, each known by its digest.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// Who the program runs as: nobody that a host knows.
const USER: u32 = 65_532;
const PROGRAM: &str = "paylab";

/// A file of the archive that others refer to.
struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { media_type, digest, bytes }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

/// The archive of an image with this program, and the digest of its manifest.
pub(crate) fn archive(program: &[u8], name: &str) -> anyhow::Result<(Vec<u8>, String)> {
    let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", layer(program)?);
    let config = Blob::json("application/vnd.oci.image.config.v1+json", &config(&layer.digest)?);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    });
    let manifest = Blob::json("application/vnd.oci.image.manifest.v1+json", &manifest);
    let mut entry = manifest.descriptor();
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let mut tar = Builder::new(Vec::new());
    file(&mut tar, "oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
    file(&mut tar, "index.json", index.to_string().as_bytes())?;
    for blob in [&manifest, &config, &layer] {
        file(&mut tar, &blob.path(), &blob.bytes)?;
    }
    Ok((tar.into_inner()?, manifest.digest))
}

/// The program, and a place for temporary files.
fn layer(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    entry(&mut tar, "tmp/", EntryType::Directory, 0o1777, &[])?;
    entry(&mut tar, PROGRAM, EntryType::Regular, 0o755, program)?;
    Ok(tar.into_inner()?)
}

fn config(layer_digest: &str) -> anyhow::Result<Value> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    };
    Ok(json!({
        "architecture": architecture.context("images are made for x86_64 and aarch64")?,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": [format!("/{PROGRAM}")],
            "Labels": {
                "org.opencontainers.image.title": "paylab",
                "org.opencontainers.image.description": "Proves with evidence whether a payment path loses money or pays twice",
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    }))
}

fn file(tar: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    entry(tar, path, EntryType::Regular, 0o644, bytes)
}

/// Nothing of the machine gets in: no time, no owner, no order but this one.
fn entry(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    Ok(tar.append_data(&mut header, path, bytes)?)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::*;

    const NAME: &str = "registry.local/paylab:1";

    fn unpacked(bytes: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, (entry.header().mode().unwrap(), content));
        }
        files
    }

    fn blob(files: &BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))].1;
        assert_eq!(Blob::new("", bytes.clone()).digest, digest);
        assert_eq!(descriptor["size"], bytes.len());
        bytes.clone()
    }

    #[test]
    fn the_archive_leads_from_its_name_to_the_program() {
        let (bytes, digest) = archive(b"program", NAME).unwrap();
        let files = unpacked(&bytes);
        assert_eq!(files.len(), 5);
        let index: Value = serde_json::from_slice(&files["index.json"].1).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(
            (entry["annotations"]["io.containerd.image.name"].as_str(), entry["digest"].as_str()),
            (Some(NAME), Some(digest.as_str()))
        );
        let manifest: Value = serde_json::from_slice(&blob(&files, entry)).unwrap();
        let config: Value = serde_json::from_slice(&blob(&files, &manifest["config"])).unwrap();
        assert_eq!(
            (&config["config"]["User"], &config["config"]["Entrypoint"]),
            (&json!("65532:65532"), &json!(["/paylab"]))
        );
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let layer = unpacked(&blob(&files, &manifest["layers"][0]));
        assert_eq!(layer["paylab"], (0o755, b"program".to_vec()));
        assert_eq!(layer["tmp/"].0, 0o1777);
    }

    #[test]
    fn the_same_program_is_the_same_image_and_another_is_another() {
        let digest = |program| archive(program, NAME).unwrap();
        assert_eq!(digest(b"one"), digest(b"one"));
        assert_ne!(digest(b"one").1, digest(b"two").1);
    }
}
