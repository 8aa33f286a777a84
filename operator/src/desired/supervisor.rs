//! The supervisor of a service that faults kill: the first process of the service's container, which needs no right of the cluster.

use k8s_openapi::api::core::v1::{Container, EnvVar, ServicePort, Volume, VolumeMount};
use paylab_part::supervision::{SUPERVISOR_PORT, TOKEN_ENV};

use super::{
    pod::{directory, restricted_container, variable},
    service::port,
    settings::Settings,
};
use crate::planned::PlannedExperiment;

/// The program in Paylab's own image.
const PROGRAM: &str = "/paylab";
/// Where the program is put in the pod of another image.
const DIRECTORY: &str = "/paylab-supervisor";

/// Whether a fault of the experiment kills its service.
pub(super) fn is_needed(experiment: &PlannedExperiment) -> bool {
    experiment.plan.kills().next().is_some()
}

/// The arguments after `paylab` that start a command under the supervisor.
pub(super) fn arguments(serves: i32, command: impl IntoIterator<Item = String>) -> Vec<String> {
    let own =
        ["supervise".to_owned(), format!("--listen=0.0.0.0:{SUPERVISOR_PORT}"), format!("--serves=127.0.0.1:{serves}")];
    own.into_iter().chain(["--".to_owned()]).chain(command).collect()
}

/// The command of Paylab's own service in its own image.
pub(super) fn own_command(arguments: Vec<String>) -> impl Iterator<Item = String> {
    [PROGRAM.to_owned()].into_iter().chain(arguments)
}

/// The token of the run's orders. Whoever can read the experiment can read it; the network policy lets only the proxy give orders.
pub(super) fn token(experiment: &PlannedExperiment) -> EnvVar {
    variable(TOKEN_ENV, experiment.id.as_str())
}

/// The port for orders.
pub(super) fn service_port() -> ServicePort {
    port("supervisor", SUPERVISOR_PORT)
}

/// The program as a command of another image's container.
pub(super) fn program() -> String {
    format!("{DIRECTORY}{PROGRAM}")
}

/// The directory through which the program comes into another image's container.
pub(super) fn volume() -> (Volume, VolumeMount) {
    directory("paylab-supervisor", DIRECTORY)
}

/// Copies the program there before that container starts.
pub(super) fn installer(settings: &Settings) -> Container {
    Container {
        name: "paylab-supervisor".to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.pull_policy.clone()),
        args: Some(vec!["supervise".to_owned(), format!("--install={}", program())]),
        resources: Some(settings.resources.clone()),
        security_context: Some(restricted_container()),
        volume_mounts: Some(vec![volume().1]),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}
