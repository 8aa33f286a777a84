//! docs/reference.md is made from the types, and no field lacks a meaning or an example.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fs, path::Path};

use paylab_resource::reference::{fields, reference};

#[test]
fn the_reference_is_the_one_that_the_types_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    let made = reference();
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/reference.md is not that of the types; make it anew: \
         UPDATE_REFERENCE=1 cargo test -p paylab-resource --test reference"
    );
}

#[test]
fn every_field_and_every_value_has_a_meaning_in_sentences() {
    for field in fields() {
        let is_sentence = |text: &str| text.len() > 10 && text.ends_with('.') && text.starts_with(char::is_uppercase);
        assert!(is_sentence(&field.meaning), "{} has no meaning in sentences: {:?}", field.path, field.meaning);
        for (value, meaning) in &field.values {
            assert!(is_sentence(meaning), "{}: {value} has no meaning in sentences: {meaning:?}", field.path);
        }
    }
}

#[test]
fn every_field_has_an_example() {
    for field in fields().iter().filter(|field| !field.is_object) {
        assert!(field.example.is_some(), "{} has no example in resource/src/reference/example.yaml", field.path);
    }
}

#[test]
fn the_fields_that_are_hard_to_guess_are_there() {
    let paths: Vec<_> = fields().into_iter().map(|field| field.path).collect();
    for name in [
        "spec.activeDeadline",
        "spec.client.bodyDrift",
        "spec.client.concurrency",
        "spec.client.connection",
        "spec.client.hedge",
        "spec.client.rate",
        "spec.client.retry.attemptTimeout",
        "spec.client.workers",
        "spec.faults[].delay.for",
        "spec.minExposures",
        "spec.retain",
        "spec.service.database.secretKeyRef.name",
        "spec.service.keyTtl",
        "spec.service.missingKey",
        "spec.service.onDisconnect",
        "spec.service.processingTime",
        "status.conditions[].type",
        "status.lab.findings",
        "status.prediction.theory.NAME.mean",
        "status.samples[].class",
    ] {
        assert!(paths.iter().any(|path| path == name), "{name} is not in the reference");
    }
    assert!(paths.len() > 100, "{}", paths.len());
}
