//! The examples that the reference quotes: resources that together have every field. They are possible resources, not runs that were made.

use std::sync::LazyLock;

use serde_json::Value;

use crate::yaml;

/// The examples as text.
const TEXT: &str = include_str!("example.yaml");

/// The resources of the example. The second pays a service of the user's own, which excludes some fields of the first.
static EXAMPLES: LazyLock<Vec<Value>> =
    LazyLock::new(|| yaml::documents(TEXT).into_iter().map(Result::unwrap_or_default).collect());

/// The examples' value of a field. Of several items of a list or a map, the first that has the field.
pub(super) fn at(path: &str) -> Option<Value> {
    EXAMPLES.iter().find_map(|example| at_in(example, path))
}

fn at_in(example: &Value, path: &str) -> Option<Value> {
    let mut values = vec![example];
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
    fn the_examples_are_good_resources() {
        let read = file::parse_all(TEXT, || 0);
        assert!(read.is_ok(), "{read:?}");
        let status: ChaosExperimentStatus = serde_json::from_value(EXAMPLES[0]["status"].clone()).unwrap();
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            EXAMPLES[0]["status"],
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
