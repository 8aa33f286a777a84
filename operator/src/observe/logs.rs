//! Reads the last lines of the load pods' logs.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, future::try_join_all, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::LogParams};
use paylab_part::evidence_log::{assemble, lines_max};
use tokio::time::{Instant, timeout};

use super::{cluster::Observed, pods};
use crate::{names::Part, planned::PlannedExperiment};

/// How many lines of a log are read; the last report of progress is among them.
const TAIL_LINES: i64 = 5;
/// How long all logs together may take. It is short, because other experiments wait meanwhile, and nothing depends on the logs.
const LOGS_TIMEOUT: Duration = Duration::from_secs(5);
/// A log with evidence that is not answered in time is read a second time, if no longer than this has passed since the first: the verdict waits.
const SECOND_READS_WITHIN: Duration = Duration::from_secs(10);
/// How many logs with evidence are read at once, so that they take little memory.
const LOGS_AT_ONCE: usize = 8;
/// A container runtime may cut a line in two, and counts both.
const LOG_LINES_PER_PIECE: usize = 2;
/// Lines that may come after the evidence, or among it.
const OTHER_LINES: usize = 32;
/// What these lines may take, in bytes.
const OTHER_BYTES: usize = 64 * 1024;

/// The last lines of every load pod's log, by worker. `None` if one cannot be read in time, because a sum without it would be
/// too low.
pub(crate) async fn load_logs(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
) -> Option<BTreeMap<u32, String>> {
    let api = Api::<Pod>::namespaced(client.clone(), &experiment.namespace);
    let tail = LogParams {
        container: Some(Part::LoadJob.name().to_owned()),
        tail_lines: Some(TAIL_LINES),
        ..LogParams::default()
    };
    let reads = started_load_pods(observed).into_iter().map(|(worker, pod)| {
        let (api, tail, name) = (&api, &tail, pod.name_any());
        async move { api.logs(&name, tail).await.map(|log| (worker, log)) }
    });
    let logs = timeout(LOGS_TIMEOUT, try_join_all(reads)).await.ok()?;
    Some(logs.ok()?.into_iter().collect())
}

/// The evidence in the log of each worker's load pod, by worker, or why there is none.
pub(crate) async fn load_evidence(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
    share_len_max: usize,
) -> Vec<Result<Vec<u8>, String>> {
    let api = Api::<Pod>::namespaced(client.clone(), &experiment.namespace);
    let lines = lines_max(share_len_max) * LOG_LINES_PER_PIECE + OTHER_LINES;
    let tail = LogParams {
        container: Some(Part::LoadJob.name().to_owned()),
        tail_lines: i64::try_from(lines).ok(),
        limit_bytes: i64::try_from(share_len_max * 2 + OTHER_BYTES).ok(),
        ..LogParams::default()
    };
    let load = observed.run_pods().load;
    let (api, tail, load, begun) = (&api, &tail, &load, Instant::now());
    let read = |worker| async move {
        let Some(pod) = load.iter().find(|pod| pods::worker(pod) == Some(worker)) else {
            return Err(format!("the pod of worker {worker} is gone"));
        };
        let name = pod.name_any();
        let mut log = timeout(LOGS_TIMEOUT, api.logs(&name, tail)).await;
        if log.is_err() && begun.elapsed() < SECOND_READS_WITHIN {
            log = timeout(LOGS_TIMEOUT, api.logs(&name, tail)).await;
        }
        let log = log.map_err(|_| format!("the log of pod {name} could not be read in time"))?;
        let log = log.map_err(|error| format!("the log of pod {name} could not be read: {error}"))?;
        assemble(&log, experiment.id.as_str()).map_err(|error| format!("the log of pod {name} {error}"))
    };
    stream::iter(0..experiment.plan.client.workers).map(read).buffered(LOGS_AT_ONCE).collect().await
}

