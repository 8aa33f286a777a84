//! Reads the last lines of the load pods' logs.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::LogParams};
use tokio::time::timeout;

use super::{cluster::Observed, pods};
use crate::planned::PlannedExperiment;

/// How many lines of a log are read; the last report of progress is among them.
const TAIL_LINES: i64 = 5;
/// How long all logs together may take. It is short, because other experiments wait meanwhile, and nothing depends on the logs.
const LOGS_TIMEOUT: Duration = Duration::from_secs(5);

/// The last lines of every load pod's log, by worker. `None` if one cannot be read in time, because a sum without it would be
/// too low.
pub(crate) async fn load_logs(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
) -> Option<BTreeMap<u32, String>> {
    let api = Api::<Pod>::namespaced(client.clone(), &experiment.namespace);
    let tail = LogParams { tail_lines: Some(TAIL_LINES), ..LogParams::default() };
    let reads = started_load_pods(observed).into_iter().map(|(worker, pod)| {
        let (api, tail, name) = (&api, &tail, pod.name_any());
        async move { api.logs(&name, tail).await.map(|log| (worker, log)) }
    });
    let logs = timeout(LOGS_TIMEOUT, try_join_all(reads)).await.ok()?;
    Some(logs.ok()?.into_iter().collect())
}

/// The load pods whose container has started, with their workers.
fn started_load_pods(observed: &Observed) -> Vec<(u32, &Pod)> {
    let started = observed.run_pods().load.into_iter().filter(|pod| pods::is_ready(pod) || pods::has_ended(pod));
    started.filter_map(|pod| Some((pods::worker(pod)?, pod))).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;
    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;
    use crate::{
        fixtures::{loaded, planned, pod, ready},
        names::Part,
    };

    /// Reads the logs of two workers from an API server that answers for the first, and for the second with this status, or
    /// never.
    async fn logs(second: Option<StatusCode>) -> Option<BTreeMap<u32, String>> {
        let api = service_fn(move |request: Request<Body>| async move {
            let is_second = request.uri().path().contains("load-1");
            if is_second && second.is_none() {
                std::future::pending::<()>().await;
            }
            let status = second.filter(|_| is_second).unwrap_or(StatusCode::OK);
            let response = Response::builder().status(status).body(Body::from(b"a line".to_vec()));
            Ok::<_, Infallible>(response.expect("the status is valid"))
        });
        let mut observed = loaded(ready());
        observed.pods.push(pod(Part::LoadJob, "load-1", ready()));
        let experiment = planned(&json!({"client": {"workers": 2}}));
        load_logs(&Client::new(api, "school"), &experiment, &observed).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_cannot_be_read_means_no_progress_after_five_seconds_at_the_latest() {
        let both = logs(Some(StatusCode::OK)).await.unwrap();
        assert_eq!(both, [(0, "a line".to_owned()), (1, "a line".to_owned())].into());
        let begun = Instant::now();
        assert_eq!(logs(Some(StatusCode::NOT_FOUND)).await, None);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(logs(None).await, None);
        assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
    }
}
