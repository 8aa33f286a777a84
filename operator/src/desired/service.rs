//! The payment service: as many pods as the experiment asks for, with one shared ledger.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{EnvVar, Service, ServicePort, ServiceSpec},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use paylab_part::contract::{READY_PATH, SERVICE_PORT};
use serde_json::Value;

use super::{
    deployment,
    metadata::part_meta,
    pod::{PodOptions, directory, secret_variable, started, template, variable},
    settings::Settings,
    supervisor,
};
use crate::{
    names::{self, Part},
    planned::PlannedExperiment,
};

/// The directory of a ledger in SQLite.
const LEDGER_DIRECTORY: &str = "/ledger";

/// The Deployment.
pub(super) fn deployment(experiment: &PlannedExperiment, settings: &Settings, owner: &OwnerReference) -> Deployment {
    let has_own_ledger = experiment.spec.service.database.is_none();
    let supervised = supervisor::is_needed(experiment);
    let options = PodOptions {
        environment: [database(experiment), behaviour(experiment), token(experiment)].concat(),
        is_supervised_at: supervised.then_some(SERVICE_PORT),
        volume: has_own_ledger.then(|| directory("ledger", LEDGER_DIRECTORY)),
        probe: Some(started(READY_PATH, SERVICE_PORT)),
        ..PodOptions::default()
    };
    let pod = template(experiment, settings, Part::PaymentService, options);
    deployment::of_part(experiment, Part::PaymentService, experiment.spec.service.replicas, pod, owner)
}

/// The Service for payments; for several pods also a headless one that resolves to each of them, so that all can be drained.
pub(super) fn services(experiment: &PlannedExperiment, owner: &OwnerReference) -> Vec<Service> {
    let balanced = named(experiment, part_meta(experiment, Part::PaymentService, owner), None);
    let headless = (experiment.spec.service.replicas > 1).then(|| {
        let meta = part_meta(experiment, Part::PaymentService, owner);
        named(experiment, ObjectMeta { name: Some(names::replicas(&experiment.name)), ..meta }, Some("None"))
    });
    [balanced].into_iter().chain(headless).collect()
}

fn named(experiment: &PlannedExperiment, metadata: ObjectMeta, cluster_ip: Option<&str>) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: cluster_ip.map(str::to_owned),
            selector: Some(names::part_labels(&experiment.name, experiment.id.as_str(), Part::PaymentService)),
            ports: Some(ports(experiment)),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn ports(experiment: &PlannedExperiment) -> Vec<ServicePort> {
    let orders = supervisor::is_needed(experiment).then(supervisor::service_port);
    [port("http", SERVICE_PORT)].into_iter().chain(orders).collect()
}

/// The token of orders, where the service is supervised.
fn token(experiment: &PlannedExperiment) -> Vec<EnvVar> {
    supervisor::is_needed(experiment).then(|| supervisor::token(experiment)).into_iter().collect()
}

/// A port with the same number in the Service and in the pod.
pub(super) fn port(name: &str, port: u16) -> ServicePort {
    ServicePort { name: Some(name.to_owned()), port: port.into(), ..ServicePort::default() }
}

/// Where the ledger is.
fn database(experiment: &PlannedExperiment) -> Vec<EnvVar> {
    match &experiment.spec.service.database {
        None => vec![variable("PAYLAB_DATABASE", &format!("sqlite:{LEDGER_DIRECTORY}/ledger.db"))],
        Some(database) => {
            let url = secret_variable("PAYLAB_DATABASE", &database.secret_key_ref);
            vec![url, variable("PAYLAB_SCHEMA", &experiment.id.schema())]
        }
    }
}

/// How the service treats repeats, as the spec says.
fn behaviour(experiment: &PlannedExperiment) -> Vec<EnvVar> {
    let service = &experiment.spec.service;
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let mut variables = vec![
        variable("PAYLAB_DEDUP", &text(serde_json::json!(service.dedup))),
        variable("PAYLAB_ON_DISCONNECT", &text(serde_json::json!(service.on_disconnect))),
        variable("PAYLAB_PROCESSING_TIME", &service.processing_time.to_string()),
        variable("PAYLAB_MISSING_KEY", &text(serde_json::json!(service.missing_key))),
    ];
    if let Some(fail_after) = service.fail_after {
        variables.push(variable("PAYLAB_FAIL_AFTER", &fail_after.to_string()));
        variables.push(variable("PAYLAB_SEED", &experiment.plan.seed().to_string()));
    }
    variables.extend(service.key_ttl.map(|ttl| variable("PAYLAB_KEY_TTL", &ttl.to_string())));
    variables
}
