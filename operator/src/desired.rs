//! What should be there: every object of an experiment, whole, as a pure function of the run and the operator's settings.
//! It must not know what is there already.
//!
//! The plan's `ConfigMap` belongs to the experiment and owns all the rest, so that one deletion takes the whole lab down.

mod load;
mod network;
mod plan;
mod pod;
mod proxy;
mod service;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
        core::v1::{ConfigMap, PodTemplateSpec, ResourceRequirements, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
};

pub(crate) use self::{load::job, plan::plan};
use crate::{
    names::{self, Part},
    options::Options,
    planned::Run,
};

/// What the operator's own options say of every experiment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) image: String,
    pub(crate) pull_policy: String,
    pub(crate) pull_secrets: Vec<String>,
    pub(crate) resources: ResourceRequirements,
    pub(crate) network_policies: bool,
}

/// The lab of one experiment, but for the plan that owns it and the load that comes last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lab {
    pub(crate) policies: Vec<NetworkPolicy>,
    pub(crate) services: Vec<Service>,
    /// The last to be made: where both are, all the others are too.
    pub(crate) deployments: Vec<Deployment>,
}

impl Settings {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            image: options.image.clone(),
            pull_policy: options.image_pull_policy.clone(),
            pull_secrets: options.image_pull_secrets.iter().filter(|name| !name.is_empty()).cloned().collect(),
            resources: options.part_resources.clone(),
            network_policies: options.network_policies,
        }
    }

    /// The same with the image that a lab was begun with.
    pub(crate) fn as_begun(&self, plan: &ConfigMap) -> Self {
        let begun = plan.metadata.annotations.as_ref().and_then(|all| all.get(names::IMAGE_ANNOTATION));
        Self { image: begun.cloned().unwrap_or_else(|| self.image.clone()), ..self.clone() }
    }
}

/// The lab of a run, owned by its plan.
pub(crate) fn lab(run: &Run, settings: &Settings, owner: &OwnerReference) -> Lab {
    Lab {
        policies: settings.network_policies.then(|| network::policy(run, owner)).into_iter().collect(),
        services: service::services(run, owner).into_iter().chain([proxy::service(run, owner)]).collect(),
        deployments: vec![service::pods(run, settings, owner), proxy::pods(run, settings, owner)],
    }
}

/// The head of an object of one part.
fn part_meta(run: &Run, part: Part, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::part(&run.name, part)),
        labels: Some(names::part_labels(&run.name, run.id.as_str(), part)),
        ..meta(run, owner)
    }
}

/// The head of an object of the whole lab; its name is the caller's.
fn meta(run: &Run, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(run.namespace.clone()),
        labels: Some(names::labels(&run.name, run.id.as_str())),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Pods of one part that are never two generations at once.
fn deployment(run: &Run, part: Part, replicas: i32, pod: PodTemplateSpec, owner: &OwnerReference) -> Deployment {
    Deployment {
        metadata: part_meta(run, part, owner),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(names::part_labels(&run.name, run.id.as_str(), part)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
            revision_history_limit: Some(0),
            template: pod,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{run, settings};

    /// Everything that is made for an experiment, in the order of its making.
    fn all(spec: &serde_json::Value, settings: &Settings) -> Vec<serde_json::Value> {
        let run = run(spec);
        let root = plan(&run, settings);
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: names::plan(&run.name),
            uid: "uid-of-the-plan".to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        let Lab { policies, services, deployments } = lab(&run, settings, &owner);
        let job = job(&run, settings, &owner, "uid-of-a-pod/0");
        let mut objects = vec![json!(root)];
        objects.extend(policies.iter().map(|one| json!(one)));
        objects.extend(services.iter().map(|one| json!(one)));
        objects.extend(deployments.iter().map(|one| json!(one)));
        objects.push(json!(job));
        objects
    }

    #[test]
    fn a_lesson_is_these_objects() {
        insta::assert_json_snapshot!(all(&json!({}), &settings()));
    }

    #[test]
    fn replicas_share_a_database_and_workers_a_job() {
        let spec = json!({
            "client": {"workers": 3, "hedge": 2, "concurrency": 1024, "idempotencyKey": "PerPayment"},
            "service": {"dedup": "Replay", "replicas": 2, "keyTtl": "5s", "processingTime": "10ms",
                "database": {"secretKeyRef": {"name": "ledger", "key": "url"}}},
        });
        let settings = Settings {
            pull_secrets: vec!["registry".to_owned()],
            network_policies: false,
            resources: serde_json::from_value(json!({"limits": {"memory": "64Mi"}})).unwrap(),
            ..settings()
        };
        insta::assert_json_snapshot!(all(&spec, &settings));
    }

    #[test]
    fn the_file_in_the_plan_is_the_experiment() {
        let run = run(&json!({"client": {"workers": 3}}));
        let plan = plan(&run, &settings());
        let text = &plan.data.unwrap()["experiment.yaml"];
        let read = paylab_experiment::file::parse(text, run.id.seed()).unwrap();
        assert_eq!((read.plan, read.resource.spec), (run.plan, run.spec));
    }

    #[test]
    fn a_lab_goes_on_with_the_image_it_was_begun_with() {
        let run = run(&json!({}));
        let begun = plan(&run, &settings());
        let newer = Settings { image: "paylab:newer".to_owned(), ..settings() };
        assert_eq!(newer.as_begun(&begun).image, settings().image);
    }
}
