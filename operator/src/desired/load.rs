//! The load: an indexed Job with one pod for each worker. Only Paylab's client may retry, so no pod is started twice.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{ConfigMapVolumeSource, EnvVar, Volume, VolumeMount},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use paylab_core::plan::Plan;
use paylab_part::contract::{CONTROL_PORT, EVIDENCE_BYTES_ENV, PROXY_PORT, SERVICE_PORT};

use super::{
    evidence::share_len_max,
    memory::load_resources,
    metadata::part_meta,
    plan::FILE,
    pod::{PodOptions, template, variable},
    settings::Settings,
    target,
};
use crate::{
    names::{self, Part},
    planned::{Paid, PlannedExperiment},
};

/// The directory of the experiment's file in the pod.
const PLAN_DIRECTORY: &str = "/experiment";
/// The load writes its report and does not conclude from it: one worker knows only its share, and the operator concludes from all.
const REPORT_ONLY: &str = "--report-only";
/// How long the load tries to reach its peers: on a large cluster, or with network policies, a new Service takes a while to
/// work.
const PATIENCE: &str = "60s";
/// The time after the load's own deadline for starting pods and gathering evidence, where nothing is slow.
const EVIDENCE_TIME: Duration = Duration::from_secs(180);
/// How often the evidence may be asked for: the proxy and the service are drained, and once more if that fails.
const DRAINS: u32 = 3;
/// How often the ledger of the user's own service may have to settle: for the two payments that prove its contract, after the load, and
/// for the payment after it.
const SETTLINGS: u32 = 4;
/// One more second is allowed for this many payments.
const PAYMENTS_READ_PER_SEC: u64 = 20_000;
/// The longest deadline of a Job, in seconds. Kubernetes counts in nanoseconds, and a larger number overflows.
const DEADLINE_SECS_MAX: u64 = 2_147_483_647;

/// The Job; `lab` is the fingerprint of the lab that its evidence will be about, and `proxy` the address of the reset proxy's pod. It needs no
/// Service: there is one such pod, and if another takes its place, the evidence is void.
pub(crate) fn job(
    experiment: &PlannedExperiment,
    settings: &Settings,
    owner: &OwnerReference,
    lab: &str,
    proxy: IpAddr,
) -> Job {
    let workers = experiment.spec.client.workers;
    let options = PodOptions {
        arguments: arguments(experiment, proxy),
        environment: [target::secrets(experiment), vec![evidence_len_max(experiment)]].concat(),
        volume: Some(file(experiment)),
        restart_policy: Some("Never"),
        resources: Some(load_resources(&experiment.plan, settings.parts.resources(Part::LoadJob))),
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
            // A pod that is being deleted may still send, so no other pod may take its place before it has ended.
            pod_replacement_policy: Some("Failed".to_owned()),
            active_deadline_seconds: Some(deadline_secs(experiment)),
            template: template(experiment, settings, Part::LoadJob, options),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// How much evidence the pod may log, which the operator keeps.
fn evidence_len_max(experiment: &PlannedExperiment) -> EnvVar {
    variable(EVIDENCE_BYTES_ENV, &share_len_max(experiment).to_string())
}

fn arguments(experiment: &PlannedExperiment, proxy: IpAddr) -> Vec<String> {
    let at = |port| SocketAddr::new(proxy, port).to_string();
    let options = [
        ("--run-id", experiment.id.to_string()),
        ("--seed", experiment.plan.seed().to_string()),
        ("--proxy", at(PROXY_PORT)),
        ("--control", at(CONTROL_PORT)),
    ];
    let patience = [("--patience", PATIENCE.to_owned())];
    let options = options
        .into_iter()
        .chain(paid(experiment))
        .chain(patience)
        .flat_map(|(option, value)| [option.to_owned(), value]);
    [format!("{PLAN_DIRECTORY}/{FILE}")].into_iter().chain(options).chain([REPORT_ONLY.to_owned()]).collect()
}

/// Where the service is, unless the experiment's file says so.
fn paid(experiment: &PlannedExperiment) -> Option<(&'static str, String)> {
    match experiment.paid() {
        Paid::Ours => {
            let service = match experiment.spec.service.replicas {
                1 => names::part(&experiment.name, Part::PaymentService),
                _ => names::replicas(&experiment.name),
            };
            Some(("--service", format!("{service}:{SERVICE_PORT}")))
        }
        Paid::Image(image) => Some(("--target", format!("http://{}", target::address(experiment, image)))),
        Paid::Service(service) => Some(("--target", format!("http://{}:{}", service.name, service.port))),
        Paid::Elsewhere(_) => None,
    }
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
    let time = evidence_time(&experiment.plan).saturating_add(settling_time(experiment));
    let secs = experiment.plan.deadline.saturating_add(time).as_secs().min(DEADLINE_SECS_MAX);
    i64::try_from(secs).unwrap_or(i64::MAX)
}

/// How long the ledger of the user's own service may take to settle, in all.
fn settling_time(experiment: &PlannedExperiment) -> Duration {
    let within = experiment.contract.as_ref().map_or(Duration::ZERO, |contract| contract.settle.within.duration());
    within.saturating_mul(SETTLINGS)
}

/// How long a load may take after its own deadline: until its pods have started, nothing is in flight any more and the evidence has
/// been read.
fn evidence_time(plan: &Plan) -> Duration {
    let read = Duration::from_secs(plan.count / PAYMENTS_READ_PER_SEC);
    EVIDENCE_TIME.saturating_add(plan.slowest_request().saturating_mul(DRAINS)).saturating_add(read)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{PROXY, planned};

    #[test]
    fn the_proxy_is_reached_by_the_address_of_its_pod_whatever_its_family() {
        let of = |proxy: IpAddr| {
            let arguments = arguments(&planned(&json!({})), proxy);
            let after = |option: &str| arguments.iter().skip_while(|one| *one != option).nth(1).unwrap().clone();
            [after("--proxy"), after("--control")]
        };
        assert_eq!(of(PROXY), ["10.244.0.7:8888", "10.244.0.7:8474"]);
        assert_eq!(of("fd00::7".parse().unwrap()), ["[fd00::7]:8888", "[fd00::7]:8474"]);
    }

    #[test]
    fn a_slow_service_and_many_payments_give_the_evidence_more_time() {
        let secs = |spec: &Value| evidence_time(&planned(spec).plan).as_secs();
        assert_eq!(secs(&json!({})), 180 + 3 * 5);
        assert_eq!(secs(&json!({"payments": {"count": 100_000_000}})), 180 + 3 * 5 + 5000);
        let client = json!({"workers": 2, "concurrency": 50, "hedge": 2, "retry": {"attemptTimeout": "7s"}});
        assert_eq!(secs(&json!({"client": client, "service": {"processingTime": "1s"}})), 180 + 3 * (7 + 200));
        let delay = json!([{"name": "slow", "probability": 0.5, "delay": {"at": "BeforeResponse", "for": "20s"}}]);
        assert_eq!(secs(&json!({"faults": delay})), 180 + 3 * (20 + 5));
    }

    #[test]
    fn no_deadline_is_longer_than_kubernetes_can_count() {
        let of = |spec: &Value| deadline_secs(&planned(spec));
        assert_eq!(of(&json!({"activeDeadline": "10m"})), 600 + 195);
        assert_eq!(of(&json!({"activeDeadline": "99999999h"})), 2_147_483_647);
    }
}
