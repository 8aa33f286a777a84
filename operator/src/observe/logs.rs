//! Reads the last lines of the load pods' logs.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::LogParams};

use super::{cluster::Observed, pods};
use crate::{api::answered, names::Part, planned::PlannedExperiment};

/// How many lines of a log are read; the last report of progress is among them.
const TAIL_LINES: i64 = 5;

/// The last lines of every load pod's log, by worker. A log that cannot be read is left out, because nothing depends on it.
pub(crate) async fn load_logs(
    client: &Client,
    experiment: &PlannedExperiment,
    observed: &Observed,
) -> BTreeMap<u32, String> {
    let api = Api::<Pod>::namespaced(client.clone(), &experiment.namespace);
    let tail = LogParams { tail_lines: Some(TAIL_LINES), ..LogParams::default() };
    let reads = started_load_pods(observed).map(|(worker, pod)| {
        let (api, tail, name) = (&api, &tail, pod.name_any());
        async move { Some((worker, answered(api.logs(&name, tail)).await.ok()?)) }
    });
    join_all(reads).await.into_iter().flatten().collect()
}

/// The load pods whose container has started, with their workers.
fn started_load_pods(observed: &Observed) -> impl Iterator<Item = (u32, &Pod)> {
    let load = observed.pods.iter().filter(|pod| pods::is_part(pod, Part::LoadJob));
    load.filter(|pod| pods::is_ready(pod) || pods::has_ended(pod)).filter_map(|pod| Some((pods::worker(pod)?, pod)))
}
