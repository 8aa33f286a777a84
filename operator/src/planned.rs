//! An experiment with its validated plan. It is made from the resource anew in each reconcile.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _};
use paylab_contract::{
    Contract,
    spec::{ImageSpec, Place, ServiceSpec, TargetSpec},
};
use paylab_core::{
    fault::{
        effect::Effect,
        sampler::{Fault, seed_of_run},
    },
    field_error::FieldError,
    judge::report::Report,
    outcome::{Outcome, Setting},
    plan::Plan,
    run_id::RunId,
};
use paylab_resource::{
    plan::{contract, plan},
    spec::{ChaosExperiment, ChaosExperimentSpec},
};

use crate::names::Part;

/// Why the address of the machine itself is refused.
const NOT_FROM_A_POD: &str =
    "leads from a pod to that pod alone; name a host that pods reach, or use spec.target.service or spec.target.image";

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
    /// The contract of the user's own service; `None`: Paylab's own service is paid.
    pub(crate) contract: Option<Contract>,
}

/// The service that a run pays.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paid<'a> {
    /// Paylab's own, which the operator deploys.
    Ours,
    /// The user's own, which the operator deploys from this image.
    Image(&'a ImageSpec),
    /// The user's own, behind a Service of the namespace.
    Service(&'a ServiceSpec),
    /// The user's own, at this `HOST:PORT`.
    Elsewhere(&'a str),
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
        let plan = plan(&resource.spec, seed_of_run(&id))?;
        let contract = contract(&resource.spec)?;
        if let (Some(target), Some(contract)) = (&resource.spec.target, &contract) {
            check_target(target, contract)?;
            check_kills(target, &plan)?;
        }
        Ok(Self {
            namespace: resource.namespace().unwrap_or_default(),
            name: resource.name_any(),
            owner: OwnerReference { block_owner_deletion: Some(true), ..owner },
            spec: resource.spec.clone(),
            plan,
            contract,
            id,
        })
    }

    /// The service that is paid.
    pub(crate) fn paid(&self) -> Paid<'_> {
        let (Some(target), Some(contract)) = (&self.spec.target, &self.contract) else { return Paid::Ours };
        match target.place() {
            Some(Place::Image(image)) => Paid::Image(image),
            Some(Place::Service(service)) => Paid::Service(service),
            Some(Place::Url(_)) | None => Paid::Elsewhere(&contract.origin.address),
        }
    }

    /// The parts of the lab that must be ready before the load begins, each with the number of its pods.
    pub(crate) fn lab_parts(&self) -> Vec<(Part, i32)> {
        let paid = match self.paid() {
            Paid::Ours => Some((Part::PaymentService, self.spec.service.replicas)),
            Paid::Image(_) => Some((Part::Target, 1)),
            Paid::Service(_) | Paid::Elsewhere(_) => None,
        };
        paid.into_iter().chain([(Part::ResetProxy, 1)]).collect()
    }

    /// Concludes from the merged report of a run.
    pub(crate) fn outcome(&self, report: Report) -> Outcome {
        let setting = Setting { experiment: self.name.clone(), ..Setting::default() };
        Outcome::of(&self.plan, report, setting)
    }
}

