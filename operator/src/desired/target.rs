//! The user's own service: its pod, if the operator deploys it, and the secrets of its contract.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{
            Container, ContainerPort, EnvVar, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec,
            PodTemplateSpec, Probe, ResourceRequirements, Service, ServicePort, ServiceSpec, TCPSocketAction,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use paylab_contract::spec::{EnvSpec, ImageSpec, QuantityText, ResourcesSpec};
use serde_json::json;

use super::{
    deployment,
    metadata::part_meta,
    pod::{pull_secrets, restricted_container, restricted_pod, secret_variable, start_probe, variable},
    settings::Settings,
    supervisor,
};
use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// The variable with the port on which the service is expected, as with `paylab run --target-command`.
const PORT: &str = "PORT";
/// What the names of variables with secrets begin with.
const SECRET_PREFIX: &str = "PAYLAB_SECRET_";

/// `HOST:PORT` of the service that is deployed.
pub(super) fn address(experiment: &PlannedExperiment, image: &ImageSpec) -> String {
    format!("{}:{}", names::part(&experiment.name, Part::Target), image.port)
}

/// The secrets of the contract, as variables of the load. The kubelet alone reads their values.
pub(super) fn secrets(experiment: &PlannedExperiment) -> Vec<EnvVar> {
    let secrets = experiment.spec.target.iter().flat_map(|target| &target.secrets);
    let variable = |name: &str| format!("{SECRET_PREFIX}{}", name.to_uppercase());
    secrets.map(|secret| secret_variable(&variable(&secret.name), &secret.secret_key_ref)).collect()
}

/// The Deployment, with one pod, because only the user knows whether several share their books.
pub(super) fn deployment(
    experiment: &PlannedExperiment,
    image: &ImageSpec,
    settings: &Settings,
    owner: &OwnerReference,
) -> Deployment {
    deployment::of_part(experiment, Part::Target, 1, pod(experiment, image, settings), owner)
}

/// The Service through which proxy and load reach the pod.
pub(super) fn service(experiment: &PlannedExperiment, image: &ImageSpec, owner: &OwnerReference) -> Service {
    let port = ServicePort { name: Some("http".to_owned()), port: image.port, ..ServicePort::default() };
    let orders = supervisor::is_needed(experiment).then(supervisor::service_port);
    Service {
        metadata: part_meta(experiment, Part::Target, owner),
        spec: Some(ServiceSpec {
            selector: Some(names::part_labels(&experiment.name, experiment.id.as_str(), Part::Target)),
            ports: Some([port].into_iter().chain(orders).collect()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn pod(experiment: &PlannedExperiment, image: &ImageSpec, settings: &Settings) -> PodTemplateSpec {
    let labels = names::part_labels(&experiment.name, experiment.id.as_str(), Part::Target);
    let run_as_user = image.security_context.as_ref().and_then(|context| context.run_as_user);
    let named = image.image_pull_secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() });
    let pull_secrets: Vec<_> = pull_secrets(settings).into_iter().flatten().chain(named).collect();
    let supervised = supervisor::is_needed(experiment);
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            init_containers: supervised.then(|| vec![supervisor::installer(settings)]),
            containers: vec![if supervised { supervised_container(experiment, image) } else { container(image) }],
            volumes: supervised.then(|| vec![supervisor::volume().0]),
            image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
            security_context: Some(PodSecurityContext { run_as_user, ..restricted_pod() }),
            ..PodSpec::default()
        }),
    }
}

fn container(image: &ImageSpec) -> Container {
    let list = |texts: &Vec<String>| (!texts.is_empty()).then(|| texts.clone());
    Container {
        name: Part::Target.name().to_owned(),
        image: Some(image.image.clone()),
        image_pull_policy: image.image_pull_policy.and_then(|policy| Some(json!(policy).as_str()?.to_owned())),
        command: list(&image.command),
        args: list(&image.args),
        env: Some(environment(image)),
        ports: Some(vec![ContainerPort { container_port: image.port, ..ContainerPort::default() }]),
        resources: image.resources.as_ref().map(resources),
        security_context: Some(restricted_container()),
        startup_probe: Some(probe(image)),
        termination_message_policy: last_words(image).map(str::to_owned),
        ..Container::default()
    }
}

