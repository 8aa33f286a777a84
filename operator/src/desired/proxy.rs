//! The reset proxy, which every payment passes through. The load tells it the faults.

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::EnvVar},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use paylab_part::{
    contract::{CONTROL_PORT, HEALTH_PATH, PROXY_PORT, READY_PATH, SERVICE_PORT},
    listen::everywhere,
    supervision::SUPERVISOR_PORT,
};

use super::{
    deployment,
    pod::{PodOptions, directory, started, template, variable},
    settings::Settings,
    supervisor, target,
};
use crate::{
    names::{self, Part},
    planned::{Paid, PlannedExperiment},
};

/// The proxy writes its record to a temporary file here.
const RECORD_DIRECTORY: &str = "/tmp";
/// The most connections that the proxy can be told to allow.
const CONNECTIONS_MAX: u32 = 1_048_576;
/// Connections beyond those of the load: probes, and connections that are being closed.
const CONNECTIONS_SPARE: u32 = 256;

/// The Deployment, with one pod, because there must be one record.
pub(super) fn deployment(experiment: &PlannedExperiment, settings: &Settings, owner: &OwnerReference) -> Deployment {
    let mut arguments = vec![
        "--listen".to_owned(),
        everywhere(PROXY_PORT).to_string(),
        "--control".to_owned(),
        everywhere(CONTROL_PORT).to_string(),
        "--upstream".to_owned(),
        upstream(experiment),
        "--connections-max".to_owned(),
        connections(experiment).to_string(),
    ];
    arguments.extend(upstream_tls(experiment));
    let environment = orders(experiment);
    let options = PodOptions {
        arguments,
        environment,
        volume: Some(directory("record", RECORD_DIRECTORY)),
        probe: Some(started(awaited_path(experiment), CONTROL_PORT)),
        ..PodOptions::default()
    };
    deployment::of_part(
        experiment,
        Part::ResetProxy,
        1,
        template(experiment, settings, Part::ResetProxy, options),
        owner,
    )
}

/// Where the proxy orders that the service dies, if a fault can order that.
fn orders(experiment: &PlannedExperiment) -> Vec<EnvVar> {
    let part = match experiment.paid() {
        Paid::Ours => Part::PaymentService,
        Paid::Image(_) => Part::Target,
        Paid::Service(_) | Paid::Elsewhere(_) => return Vec::new(),
    };
    if !supervisor::is_needed(experiment) {
        return Vec::new();
    }
    let address = format!("{}:{SUPERVISOR_PORT}", names::part(&experiment.name, part));
    vec![variable("PAYLAB_SUPERVISOR", &address), supervisor::token(experiment)]
}

/// The service, as `HOST:PORT`.
fn upstream(experiment: &PlannedExperiment) -> String {
    match experiment.paid() {
        Paid::Ours => format!("{}:{SERVICE_PORT}", names::part(&experiment.name, Part::PaymentService)),
        Paid::Image(image) => target::address(experiment, image),
        Paid::Service(service) => format!("{}:{}", service.name, service.port),
        Paid::Elsewhere(address) => address.to_owned(),
    }
}

/// The proxy is ready when it can reach the service. One outside of the cluster is not waited for: the load reaches it or says at once why
/// it cannot, while a proxy that is not ready could not tell a wrong name from one that appears in a moment.
fn awaited_path(experiment: &PlannedExperiment) -> &'static str {
    match experiment.paid() {
        Paid::Ours | Paid::Image(_) | Paid::Service(_) => READY_PATH,
        Paid::Elsewhere(_) => HEALTH_PATH,
    }
}

/// How the proxy knows a service that speaks TLS; nothing for any other.
fn upstream_tls(experiment: &PlannedExperiment) -> Vec<String> {
    let Some(tls) = experiment.contract.as_ref().and_then(|contract| contract.origin.tls.as_ref()) else {
        return Vec::new();
    };
    let ca = tls.ca.iter().flat_map(|pem| ["--upstream-ca".to_owned(), pem.clone()]);
    ["--upstream-tls-name".to_owned(), tls.name.clone()].into_iter().chain(ca).collect()
}

/// The proxy's limit of connections, which is more than the load can have in flight.
fn connections(experiment: &PlannedExperiment) -> u32 {
    let client = &experiment.plan.client;
    let in_flight = u32::try_from(client.concurrency).unwrap_or(CONNECTIONS_MAX);
    let all = in_flight.saturating_mul(client.workers).saturating_mul(client.hedge);
    all.saturating_add(CONNECTIONS_SPARE).min(CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::planned;

    #[test]
    fn the_proxy_knows_whom_to_trust_where_the_service_speaks_tls() {
        let tls_of = |place: &Value| {
            let mut target = json!({
                "pay": {"post": "/p", "text": "{reference}"},
                "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
            });
            for (field, value) in place.as_object().unwrap() {
                target[field] = value.clone();
            }
            upstream_tls(&planned(&json!({"target": target})))
        };
        assert!(tls_of(&json!({"url": "http://shop.example"})).is_empty());
        assert_eq!(tls_of(&json!({"url": "https://shop.example"})), ["--upstream-tls-name", "shop.example"]);
        assert!(tls_of(&json!({"service": {"name": "shop", "port": 443}})).is_empty());
    }

    #[test]
    fn a_service_outside_of_the_cluster_is_not_waited_for() {
        let awaited = |target: &Value| awaited_path(&planned(&json!({"target": target})));
        let mut target = json!({
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
            "url": "http://shop.example",
        });
        assert_eq!(awaited(&target), HEALTH_PATH);
        target.as_object_mut().unwrap().remove("url");
        target["service"] = json!({"name": "shop", "port": 80});
        assert_eq!(awaited(&target), READY_PATH);
        assert_eq!(awaited_path(&planned(&json!({}))), READY_PATH);
    }

    #[test]
    fn the_proxy_allows_all_connections_that_the_load_can_have_in_flight() {
        let allowed = |workers: u32, concurrency: u32, hedge: u32| {
            let client = json!({"workers": workers, "concurrency": concurrency, "hedge": hedge});
            connections(&planned(&json!({"client": client})))
        };
        assert_eq!(allowed(1, 8, 1), 8 + CONNECTIONS_SPARE);
        assert_eq!(allowed(3, 1024, 2), 6144 + CONNECTIONS_SPARE);
        assert_eq!(allowed(64, 1024, 8), 524_288 + CONNECTIONS_SPARE);
    }
}