/// What a contract needs on a cluster and on one machine does not.
fn check_target(target: &TargetSpec, contract: &Contract) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    let is_named = |name: &str| target.secrets.iter().any(|secret| secret.name.eq_ignore_ascii_case(name));
    let unnamed: Vec<_> = contract.secret_names().into_iter().filter(|name| !is_named(name)).collect();
    for name in unnamed {
        let problem =
            format!("lacks {name}, which the contract uses as {{secret.{name}}}; say with secretKeyRef where it is");
        errors.push(FieldError::new("spec.target.secrets", problem));
    }
    let host = contract.origin.address.rsplit_once(':').map_or("", |(host, _)| host);
    let is_loopback = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_loopback || host == "localhost" {
        errors.push(FieldError::new("spec.target.url", format!("{host} {NOT_FROM_A_POD}")));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// A service that faults kill must be started again by a supervisor in its pod, which must know its command.
fn check_kills(target: &TargetSpec, plan: &Plan) -> Result<(), Vec<FieldError>> {
    let is_kill = |fault: &Fault| matches!(fault.effect, Effect::Kill(_));
    let Some(index) = plan.faults().iter().position(is_kill) else { return Ok(()) };
    let (field, problem) = match target.place() {
        Some(Place::Image(image)) if !image.command.is_empty() => return Ok(()),
        Some(Place::Image(_)) => (
            "spec.target.image.command".to_owned(),
            "is needed where a fault kills the service, because Paylab's supervisor starts it; name the command that the image runs",
        ),
        Some(Place::Service(_) | Place::Url(_)) | None => (
            format!("spec.faults[{index}].kill"),
            "needs somebody who can start the service again; let the operator deploy it, with spec.target.image and its command",
        ),
    };
    Err(vec![FieldError::new(field, problem)])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{planned, resource};

    /// The same target at another place.
    fn target(place: &Value) -> Value {
        let mut target = json!({
            "headers": {"Authorization": "Bearer {secret.token}"},
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
        });
        for (field, value) in place.as_object().unwrap() {
            target[field] = value.clone();
        }
        json!({"target": target})
    }

    #[test]
    fn what_only_one_machine_can_do_is_refused_with_the_way_out() {
        let refused = |place: Value| {
            let errors = PlannedExperiment::of(&resource(&target(&place))).unwrap_err();
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let token = json!([{"name": "TOKEN", "secretKeyRef": {"name": "api", "key": "token"}}]);
        let all = [
            refused(json!({"url": "http://127.0.0.1:9000", "secrets": token})),
            refused(json!({"url": "http://localhost:9000", "secrets": token})),
            refused(json!({"url": "http://[::1]:9000", "secrets": token})),
            refused(json!({"service": {"name": "shop", "port": 80}})),
        ];
        expect_test::expect![[r#"
            spec.target.url: 127.0.0.1 leads from a pod to that pod alone; name a host that pods reach, or use spec.target.service or spec.target.image
            spec.target.url: localhost leads from a pod to that pod alone; name a host that pods reach, or use spec.target.service or spec.target.image
            spec.target.url: [::1] leads from a pod to that pod alone; name a host that pods reach, or use spec.target.service or spec.target.image
            spec.target.secrets: lacks token, which the contract uses as {secret.token}; say with secretKeyRef where it is"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn a_kill_that_nobody_can_carry_out_is_refused_with_the_way_out() {
        let secrets = json!([{"name": "token", "secretKeyRef": {"name": "api", "key": "token"}}]);
        let refused = |mut place: Value| {
            place["secrets"] = secrets.clone();
            let mut spec = target(&place);
            spec["faults"] = json!([{"name": "killed", "probability": 0.1, "kill": {"at": "BeforeResponse"}}]);
            match PlannedExperiment::of(&resource(&spec)) {
                Ok(_) => "accepted".to_owned(),
                Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            }
        };
        let all = [
            refused(json!({"url": "http://shop.example"})),
            refused(json!({"service": {"name": "shop", "port": 80}})),
            refused(json!({"image": {"image": "shop:1", "port": 80}})),
            refused(json!({"image": {"image": "shop:1", "port": 80, "command": ["/shop"]}})),
        ];
        expect_test::expect![[r#"
            spec.faults[0].kill: needs somebody who can start the service again; let the operator deploy it, with spec.target.image and its command
            spec.faults[0].kill: needs somebody who can start the service again; let the operator deploy it, with spec.target.image and its command
            spec.target.image.command: is needed where a fault kills the service, because Paylab's supervisor starts it; name the command that the image runs
            accepted"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn a_service_that_is_not_deployed_is_no_part_of_the_lab() {
        let secrets = json!([{"name": "token", "secretKeyRef": {"name": "api", "key": "token"}}]);
        let parts = |mut place: Value| {
            place["secrets"] = secrets.clone();
            planned(&target(&place)).lab_parts()
        };
        assert_eq!(planned(&json!({})).lab_parts(), [(Part::PaymentService, 1), (Part::ResetProxy, 1)]);
        let image = json!({"image": {"image": "shop:1", "port": 80}});
        assert_eq!(parts(image), [(Part::Target, 1), (Part::ResetProxy, 1)]);
        assert_eq!(parts(json!({"service": {"name": "shop", "port": 80}})), [(Part::ResetProxy, 1)]);
        assert_eq!(parts(json!({"url": "http://shop.example"})), [(Part::ResetProxy, 1)]);
    }
}
