//! The Event at the end of an experiment. Its name is made from the run, so a repeated reconcile does not create a second one.

use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource as _, ResourceExt as _, api::PostParams};
use paylab_experiment::{spec::ChaosExperiment, status::ChaosExperimentStatus};

use crate::status::is_verified;

/// The reporting controller of the Event.
const REPORTER: &str = "paylab.dev/operator";
/// The API server refuses longer notes, in bytes.
const NOTE_LEN_MAX: usize = 1024;

/// Creates the Event that says how an experiment ended.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn emit(
    client: &Client,
    resource: &ChaosExperiment,
    status: &ChaosExperimentStatus,
    identity: &str,
) -> kube::Result<()> {
    let namespace = resource.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(client.clone(), &namespace);
    match events.create(&PostParams::default(), &event(resource, status, identity)).await {
        // The Event exists already, or its namespace is being deleted.
        Err(kube::Error::Api(refusal)) if refusal.is_already_exists() || refusal.is_forbidden() => Ok(()),
        created => created.map(|_| ()),
    }
}

fn event(resource: &ChaosExperiment, status: &ChaosExperimentStatus, identity: &str) -> Event {
    let note = status.message.clone().unwrap_or_default();
    let end = note.floor_char_boundary(NOTE_LEN_MAX);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", resource.name_any(), resource.uid().unwrap_or_default())),
            namespace: resource.namespace(),
            ..ObjectMeta::default()
        },
        action: Some("Judge".to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: Some(note[..end].to_owned()),
        reason: Some(status.verdict.map_or_else(|| "Failed".to_owned(), |verdict| format!("{verdict:?}"))),
        regarding: Some(resource.object_ref(&())),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(identity.to_owned()),
        type_: Some(if is_verified(status) { "Normal" } else { "Warning" }.to_owned()),
        ..Event::default()
    }
}
