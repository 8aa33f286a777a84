//! The payment service: as many pods as the experiment says, on a ledger that they share.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{EnvVar, EnvVarSource, SecretKeySelector, Service, ServicePort, ServiceSpec},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use paylab_experiment::contract::SERVICE_PORT;
use serde_json::Value;

use super::{
    Settings, deployment, part_meta,
    pod::{Needs, directory, started, template, variable},
};
use crate::{
    names::{self, Part},
    planned::Run,
};

/// Where a ledger of the pod's own is.
const LEDGER_DIRECTORY: &str = "/ledger";

/// The pods.
pub(super) fn pods(run: &Run, settings: &Settings, owner: &OwnerReference) -> Deployment {
    let own_ledger = run.spec.service.database.is_none();
    let needs = Needs {
        environment: [database(run), behaviour(run)].concat(),
        volume: own_ledger.then(|| directory("ledger", LEDGER_DIRECTORY)),
        probe: Some(started(SERVICE_PORT)),
        ..Needs::default()
    };
    let pod = template(run, settings, Part::PaymentService, needs);
    deployment(run, Part::PaymentService, run.spec.service.replicas, pod, owner)
}

/// The name that payments go to; and, for several pods, one that leads to each of them, so that all can be drained.
pub(super) fn services(run: &Run, owner: &OwnerReference) -> Vec<Service> {
    let balanced = named(run, part_meta(run, Part::PaymentService, owner), None);
    let each = (run.plan.service.replicas > 1).then(|| {
        let meta = part_meta(run, Part::PaymentService, owner);
        named(run, ObjectMeta { name: Some(names::replicas(&run.name)), ..meta }, Some("None"))
    });
    [balanced].into_iter().chain(each).collect()
}

fn named(run: &Run, metadata: ObjectMeta, cluster_ip: Option<&str>) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: cluster_ip.map(str::to_owned),
            selector: Some(names::part_labels(&run.name, run.id.as_str(), Part::PaymentService)),
            ports: Some(vec![port("http", SERVICE_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// A port that has the same number in the Service and in the pod.
pub(super) fn port(name: &str, port: u16) -> ServicePort {
    ServicePort { name: Some(name.to_owned()), port: port.into(), ..ServicePort::default() }
}

fn database(run: &Run) -> Vec<EnvVar> {
    match &run.spec.service.database {
        None => vec![variable("PAYLAB_DATABASE", &format!("sqlite:{LEDGER_DIRECTORY}/ledger.db"))],
        Some(database) => {
            let key = &database.secret_key_ref;
            let secret = SecretKeySelector { name: key.name.clone(), key: key.key.clone(), optional: None };
            let url = EnvVar {
                name: "PAYLAB_DATABASE".to_owned(),
                value_from: Some(EnvVarSource { secret_key_ref: Some(secret), ..EnvVarSource::default() }),
                value: None,
            };
            vec![url, variable("PAYLAB_SCHEMA", &run.id.schema())]
        }
    }
}

/// How it treats repeats, in the words of the spec.
fn behaviour(run: &Run) -> Vec<EnvVar> {
    let service = &run.spec.service;
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let mut variables = vec![
        variable("PAYLAB_DEDUP", &word(serde_json::json!(service.dedup))),
        variable("PAYLAB_ON_DISCONNECT", &word(serde_json::json!(service.on_disconnect))),
        variable("PAYLAB_PROCESSING_TIME", &service.processing_time.to_string()),
        variable("PAYLAB_MISSING_KEY", &word(serde_json::json!(service.missing_key))),
    ];
    variables.extend(service.key_ttl.map(|ttl| variable("PAYLAB_KEY_TTL", &ttl.to_string())));
    variables
}
