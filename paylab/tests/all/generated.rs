//! Files that are made from the code are those in the tree.

use std::{fs, path::Path};

use paylab_resource::definition::definition;

#[test]
fn the_resource_definition_is_the_one_that_the_types_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/paylab/files/chaosexperiments.yaml");
    let made = serde_saphyr::to_string(&definition()).unwrap();
    let kept = fs::read_to_string(&path).unwrap();
    assert!(
        kept == made,
        "refresh it: cargo run -- crd > /tmp/crd && cp /tmp/crd charts/paylab/files/chaosexperiments.yaml"
    );
}
