//! An experiment with its validated plan. It is made from the resource anew in each reconcile.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _};
use paylab_core::{
    fault::sampler::seed_of_run,
    field_error::FieldError,
    judge::report::Report,
    outcome::{Outcome, Setting},
    plan::Plan,
    run_id::RunId,
};
use paylab_resource::{
    plan::plan,
    spec::{ChaosExperiment, ChaosExperimentSpec},
};

/// Why an experiment with a service of the user's own is refused.
const NOT_ON_A_CLUSTER: &str =
    "is not supported on a cluster yet; use paylab run on a machine that reaches the service";

/// An experiment that can be run.
#[derive(Debug, Clone)]
pub(crate) struct PlannedExperiment {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The run id, which is the resource's UID.
    pub(crate) id: RunId,
    /// Points to the resource; the plan's `ConfigMap` carries it.
    pub(crate) owner: OwnerReference,
    pub(crate) spec: ChaosExperimentSpec,
    pub(crate) plan: Plan,
}

impl PlannedExperiment {
    /// Validates and plans a resource.
    ///
    /// # Errors
    /// Every field that is wrong. The API server admits no wrong resource, so only one that was stored under an older
    /// definition can fail here.
    pub(crate) fn of(resource: &ChaosExperiment) -> Result<Self, Vec<FieldError>> {
        let not_stored =
            || vec![FieldError::new("metadata.uid", "is missing; only a resource on a cluster can be run")];
        let id: RunId = resource.uid().and_then(|uid| uid.parse().ok()).ok_or_else(not_stored)?;
        let owner = resource.controller_owner_ref(&()).ok_or_else(not_stored)?;
        if resource.spec.target.is_some() {
            return Err(vec![FieldError::new("spec.target", NOT_ON_A_CLUSTER)]);
        }
        let plan = plan(&resource.spec, seed_of_run(&id))?;
        Ok(Self {
            namespace: resource.namespace().unwrap_or_default(),
            name: resource.name_any(),
            owner: OwnerReference { block_owner_deletion: Some(true), ..owner },
            spec: resource.spec.clone(),
            plan,
            id,
        })
    }

    /// Concludes from the merged report of a run.
    pub(crate) fn outcome(&self, report: Report) -> Outcome {
        let setting = Setting { experiment: self.name.clone(), ..Setting::default() };
        Outcome::of(&self.plan, report, setting)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::resource;

    #[test]
    fn a_service_of_the_users_own_is_refused_with_the_way_out() {
        let target = json!({
            "url": "http://shop.example",
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
        });
        let refused = PlannedExperiment::of(&resource(&json!({"target": target}))).unwrap_err();
        let told: Vec<_> = refused.iter().map(ToString::to_string).collect();
        assert_eq!(told, [format!("spec.target: {NOT_ON_A_CLUSTER}")]);
    }
}
