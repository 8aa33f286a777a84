//! The Event at the end of an experiment. Its name is made from the run, so a repeated reconcile does not create a second one.

use std::time::Duration;

use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::PostParams};
use paylab_resource::status::ChaosExperimentStatus;
use tokio::time::timeout;
use tracing::warn;

use crate::status::is_verified;

/// The reporting controller of the Event.
const REPORTER: &str = "paylab.dev/operator";
/// The API server refuses longer notes, in bytes.
const NOTE_LEN_MAX: usize = 1024;
/// How long the creation of an Event may take in all.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often its creation is tried. The second time is for a request that was lost on its way.
const TRIES: usize = 2;

/// Creates the Event that says how an experiment ended. An Event is a courtesy: one that cannot be created, because a quota, a webhook
/// or a missing right refuses it, is logged and keeps nobody from writing the verdict.
pub(crate) async fn emit(
    client: &Client,
    resource: &impl Resource<DynamicType = ()>,
    status: &ChaosExperimentStatus,
    identity: &str,
) {
    let namespace = resource.namespace().unwrap_or_default();
    let events = Api::<Event>::namespaced(client.clone(), &namespace);
    let event = event(resource, status, identity);
    let why = match timeout(EVENT_TIMEOUT, create(&events, &event)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the API server has not answered within {} s", EVENT_TIMEOUT.as_secs()),
    };
    warn!(
        namespace,
        name = resource.name_any(),
        error = why,
        "the event about the end of an experiment was not created"
    );
}

/// Creates an Event that does not exist yet.
async fn create(events: &Api<Event>, event: &Event) -> kube::Result<()> {
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = match events.create(&PostParams::default(), event).await {
            // An earlier reconcile, or an earlier try whose answer was lost, has created it.
            Err(kube::Error::Api(refusal)) if refusal.is_already_exists() => Ok(()),
            created => created.map(drop),
        };
        if result.is_ok() {
            break;
        }
    }
    result
}

fn event(resource: &impl Resource<DynamicType = ()>, status: &ChaosExperimentStatus, identity: &str) -> Event {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;
    use crate::fixtures::resource;

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_delays_the_verdict_for_ten_seconds_at_most() {
        let silent = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let begun = Instant::now();
        let status = ChaosExperimentStatus::default();
        emit(&Client::new(silent, "school"), &resource(&json!({})), &status, "operator").await;
        assert!(begun.elapsed() <= EVENT_TIMEOUT + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