/// The same container, whose command is started by the supervisor.
fn supervised_container(experiment: &PlannedExperiment, image: &ImageSpec) -> Container {
    let command = image.command.iter().chain(&image.args).cloned();
    let container = container(image);
    Container {
        command: Some(vec![supervisor::program()]),
        args: Some(supervisor::arguments(image.port, command)),
        env: Some(container.env.into_iter().flatten().chain([supervisor::token(experiment)]).collect()),
        volume_mounts: Some(vec![supervisor::volume().1]),
        ..container
    }
}

/// If the container ends, the status shows the end of its log as the reason; but not if it knows secrets, which it may have logged.
fn last_words(image: &ImageSpec) -> Option<&'static str> {
    let knows_secrets = image.env.iter().any(|variable| variable.value_from.is_some());
    (!knows_secrets).then_some("FallbackToLogsOnError")
}

/// The variables, with the port first, so that the user's own setting of it counts.
fn environment(image: &ImageSpec) -> Vec<EnvVar> {
    let own = image.env.iter().map(|EnvSpec { name, value, value_from }| match value_from {
        Some(from) => secret_variable(name, &from.secret_key_ref),
        None => variable(name, value.as_deref().unwrap_or_default()),
    });
    let has_port = image.env.iter().any(|variable| variable.name == PORT);
    let port = (!has_port).then(|| variable(PORT, &image.port.to_string()));
    port.into_iter().chain(own).collect()
}

/// A probe for the start only: of the path that says when the service is ready, or else of its port.
fn probe(image: &ImageSpec) -> Probe {
    let port = IntOrString::Int(image.port);
    match &image.ready_path {
        Some(path) => {
            let get = HTTPGetAction { path: Some(path.clone()), port, ..HTTPGetAction::default() };
            Probe { http_get: Some(get), ..start_probe() }
        }
        None => Probe { tcp_socket: Some(TCPSocketAction { port, host: None }), ..start_probe() },
    }
}

fn resources(resources: &ResourcesSpec) -> ResourceRequirements {
    let quantities = |of: &BTreeMap<String, QuantityText>| {
        let quantities = of.iter().map(|(name, quantity)| (name.clone(), Quantity(quantity.text())));
        (!of.is_empty()).then(|| quantities.collect())
    };
    let ResourcesSpec { requests, limits } = resources;
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        ..ResourceRequirements::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn image(changes: &Value) -> ImageSpec {
        let mut image = json!({"image": "shop:1", "port": 9000});
        for (field, value) in changes.as_object().unwrap() {
            image[field] = value.clone();
        }
        serde_json::from_value(image).unwrap()
    }

    #[test]
    fn a_container_that_knows_secrets_has_no_last_words() {
        let words = |env: Value| container(&image(&json!({"env": env}))).termination_message_policy;
        assert_eq!(words(json!([{"name": "A", "value": "b"}])).as_deref(), Some("FallbackToLogsOnError"));
        let secret = json!({"secretKeyRef": {"name": "api", "key": "token"}});
        assert_eq!(words(json!([{"name": "A", "value": "b"}, {"name": "TOKEN", "valueFrom": secret}])), None);
    }

    #[test]
    fn the_port_is_in_the_environment_unless_the_user_sets_it() {
        let port = |env: Value| {
            let variables = environment(&image(&json!({"env": env})));
            let ports = variables.into_iter().filter(|variable| variable.name == PORT);
            ports.map(|variable| variable.value.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(port(json!([])), ["9000"]);
        assert_eq!(port(json!([{"name": "PORT", "value": "80"}])), ["80"]);
    }

    #[test]
    fn a_service_without_a_ready_path_is_ready_when_its_port_accepts() {
        let with_path = probe(&image(&json!({"readyPath": "/ready"})));
        assert_eq!(with_path.http_get.unwrap().path.as_deref(), Some("/ready"));
        assert_eq!(probe(&image(&json!({}))).tcp_socket.unwrap().port, IntOrString::Int(9000));
    }
}
