//! What all pods of a lab have in common: one image, no privileges, no token, a read-only file system but for mounted volumes.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, EnvVar, EnvVarSource, HTTPGetAction, LocalObjectReference, PodSecurityContext,
        PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecretKeySelector, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use paylab_contract::spec::SecretKeyRef;

use super::{settings::Settings, supervisor};
use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// The user of the image.
const USER: i64 = 65_532;
/// Kubernetes restarts a part that is not ready after this many probes, one per second.
const START_PROBES_MAX: i32 = 600;
/// How long one probe may take, in seconds.
const PROBE_TIMEOUT_SECS: i32 = 5;

/// What differs between the pods of the parts.
#[derive(Debug, Default)]
pub(super) struct PodOptions {
    /// Arguments after the part's subcommand.
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<EnvVar>,
    pub(super) volume: Option<(Volume, VolumeMount)>,
    pub(super) probe: Option<Probe>,
    pub(super) restart_policy: Option<&'static str>,
    /// The port at which the part serves, if a supervisor starts it.
    pub(super) is_supervised_at: Option<u16>,
}

/// The pod of a part.
pub(super) fn template(
    experiment: &PlannedExperiment,
    settings: &Settings,
    part: Part,
    options: PodOptions,
) -> PodTemplateSpec {
    let PodOptions { arguments, environment, volume, probe, restart_policy, is_supervised_at } = options;
    let arguments = [vec![part.name().to_owned()], arguments].concat();
    let arguments = match is_supervised_at {
        None => arguments,
        Some(port) => supervisor::arguments(port.into(), supervisor::own_command(arguments)),
    };
    let (volume, mount) = volume.unzip();
    let container = Container {
        name: part.name().to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.pull_policy.clone()),
        args: Some(arguments),
        env: Some([vec![variable("PAYLAB_LOG_FORMAT", "json")], environment].concat()),
        resources: Some(settings.resources.clone()),
        security_context: Some(container_security()),
        startup_probe: probe,
        // If a part ends without a report, the status shows the end of its log as the reason.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: mount.map(|mount| vec![mount]),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(names::part_labels(&experiment.name, experiment.id.as_str(), part)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            containers: vec![container],
            image_pull_secrets: pull_secrets(settings),
            restart_policy: restart_policy.map(str::to_owned),
            security_context: Some(pod_security()),
            volumes: volume.map(|volume| vec![volume]),
            ..PodSpec::default()
        }),
    }
}

/// An environment variable.
pub(super) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// An environment variable with the value of a Secret.
pub(super) fn secret_variable(name: &str, key: &SecretKeyRef) -> EnvVar {
    let secret = SecretKeySelector { name: key.name.clone(), key: key.key.clone(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(secret), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value_from: Some(source), value: None }
}

/// An empty directory that only this pod sees.
pub(super) fn directory(name: &str, path: &str) -> (Volume, VolumeMount) {
    let volume = Volume { name: name.to_owned(), empty_dir: Some(Default::default()), ..Volume::default() };
    let mount = VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() };
    (volume, mount)
}

/// A probe for the start only, which asks one of the paths of Paylab's parts.
pub(super) fn started(path: &str, port: u16) -> Probe {
    let get =
        HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::Int(port.into()), ..HTTPGetAction::default() };
    Probe { http_get: Some(get), ..start_probe() }
}

/// A probe for the start only, which asks nothing yet. A part that is ready stays in its Service, because to remove it after a slow
/// answer during the load would be a fault that is not in the plan.
pub(super) fn start_probe() -> Probe {
    Probe {
        period_seconds: Some(1),
        timeout_seconds: Some(PROBE_TIMEOUT_SECS),
        failure_threshold: Some(START_PROBES_MAX),
        ..Probe::default()
    }
}

pub(super) fn pull_secrets(settings: &Settings) -> Option<Vec<LocalObjectReference>> {
    let names: Vec<_> = settings.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    (!names.is_empty()).then_some(names)
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext { run_as_user: Some(USER), run_as_group: Some(USER), ..restricted_pod() }
}

fn container_security() -> SecurityContext {
    SecurityContext { read_only_root_filesystem: Some(true), ..restricted_container() }
}

/// What Pod Security `restricted` demands of a pod.
pub(super) fn restricted_pod() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// What Pod Security `restricted` demands of a container.
pub(super) fn restricted_container() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        ..SecurityContext::default()
    }
}
