//! An experiment as a file that people read: without what is the default anyway.

use paylab_resource::spec::{ChaosExperiment, ChaosExperimentSpec};
use serde_json::{Map, Value, json};

/// The experiment as YAML that gives the same plan again.
///
/// # Errors
/// None that is known.
pub(crate) fn tidy_yaml(experiment: &ChaosExperiment) -> anyhow::Result<String> {
    let spec: ChaosExperimentSpec = serde_json::from_value(json!({"claim": experiment.spec.claim}))?;
    let default = serde_json::to_value(spec)?;
    let mut spec = serde_json::to_value(&experiment.spec)?;
    let claim = spec["claim"].clone();
    leave_out(&mut spec, &default);
    let head = json!({
        "apiVersion": "paylab.dev/v1alpha1",
        "kind": "ChaosExperiment",
        "metadata": {"name": experiment.metadata.name, "labels": experiment.metadata.labels},
        "spec": {"claim": claim},
    });
    let mut fields = merged(head, &spec);
    leave_out_nulls(&mut fields);
    Ok(serde_saphyr::to_string(&fields)?)
}

/// Removes the fields that are the same by default.
fn leave_out(value: &mut Value, default: &Value) {
    let (Value::Object(fields), Value::Object(defaults)) = (value, default) else { return };
    for (name, default) in defaults {
        let Some(field) = fields.get_mut(name) else { continue };
        if field.is_object() {
            leave_out(field, default);
        }
        let is_empty = field.as_object().is_some_and(Map::is_empty);
        if field == default || is_empty {
            fields.remove(name);
        }
    }
}

fn merged(mut head: Value, spec: &Value) -> Value {
    for (name, field) in spec.as_object().into_iter().flatten() {
        head["spec"][name] = field.clone();
    }
    head
}

fn leave_out_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(leave_out_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use paylab_core::targets::ours::Dedup;
    use paylab_resource::{
        file,
        nemesis::{ALL, Subject},
    };

    use super::*;

    #[test]
    fn what_is_left_out_comes_back_as_the_default() {
        let every_field = file::parse_all(include_str!("../../resource/src/reference/example.yaml"), || 1).unwrap();
        let every_field = every_field.into_iter().map(|experiment| experiment.resource);
        let cells = Dedup::ALL.into_iter().flat_map(|mode| {
            let subject = Subject::ours(mode, 42);
            ALL.iter().map(|nemesis| nemesis.experiment(&subject)).collect::<Vec<_>>()
        });
        for experiment in every_field.chain(cells) {
            let yaml = tidy_yaml(&experiment).unwrap();
            let again = file::parse(&yaml, 0).unwrap_or_else(|errors| panic!("{errors:?}\n{yaml}")).resource;
            assert_eq!((again.spec, again.metadata.labels), (experiment.spec, experiment.metadata.labels), "{yaml}");
        }
    }

    #[test]
    fn a_small_experiment_is_a_short_file() {
        let subject = Subject::ours(Dedup::None, 42);
        let yaml = tidy_yaml(&ALL[1].experiment(&subject)).unwrap();
        assert!(yaml.lines().count() < 35 && !yaml.contains("stuckAfter"), "{yaml}");
    }
}
