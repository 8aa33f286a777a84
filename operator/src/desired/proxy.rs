//! The reset proxy, in the path of every payment. It learns the faults from the load.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceSpec},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use paylab_experiment::contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT};

use super::{
    Settings, deployment, part_meta,
    pod::{Needs, directory, started, template},
    service::port,
};
use crate::{
    names::{self, Part},
    planned::Run,
};

/// The record is written to a temporary file.
const RECORD_DIRECTORY: &str = "/tmp";
/// The proxy's own bound.
const CONNECTIONS_MAX: u32 = 65_536;
/// Room for what is not the load's: probes, and connections that are just being closed.
const CONNECTIONS_SPARE: u32 = 256;

/// The pod: one, because the record is the ground truth.
pub(super) fn pods(run: &Run, settings: &Settings, owner: &OwnerReference) -> Deployment {
    let upstream = format!("{}:{SERVICE_PORT}", names::part(&run.name, Part::PaymentService));
    let arguments = [
        "--listen".to_owned(),
        format!("0.0.0.0:{PROXY_PORT}"),
        "--control".to_owned(),
        format!("0.0.0.0:{CONTROL_PORT}"),
        "--upstream".to_owned(),
        upstream,
        "--connections-max".to_owned(),
        connections(run).to_string(),
    ];
    let needs = Needs {
        arguments: arguments.into(),
        volume: Some(directory("record", RECORD_DIRECTORY)),
        probe: Some(started(CONTROL_PORT)),
        ..Needs::default()
    };
    deployment(run, Part::ResetProxy, 1, template(run, settings, Part::ResetProxy, needs), owner)
}

/// The name that the load knows the proxy by.
pub(super) fn service(run: &Run, owner: &OwnerReference) -> Service {
    Service {
        metadata: part_meta(run, Part::ResetProxy, owner),
        spec: Some(ServiceSpec {
            selector: Some(names::part_labels(&run.name, run.id.as_str(), Part::ResetProxy)),
            ports: Some(vec![port("payments", PROXY_PORT), port("control", CONTROL_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// More than the load can have in flight.
fn connections(run: &Run) -> u32 {
    let client = &run.plan.client;
    let in_flight = u32::try_from(client.concurrency).unwrap_or(CONNECTIONS_MAX);
    let all = in_flight.saturating_mul(client.workers).saturating_mul(client.hedge);
    all.saturating_add(CONNECTIONS_SPARE).min(CONNECTIONS_MAX)
}
