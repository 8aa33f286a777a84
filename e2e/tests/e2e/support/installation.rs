//! The installation of Paylab on a node: the image and the chart.

use std::path::{Path, PathBuf};

use paylab_e2e::Node;

/// The environment variable with the path of the image archive that `image/build` has written.
const ARCHIVE_ENV: &str = "PAYLAB_IMAGE_ARCHIVE";
/// The repository and the tag of the image in that archive.
pub(crate) const IMAGE: (&str, &str) = ("registry.local/paylab", "ci");

/// The root folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Imports the image into a node.
pub(crate) fn import_image(node: &Node) {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/paylab");
    let cache = std::env::var_os("PAYLAB_CACHE").map_or_else(home, PathBuf::from);
    let archive = std::env::var_os(ARCHIVE_ENV).map_or_else(|| cache.join("paylab.tar"), PathBuf::from);
    let (name, tag) = IMAGE;
    assert!(archive.exists(), "there is no image archive; build it: image/build {name}:{tag} {}", archive.display());
    node.import_image(&archive).unwrap();
}

/// Installs or upgrades a release of the chart and waits until the operator is ready.
pub(crate) fn install_chart(node: &Node, namespace: &str, values: &[&str]) -> anyhow::Result<String> {
    let chart = root().join("charts/paylab");
    let image = format!("image.repository={},image.tag={}", IMAGE.0, IMAGE.1);
    let mut arguments = vec!["upgrade", "--install", "paylab", chart.to_str().unwrap(), "--namespace", namespace];
    arguments.extend(["--create-namespace", "--wait", "--timeout=3m", "--set", &image]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    node.helm(&arguments)
}
