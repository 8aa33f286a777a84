//! The load: an indexed Job with one pod for each worker. Only Paylab's client may retry, so no pod is started twice.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{ConfigMapVolumeSource, Volume, VolumeMount},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use paylab_experiment::contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT};

use super::{
    metadata::part_meta,
    plan::FILE,
    pod::{PodOptions, template},
    settings::Settings,
};
use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// The directory of the experiment's file in the pod.
const PLAN_DIRECTORY: &str = "/experiment";
/// How long the load tries to reach its peers: on a large cluster, or with network policies, a new Service takes a while to
/// work.
const PATIENCE: &str = "60s";
/// Time after the load's own deadline for starting pods, draining and reading the evidence.
const EVIDENCE_SECS: u64 = 180;
/// One more second is allowed for this many payments.
const PAYMENTS_READ_PER_SEC: u64 = 20_000;

/// The Job; `lab` is the fingerprint of the pods that its evidence will be about.
pub(crate) fn job(experiment: &PlannedExperiment, settings: &Settings, owner: &OwnerReference, lab: &str) -> Job {
    let workers = experiment.spec.client.workers;
    let options = PodOptions {
        arguments: arguments(experiment),
        volume: Some(file(experiment)),
        restart_policy: Some("Never"),
        ..PodOptions::default()
    };
    Job {
        metadata: ObjectMeta {
            annotations: Some([(names::LAB_ANNOTATION.to_owned(), lab.to_owned())].into()),
            ..part_meta(experiment, Part::LoadJob, owner)
        },
        spec: Some(JobSpec {
            completion_mode: Some("Indexed".to_owned()),
            completions: Some(workers),
            parallelism: Some(workers),
            backoff_limit_per_index: Some(0),
            active_deadline_seconds: Some(deadline_secs(experiment)),
            template: template(experiment, settings, Part::LoadJob, options),
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn arguments(experiment: &PlannedExperiment) -> Vec<String> {
    let proxy = names::part(&experiment.name, Part::ResetProxy);
    let service = match experiment.plan.service.replicas {
        1 => names::part(&experiment.name, Part::PaymentService),
        _ => names::replicas(&experiment.name),
    };
    let options = [
        ("--run-id", experiment.id.to_string()),
        ("--seed", experiment.plan.seed().to_string()),
        ("--proxy", format!("{proxy}:{PROXY_PORT}")),
        ("--control", format!("{proxy}:{CONTROL_PORT}")),
        ("--service", format!("{service}:{SERVICE_PORT}")),
        ("--patience", PATIENCE.to_owned()),
    ];
    let options = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
    [format!("{PLAN_DIRECTORY}/{FILE}")].into_iter().chain(options).collect()
}

/// The volume with the experiment's file, and where it is mounted.
fn file(experiment: &PlannedExperiment) -> (Volume, VolumeMount) {
    let source = ConfigMapVolumeSource { name: names::plan(&experiment.name), ..ConfigMapVolumeSource::default() };
    let volume = Volume { name: "experiment".to_owned(), config_map: Some(source), ..Volume::default() };
    let mount = VolumeMount {
        name: "experiment".to_owned(),
        mount_path: PLAN_DIRECTORY.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}

/// When Kubernetes ends a load that hangs.
fn deadline_secs(experiment: &PlannedExperiment) -> i64 {
    let secs = experiment.plan.deadline.as_secs() + EVIDENCE_SECS + experiment.plan.count / PAYMENTS_READ_PER_SEC;
    i64::try_from(secs).unwrap_or(i64::MAX)
}
