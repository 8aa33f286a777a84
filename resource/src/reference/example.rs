//! The example that the reference quotes: a resource that has every field. It is one possible resource, not a run that was made.

use std::sync::LazyLock;

use serde_json::Value;

use crate::yaml;

/// The example as text.
const TEXT: &str = include_str!("example.yaml");

static EXAMPLE: LazyLock<Value> =
    LazyLock::new(|| yaml::documents(TEXT).into_iter().next().and_then(Result::ok).unwrap_or_default());

/// The example's value of a field. Of several items of a list or a map, the first that has the field.
pub(super) fn at(path: &str) -> Option<Value> {
    let mut values = vec![&*EXAMPLE];
    for name in path.split('.') {
        let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
        values = values
            .into_iter()
            .flat_map(|value| match value {
                Value::Object(fields) if name == "NAME" => fields.values().collect::<Vec<_>>(),
                value => value.get(name).into_iter().collect(),
            })
            .flat_map(|value| match value {
                Value::Array(items) if is_list => items.iter().collect::<Vec<_>>(),
                value => vec![value],
            })
            .collect();
    }
    values.first().map(|value| (*value).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{file, status::ChaosExperimentStatus};

    #[test]
    fn the_example_is_a_good_resource() {
        let read = file::parse(TEXT, 0);
        assert!(read.is_ok(), "{read:?}");
        let status: ChaosExperimentStatus = serde_json::from_value(EXAMPLE["status"].clone()).unwrap();
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            EXAMPLE["status"],
            "no field is unknown, and none has another form"
        );
    }

    #[test]
    fn a_value_is_found_in_lists_and_maps() {
        assert_eq!(at("spec.faults[].delay.for"), Some("200ms".into()));
        assert_eq!(at("status.prediction.theory.NAME.low"), Some(1952.into()));
        assert_eq!(at("spec.nothing"), None);
    }
}
