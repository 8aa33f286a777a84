//! How the cluster's owner wants the pods of every lab. It is read and checked once, when the operator starts, because a mistake that only
//! the API server notices would fail every experiment.

mod check;

use std::{collections::BTreeMap, str::FromStr};

use k8s_openapi::{
    api::core::v1::{
        Affinity, PodSecurityContext, ResourceRequirements, SecurityContext, Toleration, TopologySpreadConstraint,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Part;

type Quantities = BTreeMap<String, Quantity>;

/// The chart's value `parts`. What is absent is as Paylab likes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Parts {
    /// Requests and limits of each part's container.
    pub(crate) resources: ResourceRequirements,
    pub(crate) payment_service: PartSettings,
    pub(crate) reset_proxy: PartSettings,
    pub(crate) load: PartSettings,
    pub(crate) pod_annotations: BTreeMap<String, String>,
    pub(crate) pod_labels: BTreeMap<String, String>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) topology_spread_constraints: Vec<TopologySpreadConstraint>,
    pub(crate) priority_class_name: Option<String>,
    pub(crate) service_account_name: Option<String>,
    /// In place of Paylab's own; `{}` leaves all of it to the cluster.
    pub(crate) pod_security_context: Option<PodSecurityContext>,
    /// In place of Paylab's own; `{}` leaves all of it to the cluster.
    pub(crate) container_security_context: Option<SecurityContext>,
}

/// What one part has of its own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PartSettings {
    /// Each quantity wins over that of all parts.
    pub(crate) resources: ResourceRequirements,
}

impl Parts {
    /// The requests and limits of a part: those of all parts, and over them its own.
    pub(crate) fn resources(&self, part: Part) -> ResourceRequirements {
        let own = match part {
            Part::PaymentService => &self.payment_service.resources,
            Part::ResetProxy => &self.reset_proxy.resources,
            Part::LoadJob => &self.load.resources,
            // The user's own image says itself what it needs.
            Part::Target => return ResourceRequirements::default(),
        };
        ResourceRequirements {
            claims: own.claims.clone().or_else(|| self.resources.claims.clone()),
            limits: over(self.resources.limits.as_ref(), own.limits.as_ref()),
            requests: over(self.resources.requests.as_ref(), own.requests.as_ref()),
        }
    }
}

fn over(all: Option<&Quantities>, own: Option<&Quantities>) -> Option<Quantities> {
    let both: Quantities =
        [all, own].into_iter().flatten().flatten().map(|(name, it)| (name.clone(), it.clone())).collect();
    (!both.is_empty()).then_some(both)
}

impl FromStr for Parts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut json: Value = serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))?;
        for pointer in ["", "/paymentService", "/resetProxy", "/load"] {
            write_numbers_as_text(json.pointer_mut(&format!("{pointer}/resources")));
        }
        let parts: Self = serde_path_to_error::deserialize(&json)
            .map_err(|error| format!("`{}`: {}", error.path(), error.inner()))?;
        // Kubernetes' types ignore what they do not know, so a field with a misspelled name would be lost in silence.
        let read = serde_json::to_value(&parts).map_err(|error| error.to_string())?;
        if let Some(path) = lost(&json, &read) {
            return Err(format!("`{path}`: Kubernetes has no field of this name here"));
        }
        check::check(&parts)?;
        Ok(parts)
    }
}

/// YAML reads `cpu: 1` as a number, and Kubernetes' types read texts only.
fn write_numbers_as_text(resources: Option<&mut Value>) {
    let Some(resources) = resources else { return };
    for kind in ["requests", "limits"] {
        let quantities = resources.get_mut(kind).and_then(Value::as_object_mut);
        for quantity in quantities.into_iter().flat_map(|all| all.values_mut()) {
            if let Value::Number(number) = quantity {
                *quantity = Value::String(number.to_string());
            }
        }
    }
}

/// The path of the first field that was given and not read.
fn lost(given: &Value, read: &Value) -> Option<String> {
    match (given, read) {
        (Value::Object(given), read) => given.iter().find_map(|(name, value)| match read.get(name) {
            None => (!value.is_null()).then(|| name.clone()),
            Some(read) => lost(value, read).map(|rest| join(name, &rest)),
        }),
        (Value::Array(given), read) => given.iter().enumerate().find_map(|(index, value)| {
            let rest = lost(value, read.get(index).unwrap_or(&Value::Null))?;
            Some(join(&format!("[{index}]"), &rest))
        }),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => None,
    }
}

fn join(name: &str, rest: &str) -> String {
    if rest.starts_with('[') { format!("{name}{rest}") } else { format!("{name}.{rest}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(parts: &Value) -> String {
        parts.to_string().parse::<Parts>().unwrap_err()
    }

    #[test]
    fn each_quantity_of_a_part_wins_over_that_of_all_parts() {
        let parts: Parts = json!({
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "load": {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}}},
        })
        .to_string()
        .parse()
        .unwrap();
        let of = |part| json!(parts.resources(part));
        assert_eq!(
            of(Part::ResetProxy),
            json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}})
        );
        assert_eq!(of(Part::LoadJob), json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"memory": "2Gi"}}));
        assert_eq!(of(Part::Target), json!({}));
    }

    #[test]
    fn a_field_that_kubernetes_does_not_have_is_named() {
        for (parts, path) in [
            (json!({"tolerations": [{"key": "lab"}, {"key": "lab", "efect": "NoSchedule"}]}), "`tolerations[1].efect`"),
            (json!({"podSecurityContext": {"privileged": true}}), "`podSecurityContext.privileged`"),
            (json!({"affinity": {"nodeAfinity": {}}}), "`affinity.nodeAfinity`"),
            (json!({"resources": {"limit": {"cpu": "1"}}}), "`resources.limit`"),
            (json!({"tolerations": 5}), "`tolerations`"),
            (json!({"load": {"image": "x"}}), "`load.image`"),
            (json!({"podLabels": {"team": 5}}), "`podLabels.team`"),
        ] {
            let text = refusal(&parts);
            assert!(text.starts_with(path), "{text}");
        }
        assert!(refusal(&json!({"image": "x"})).contains("unknown field `image`"));
        assert!("{".parse::<Parts>().unwrap_err().contains("no JSON"));
    }

    #[test]
    fn what_is_absent_or_null_is_as_paylab_likes_it() {
        assert_eq!("{}".parse::<Parts>(), Ok(Parts::default()));
        assert_eq!(r#"{"affinity": null, "podSecurityContext": null}"#.parse::<Parts>(), Ok(Parts::default()));
    }
}
