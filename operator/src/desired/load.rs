//! The load: an indexed Job, each pod its share. Nobody but our client may retry, so no pod is ever started twice.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{ConfigMapVolumeSource, Volume, VolumeMount},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use paylab_experiment::contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT};

use super::{
    Settings, part_meta,
    plan::FILE,
    pod::{Needs, template},
};
use crate::{
    names::{self, Part},
    planned::Run,
};

/// Where the experiment's file is.
const PLAN_DIRECTORY: &str = "/experiment";
/// The names of a new Service may take so long to lead anywhere, on a large cluster or behind a policy of the network.
const PATIENCE: &str = "60s";
/// After the load's own deadline there is so much time for pods to start, for drains and for reading evidence.
const EVIDENCE_SECS: u64 = 180;
/// And a second more for so many payments.
const PAYMENTS_READ_PER_SEC: u64 = 20_000;

/// The Job; `lab` names the pods that its evidence will be about.
pub(crate) fn job(run: &Run, settings: &Settings, owner: &OwnerReference, lab: &str) -> Job {
    let workers = run.spec.client.workers;
    let needs =
        Needs { arguments: arguments(run), volume: Some(file(run)), restart_policy: Some("Never"), ..Needs::default() };
    Job {
        metadata: ObjectMeta {
            annotations: Some([(names::LAB_ANNOTATION.to_owned(), lab.to_owned())].into()),
            ..part_meta(run, Part::LoadJob, owner)
        },
        spec: Some(JobSpec {
            completion_mode: Some("Indexed".to_owned()),
            completions: Some(workers),
            parallelism: Some(workers),
            backoff_limit_per_index: Some(0),
            active_deadline_seconds: Some(deadline_secs(run)),
            template: template(run, settings, Part::LoadJob, needs),
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn arguments(run: &Run) -> Vec<String> {
    let proxy = names::part(&run.name, Part::ResetProxy);
    let service = match run.plan.service.replicas {
        1 => names::part(&run.name, Part::PaymentService),
        _ => names::replicas(&run.name),
    };
    let options = [
        ("--run-id", run.id.to_string()),
        ("--seed", run.plan.seed().to_string()),
        ("--proxy", format!("{proxy}:{PROXY_PORT}")),
        ("--control", format!("{proxy}:{CONTROL_PORT}")),
        ("--service", format!("{service}:{SERVICE_PORT}")),
        ("--patience", PATIENCE.to_owned()),
    ];
    let options = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
    [format!("{PLAN_DIRECTORY}/{FILE}")].into_iter().chain(options).collect()
}

fn file(run: &Run) -> (Volume, VolumeMount) {
    let source = ConfigMapVolumeSource { name: names::plan(&run.name), ..ConfigMapVolumeSource::default() };
    let volume = Volume { name: "experiment".to_owned(), config_map: Some(source), ..Volume::default() };
    let mount = VolumeMount {
        name: "experiment".to_owned(),
        mount_path: PLAN_DIRECTORY.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}

/// When a load that hangs is ended from outside.
fn deadline_secs(run: &Run) -> i64 {
    let secs = run.plan.deadline.as_secs() + EVIDENCE_SECS + run.plan.count / PAYMENTS_READ_PER_SEC;
    i64::try_from(secs).unwrap_or(i64::MAX)
}
