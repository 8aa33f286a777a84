//! What every pod of a lab has in common: one image, no rights, no token, nothing that can be written but what is mounted.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, EnvVar, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec,
        PodTemplateSpec, Probe, SeccompProfile, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use paylab_experiment::contract::READY_PATH;

use super::Settings;
use crate::{
    names::{self, Part},
    planned::Run,
};

/// The image's own user.
const USER: i64 = 65_532;
/// A part that has not started after so many probes, one a second, is started anew.
const START_PROBES_MAX: i32 = 600;
/// How long one probe may take, in seconds.
const PROBE_TIMEOUT_SECS: i32 = 5;

/// What one part's pod has of its own.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Behind the part's command.
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<EnvVar>,
    pub(super) volume: Option<(Volume, VolumeMount)>,
    pub(super) probe: Option<Probe>,
    pub(super) restart_policy: Option<&'static str>,
}

/// The pod of a part.
pub(super) fn template(run: &Run, settings: &Settings, part: Part, needs: Needs) -> PodTemplateSpec {
    let Needs { arguments, environment, volume, probe, restart_policy } = needs;
    let (volume, mount) = volume.unzip();
    let container = Container {
        name: part.name().to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.pull_policy.clone()),
        args: Some([vec![part.name().to_owned()], arguments].concat()),
        env: Some([vec![variable("PAYLAB_LOG_FORMAT", "json")], environment].concat()),
        resources: Some(settings.resources.clone()),
        security_context: Some(container_security()),
        startup_probe: probe,
        // What a part says when it dies without a report is the reason that the status shows.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: mount.map(|mount| vec![mount]),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(names::part_labels(&run.name, run.id.as_str(), part)),
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

/// A variable of the environment.
pub(super) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// An empty directory of the pod's own.
pub(super) fn directory(name: &str, path: &str) -> (Volume, VolumeMount) {
    let volume = Volume { name: name.to_owned(), empty_dir: Some(Default::default()), ..Volume::default() };
    let mount = VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() };
    (volume, mount)
}

/// Ready means: it has started. A part is not taken out of its Service once it serves, because a slow answer to a probe in
/// the midst of a load would be a fault that no coin ordered.
pub(super) fn started(port: u16) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(READY_PATH.to_owned()),
            port: IntOrString::Int(port.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(1),
        timeout_seconds: Some(PROBE_TIMEOUT_SECS),
        failure_threshold: Some(START_PROBES_MAX),
        ..Probe::default()
    }
}

fn pull_secrets(settings: &Settings) -> Option<Vec<LocalObjectReference>> {
    let names: Vec<_> = settings.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    (!names.is_empty()).then_some(names)
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}