/// The load pods whose container has started, with their workers.
fn started_load_pods(observed: &Observed) -> Vec<(u32, &Pod)> {
    let started = observed.run_pods().load.into_iter().filter(|pod| pods::is_ready(pod) || pods::has_ended(pod));
    started.filter_map(|pod| Some((pods::worker(pod)?, pod))).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::{Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;
    use crate::fixtures::{foreign, lab, loaded, planned, pod, ready};

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

    #[tokio::test]
    async fn the_log_of_a_pod_that_the_job_does_not_control_is_never_read() {
        let experiment = planned(&json!({}));
        let lines = paylab_part::evidence_log::lines(experiment.id.as_str(), b"forged").join("\n");
        let api = service_fn(move |request: Request<Body>| {
            assert!(!request.uri().path().contains("forged"), "{}", request.uri());
            let response = Response::builder().body(Body::from(lines.clone().into_bytes()));
            async { Ok::<_, Infallible>(response.expect("the status is valid")) }
        });
        let client = Client::new(api, "school");
        let forged = foreign(pod(Part::LoadJob, "forged-0", ready()));
        // Beside the run's own pod, and in its place.
        let mut beside = loaded(ready());
        beside.pods.insert(0, forged.clone());
        let mut alone = lab();
        (alone.job, alone.pods) = (beside.job.clone(), [alone.pods, vec![forged]].concat());
        let logs = load_logs(&client, &experiment, &beside).await.unwrap();
        assert_eq!(logs.into_keys().collect::<Vec<_>>(), [0]);
        assert_eq!(load_evidence(&client, &experiment, &beside, 20_000).await, [Ok(b"forged".to_vec())]);
        assert!(load_logs(&client, &experiment, &alone).await.unwrap().is_empty());
        let gone = Err("the pod of worker 0 is gone".to_owned());
        assert_eq!(load_evidence(&client, &experiment, &alone, 20_000).await, [gone]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_kubelet_that_is_silent_at_first_is_asked_again_for_evidence_as_long_as_there_is_time() {
        const WORKERS: u32 = 24;
        let experiment = planned(&json!({"client": {"workers": WORKERS}}));
        let lines = paylab_part::evidence_log::lines(experiment.id.as_str(), b"share").join("\n");
        let silent_for = |times: usize| {
            let (lines, asked) = (lines.clone(), Arc::new(Mutex::new(BTreeMap::<String, usize>::new())));
            service_fn(move |request: Request<Body>| {
                let (lines, path) = (lines.clone(), request.uri().path().to_owned());
                let asked = asked.lock().unwrap().entry(path).and_modify(|asked| *asked += 1).or_insert(1).to_owned();
                async move {
                    if asked <= times {
                        std::future::pending::<()>().await;
                    }
                    let response = Response::builder().body(Body::from(lines.into_bytes()));
                    Ok::<_, Infallible>(response.expect("the status is valid"))
                }
            })
        };
        let mut observed = loaded(ready());
        observed.pods.truncate(2);
        observed.pods.extend((0..WORKERS).map(|worker| {
            let mut load = pod(Part::LoadJob, &format!("load-{worker}"), ready());
            load.labels_mut().insert(crate::names::WORKER_LABEL.to_owned(), worker.to_string());
            load
        }));
        let begun = Instant::now();
        let once = load_evidence(&Client::new(silent_for(1), "school"), &experiment, &observed, 20_000).await;
        // The first eight are asked twice, and there is no time for it with the others.
        assert_eq!(once.iter().filter(|share| share.is_ok()).count(), LOGS_AT_ONCE, "{once:?}");
        assert!(begun.elapsed() < Duration::from_secs(21), "{:?}", begun.elapsed());
        let begun = Instant::now();
        let never = load_evidence(&Client::new(silent_for(2), "school"), &experiment, &observed, 20_000).await;
        let problem = Err("the log of pod load-0 could not be read in time".to_owned());
        assert_eq!((&never[0], never.iter().filter(|share| share.is_ok()).count()), (&problem, 0));
        assert!(begun.elapsed() < Duration::from_secs(21), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn the_evidence_of_each_worker_is_read_or_the_reason_why_it_is_not() {
        let experiment = planned(&json!({"client": {"workers": 4}}));
        let evidence = [b"of worker 0".to_vec(), b"of worker 1, cut".repeat(1000)];
        let lines = evidence.clone().map(|it| paylab_part::evidence_log::lines(experiment.id.as_str(), &it));
        let logs = [lines[0].join("\n"), lines[1][1..].join("\n"), "{\"fields\": {}}".to_owned()];
        let api = service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.contains("tailLines=") && query.contains("limitBytes="), "a log may be long: {query}");
            let worker = logs.iter().enumerate().find(|(n, _)| request.uri().path().contains(&format!("load-{n}")));
            let response = Response::builder().body(Body::from(worker.map_or("", |(_, log)| log).as_bytes().to_vec()));
            async { Ok::<_, Infallible>(response.expect("the status is valid")) }
        });
        let mut observed = loaded(ready());
        observed.pods.extend(["load-1", "load-2"].map(|name| pod(Part::LoadJob, name, ready())));
        let read = load_evidence(&Client::new(api, "school"), &experiment, &observed, 20_000).await;
        let refused = |text: &str| Err::<Vec<u8>, _>(text.to_owned());
        assert_eq!(
            read,
            [
                Ok(evidence[0].clone()),
                refused("the log of pod load-1 has only 3 of the 4 lines of its evidence"),
                refused("the log of pod load-2 has no evidence of the run"),
                refused("the pod of worker 3 is gone"),
            ]
        );
    }
}
