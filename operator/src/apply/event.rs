//! The Events of an experiment: one for each phase that lasts, one for each reason to wait, and one for its end. Their names are made from the run and the reason,
//! so a repeated reconcile does not create a second one.

use std::time::Duration;

use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::PostParams};
use paylab_resource::status::{ChaosExperimentStatus, Phase};
use tokio::time::timeout;
use tracing::warn;

use crate::status::is_verified;

/// The reporting controller of the Event.
const REPORTER: &str = "paylab.dev/operator";
const NORMAL: &str = "Normal";
const WARNING: &str = "Warning";
/// How much of a reason is in the name of an Event, in characters.
const NAME_PART_LEN_MAX: usize = 63;
/// The API server refuses longer notes, in bytes.
const NOTE_LEN_MAX: usize = 1024;
/// How long the creation of an Event may take in all.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often its creation is tried. The second time is for a request that was lost on its way.
const TRIES: usize = 2;

/// Creates the Event that says what is new in a status. An Event is a courtesy: one that cannot be created, because a quota, a webhook
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
    warn!(namespace, name = resource.name_any(), error = why, "an event was not created");
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

/// What an Event says about a status.
#[derive(Debug, Clone, PartialEq, Eq)]
struct News {
    reason: String,
    note: String,
    /// `Normal` or `Warning`.
    concern: &'static str,
}

/// Whether a status says something that an Event should tell: the end, another reason to wait, or a phase that lasts. A phase that nobody had to
/// wait for, and that is over in a moment, is told by the times of the conditions alone.
pub(crate) fn is_news(previous: Option<&ChaosExperimentStatus>, status: &ChaosExperimentStatus) -> bool {
    let was = |phase| previous.and_then(|previous| previous.phase) == Some(phase);
    if status.completion_time.is_some() {
        return previous.is_none_or(|previous| previous.completion_time.is_none());
    }
    match status.phase {
        Some(Phase::Preparing) if !is_problem(status) => was(Phase::Pending),
        Some(Phase::Loading) if !is_problem(status) => {
            status.progress.is_some() && previous.is_none_or(|previous| previous.progress.is_none())
        }
        _ => previous
            .is_none_or(|previous| previous.phase != status.phase || news(previous).reason != news(status).reason),
    }
}

/// Whether something keeps an experiment from going on.
fn is_problem(status: &ChaosExperimentStatus) -> bool {
    status.message.is_some() && status.phase != Some(Phase::Pending)
}

fn news(status: &ChaosExperimentStatus) -> News {
    let message = status.message.clone();
    if status.completion_time.is_some() {
        let reason = status.verdict.map_or_else(|| "Failed".to_owned(), |verdict| format!("{verdict:?}"));
        let concern = if is_verified(status) { NORMAL } else { WARNING };
        return News { reason, note: message.unwrap_or_default(), concern };
    }
    let waits_for = |kind: &str| status.conditions.iter().find(|one| one.type_ == kind && one.status == "False");
    let waits_for = waits_for("EnvironmentReady").or_else(|| waits_for("LoadComplete"));
    let (reason, words) = waits_for.map_or(("Accepted", ""), |one| (one.reason.as_str(), one.message.as_str()));
    News {
        reason: reason.to_owned(),
        note: message.unwrap_or_else(|| words.to_owned()),
        concern: if is_problem(status) { WARNING } else { NORMAL },
    }
}

/// A reason as a part of an object's name.
fn in_name(reason: &str) -> String {
    let kept = reason.chars().filter(char::is_ascii_alphanumeric).take(NAME_PART_LEN_MAX);
    kept.map(|one| one.to_ascii_lowercase()).collect()
}

fn event(resource: &impl Resource<DynamicType = ()>, status: &ChaosExperimentStatus, identity: &str) -> Event {
    let News { reason, note, concern } = news(status);
    let uid = resource.uid().unwrap_or_default();
    let name = match status.completion_time {
        Some(_) => format!("{}.{uid}", resource.name_any()),
        None => format!("{}.{uid}.{}", resource.name_any(), in_name(&reason)),
    };
    let end = note.floor_char_boundary(NOTE_LEN_MAX);
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: resource.namespace(), ..ObjectMeta::default() },
        action: Some(if status.completion_time.is_some() { "Judge" } else { "Reconcile" }.to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: Some(note[..end].to_owned()),
        reason: Some(reason),
        regarding: Some(resource.object_ref(&())),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(identity.to_owned()),
        type_: Some(concern.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use paylab_resource::status::ProgressStatus;
    use serde_json::json;
    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;
    use crate::{
        decide::PodProblem,
        fixtures::{at, planned, resource},
        queue::Place,
        status::StatusBuilder,
    };

    #[test]
    fn each_phase_that_lasts_and_each_reason_to_wait_is_told_once() {
        let (experiment, resource) = (planned(&json!({})), resource(&json!({})));
        let builder = |previous| StatusBuilder { previous, generation: Some(1), now: at(1) };
        let place = |number| Place { number, of: 9, under_way: 8 };
        let problem = PodProblem::former_run();
        let waiting = builder(None).queued(&experiment, place(9));
        let nearer = builder(Some(&waiting)).queued(&experiment, place(1));
        let preparing = builder(Some(&nearer)).preparing(&experiment, None);
        let hindered = builder(Some(&preparing)).preparing(&experiment, Some(&problem));
        let loading = builder(Some(&hindered)).loading(&experiment, None, None);
        let progress = |acknowledged| Some(ProgressStatus { payments: 20, acknowledged, attempts: 9 });
        let lasting = builder(Some(&loading)).loading(&experiment, None, progress(3));
        let longer = builder(Some(&lasting)).loading(&experiment, None, progress(4));
        let failed = builder(Some(&longer)).failed(&experiment, &problem);
        let all = [&waiting, &nearer, &preparing, &hindered, &loading, &lasting, &longer, &failed];
        let told: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(n, status)| is_news(n.checked_sub(1).map(|before| all[before]), status))
            .map(|(_, status)| event(&resource, status, "operator"))
            .map(|event| format!("{} {}", event.type_.unwrap(), event.reason.unwrap()))
            .collect();
        let expected = ["Normal Queued", "Normal Starting", "Warning FormerRun", "Normal Loading", "Warning Failed"];
        assert_eq!(told, expected);
        let names: std::collections::BTreeSet<_> =
            all.iter().filter_map(|status| event(&resource, status, "operator").metadata.name).collect();
        assert_eq!(names.len(), 5, "{names:?}");
    }

    #[test]
    fn an_experiment_that_waits_for_nothing_and_is_over_soon_tells_its_end_alone() {
        let experiment = planned(&json!({}));
        let builder = |previous| StatusBuilder { previous, generation: Some(1), now: at(1) };
        let preparing = builder(None).preparing(&experiment, None);
        let loading = builder(Some(&preparing)).loading(&experiment, None, None);
        let ended = builder(Some(&loading)).failed(&experiment, &PodProblem::former_run());
        assert!(!is_news(None, &preparing) && !is_news(Some(&preparing), &loading));
        assert!(is_news(Some(&loading), &ended) && !is_news(Some(&ended), &ended));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_delays_the_verdict_for_ten_seconds_at_most() {
        let silent = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let begun = Instant::now();
        let status = ChaosExperimentStatus::default();
        emit(&Client::new(silent, "school"), &resource(&json!({})), &status, "operator").await;
        assert!(begun.elapsed() <= EVENT_TIMEOUT + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
