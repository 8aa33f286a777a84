//! YAML as `kubectl` and the API server read it: a file is split into documents, and each is turned into JSON.
//!
//! They use Go's YAML library of version 2, whose scalars are those of YAML 1.1: `052` is 42, `1e+06` is a whole number, `no` is
//! false. It must not know what the documents mean.

mod compose;
mod scalar;
mod split;
mod words;

use paylab_core::field_error::FieldError;
use serde_json::Value;

/// A document as JSON, or everything that is wrong with its YAML.
pub(crate) type Document = Result<Value, Vec<FieldError>>;

/// The documents of a text that are not empty.
pub(crate) fn documents(text: &str) -> Vec<Document> {
    let documents = split::documents(text).into_iter().map(|part| part.and_then(compose::compose));
    documents.filter(|document| *document != Ok(Value::Null)).collect()
}

/// Whether a text is read as itself without quotes, in every place of a document.
pub(crate) fn is_plain_text(text: &str) -> bool {
    let is_safe = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | '/');
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(is_safe)
        && scalar::value(text, true, None) == Ok(Value::from(text))
}
