//! The bytes of an OCI image archive: an index, a manifest, a configuration and one layer, which refer to one another by digest.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// The user and group id of the program; no host assigns it to a user.
const USER_ID: u32 = 65_532;
/// The name of the program in the root folder.
const PROGRAM: &str = "paylab";

/// What the program is told where nobody tells it anything: the same as in Toxiproxy's image, so that this image can replace that one.
const DEFAULT_ARGUMENTS: [&str; 1] = ["-host=0.0.0.0"];

/// A file of the archive that other files refer to by its digest.
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

/// Returns the archive of an image with this program, and the digest of its manifest.
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
    let mut descriptor = manifest.descriptor();
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    descriptor["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    });
    let mut tar = Builder::new(Vec::new());
    append_file(&mut tar, "oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
    append_file(&mut tar, "index.json", index.to_string().as_bytes())?;
    for blob in [&manifest, &config, &layer] {
        append_file(&mut tar, &blob.path(), &blob.bytes)?;
    }
    Ok((tar.into_inner()?, manifest.digest))
}

/// The layer, with the program and a folder for temporary files.
fn layer(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "tmp/", EntryType::Directory, 0o1777, &[])?;
    append(&mut tar, PROGRAM, EntryType::Regular, 0o755, program)?;
    Ok(tar.into_inner()?)
}

fn config(layer_digest: &str) -> anyhow::Result<Value> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    };
    Ok(json!({
        "architecture": architecture.context("images can be built for x86_64 and aarch64 only")?,
        "os": "linux",
        "config": {
            "User": format!("{USER_ID}:{USER_ID}"),
            "Entrypoint": [format!("/{PROGRAM}")],
            "Cmd": DEFAULT_ARGUMENTS,
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

fn append_file(tar: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    append(tar, path, EntryType::Regular, 0o644, bytes)
}

/// Appends an entry without time and owner, so that the archive does not depend on the machine.
fn append(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
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
    fn the_index_leads_to_the_manifest_the_configuration_and_the_program() {
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
            [&config["config"]["User"], &config["config"]["Entrypoint"], &config["config"]["Cmd"]],
            [&json!("65532:65532"), &json!(["/paylab"]), &json!(["-host=0.0.0.0"])]
        );
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let layer = unpacked(&blob(&files, &manifest["layers"][0]));
        assert_eq!(layer["paylab"], (0o755, b"program".to_vec()));
        assert_eq!(layer["tmp/"].0, 0o1777);
    }

    #[test]
    fn the_digest_depends_on_the_program_alone() {
        let built = |program| archive(program, NAME).unwrap();
        assert_eq!(built(b"one"), built(b"one"));
        assert_ne!(built(b"one").1, built(b"two").1);
    }
}
