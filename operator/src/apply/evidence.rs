//! Keeps the evidence of a run. Evidence is a courtesy, like the Event: without it the verdict is written all the same.

use std::time::Duration;

use kube::Client;
use paylab_core::{judge::doubt::Doubt, outcome::Outcome};
use tokio::time::timeout;
use tracing::warn;

use super::create::{Creation, create};
use crate::{
    desired::{self, share_len_max},
    observe::{Observed, load_evidence},
    planned::PlannedExperiment,
};

/// How long gathering and keeping the evidence may take, because the verdict waits meanwhile.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often its creation is tried. The second time is for a request that was lost on its way.
const TRIES: usize = 2;

/// Gathers what the load pods have logged, and keeps it with the report from which the verdict was drawn. What cannot be kept is logged.
pub(crate) async fn keep_evidence(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
    outcome: &Outcome,
) {
    let why = match timeout(EVIDENCE_TIMEOUT, keep(client, experiment, observed, outcome)).await {
        Ok(Ok(Creation::Complete)) => return,
        Ok(Ok(Creation::Blocked(problem))) => problem.message,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {} s", EVIDENCE_TIMEOUT.as_secs()),
    };
    let (namespace, name) = (&experiment.namespace, &experiment.name);
    warn!(namespace, name, error = why, "the evidence was not kept");
}

async fn keep(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
    outcome: &Outcome,
) -> kube::Result<Creation> {
    let shares = if outcome.report.doubts.contains_key(&Doubt::EnvironmentChanged) {
        let void = "the lab was changed while the load ran, so it may tell what another lab has done";
        (0..experiment.plan.client.workers).map(|_| Err(void.to_owned())).collect()
    } else {
        load_evidence(client, experiment, observed, share_len_max(experiment)).await
    };
    let evidence = desired::evidence(experiment, outcome, shares);
    let mut created = create(client, &evidence, &experiment.owner.uid).await;
    for _ in 1..TRIES {
        match &created {
            Ok(Creation::Complete) => break,
            Ok(Creation::Blocked(problem)) if !problem.may_pass() => break,
            Ok(Creation::Blocked(_)) | Err(_) => {}
        }
        created = create(client, &evidence, &experiment.owner.uid).await;
    }
    created
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::{Method, Request, Response, StatusCode};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use paylab_core::judge::{doubt::DoubtNote, report::Report};
    use paylab_part::evidence_log;
    use serde_json::json;
    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;
    use crate::{
        evidence::{RUN_KEY, StoredRun, StoredShare, share_key},
        fixtures::{ended, loaded, planned},
    };

    /// What the API server is asked to create, where the log of the load's pod is this, and the first creations are answered like this.
    async fn kept(report: Report, answers: Vec<StatusCode>) -> Vec<ConfigMap> {
        let experiment = planned(&json!({}));
        let log = evidence_log::lines(experiment.id.as_str(), b"the share").join("\n");
        let (created, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(answers)));
        let seen = Arc::clone(&created);
        let api = service_fn(move |request: Request<Body>| {
            let (log, seen, answers) = (log.clone(), Arc::clone(&seen), Arc::clone(&answers));
            async move {
                let (status, body) = if request.method() == Method::POST {
                    let body = request.into_body().collect_bytes().await.expect("the body is whole").to_vec();
                    seen.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                    let status = answers.lock().unwrap().pop().unwrap_or(StatusCode::CREATED);
                    let reason = if status == StatusCode::FORBIDDEN { "Forbidden" } else { "InternalError" };
                    let refusal = json!({"kind": "Status", "code": status.as_u16(), "reason": reason, "message": "no", "status": "Failure"});
                    (status, if status.is_success() { body } else { refusal.to_string().into_bytes() })
                } else {
                    (StatusCode::OK, log.into_bytes())
                };
                let response = Response::builder().status(status).body(Body::from(body));
                Ok::<_, Infallible>(response.expect("the status is valid"))
            }
        });
        let observed = loaded(ended(0, "Completed", "{}"));
        keep_evidence(&Client::new(api, "school"), &experiment, &observed, &experiment.outcome(report)).await;
        created.lock().unwrap().clone()
    }

    fn share_in(map: &ConfigMap) -> StoredShare {
        let run: StoredRun = serde_json::from_str(&map.data.as_ref().unwrap()[RUN_KEY]).unwrap();
        run.shares[0].clone()
    }

    #[tokio::test]
    async fn what_the_pods_have_logged_is_kept_even_if_the_first_request_is_lost() {
        let maps = kept(Report::default(), vec![StatusCode::INTERNAL_SERVER_ERROR]).await;
        assert_eq!(maps.len(), 2);
        assert_eq!(share_in(&maps[1]), StoredShare::Sha256(evidence_log::sha256(b"the share")));
        assert_eq!(maps[1].binary_data.as_ref().unwrap()[&share_key(0)].0, b"the share");
        // A refusal is not asked again, and nobody waits for it.
        assert_eq!(kept(Report::default(), vec![StatusCode::FORBIDDEN]).await.len(), 1);
    }

    #[tokio::test]
    async fn of_a_lab_that_was_changed_no_share_is_kept() {
        let mut report = Report::default();
        report.doubt(Doubt::EnvironmentChanged, DoubtNote { count: 1, ..DoubtNote::default() });
        let maps = kept(report, Vec::new()).await;
        assert!(matches!(share_in(&maps[0]), StoredShare::Missing(why) if why.contains("the lab was changed")));
        assert!(maps[0].binary_data.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_delays_the_verdict_for_half_a_minute_at_most() {
        let silent = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let (experiment, observed) = (planned(&json!({})), loaded(ended(0, "Completed", "{}")));
        let begun = Instant::now();
        let outcome = experiment.outcome(Report::default());
        keep_evidence(&Client::new(silent, "school"), &experiment, &observed, &outcome).await;
        assert!(begun.elapsed() <= EVIDENCE_TIMEOUT + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
