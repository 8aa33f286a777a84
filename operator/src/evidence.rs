//! The evidence of an experiment on a cluster, in a `ConfigMap` that belongs to the experiment and outlives its pods: how it is stored, and
//! how it is fetched and checked. What a worker's share says, this module does not know.

use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use paylab_core::judge::report::Report;
use paylab_part::evidence_log::sha256;
use paylab_resource::{spec::ChaosExperiment, status::ChaosExperimentStatus};
use serde::{Deserialize, Serialize};

use crate::{cluster, error::Error, names, observe::Ownership};

/// How long the API server may take for one answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// The key of [`StoredRun`] in the `ConfigMap`.
pub const RUN_KEY: &str = "run.json";
/// The key of the experiment's file.
pub const EXPERIMENT_KEY: &str = "experiment.yaml";
/// The version of the format that is written. Every version up to this one is read.
pub const FORMAT: u32 = 1;
/// What the field `kind` says.
pub const KIND: &str = "paylab-cluster-evidence";

/// The run, without what happened to single attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredRun {
    /// [`KIND`].
    pub kind: String,
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run_id: String,
    /// The version of Paylab that has written it.
    pub made_by: String,
    /// SHA-256 of the experiment's file.
    pub experiment_sha256: String,
    /// The verdict, as in the status.
    pub verdict: String,
    /// The merged report from which the verdict was drawn, with its doubts.
    pub report: Report,
    /// One for each worker, by its number.
    pub shares: Vec<StoredShare>,
}

/// What happened to the payments of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoredShare {
    /// It is under the key [`share_key`]; this is its SHA-256.
    Sha256(String),
    /// Why it is not stored.
    Missing(String),
}

/// What is read of [`StoredRun`] first, whatever its format.
#[derive(Debug, Deserialize)]
struct Head {
    kind: String,
    format: u32,
}

/// The evidence of an experiment that has ended.
#[derive(Debug, Clone)]
pub struct ClusterEvidence {
    /// The run.
    pub run: StoredRun,
    /// The experiment's file.
    pub experiment: String,
    /// The share of each worker, or why there is none.
    pub shares: Vec<Result<Vec<u8>, String>>,
    /// What the resource says about the run.
    pub status: ChaosExperimentStatus,
}

/// Why there is no evidence to show.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// The experiment has no evidence, or it cannot be trusted.
    #[error("{0}")]
    Refused(String),
}

/// The key of a worker's share.
#[must_use]
pub fn share_key(worker: usize) -> String {
    format!("share-{worker}.ndjson.zst")
}

/// Fetches the evidence of an experiment that has ended, from the cluster that the environment names. The namespace is by default that of the
/// kubeconfig's context, or of the pod.
///
/// # Errors
/// The cluster cannot be asked, or the experiment has no whole evidence.
// Boxed: it is then compiled once, with this crate, and not with every binary and test that calls it.
pub fn fetch<'a>(
    experiment: &'a str,
    namespace: Option<&'a str>,
) -> BoxFuture<'a, Result<ClusterEvidence, FetchError>> {
    Box::pin(async move {
        let client = cluster::client(Some(ANSWERED_WITHIN)).await?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace()).to_owned();
        fetch_with(client, experiment, &namespace).await
    })
}

/// The same with this client.
///
/// # Errors
/// As [`fetch`].
pub async fn fetch_with(client: Client, experiment: &str, namespace: &str) -> Result<ClusterEvidence, FetchError> {
    let experiments = Api::<ChaosExperiment>::namespaced(client.clone(), namespace);
    let Some(resource) = experiments.get_opt(experiment).await.map_err(Error::from)? else {
        let problem = format!("the namespace {namespace} has no experiment {experiment}");
        return Err(FetchError::Refused(format!("{problem}; `kubectl get payx --all-namespaces` lists all")));
    };
    let refused = |problem: String| FetchError::Refused(format!("experiment {namespace}/{experiment} {problem}"));
    let Some(status) = resource.status.clone().filter(|status| status.completion_time.is_some()) else {
        let wait = format!("paylab wait {experiment} --namespace {namespace}");
        return Err(refused(format!("has not ended yet, and has no evidence before; `{wait}` waits for it")));
    };
    if status.verdict.is_none() {
        let message = status.message.unwrap_or_default();
        return Err(refused(format!("has ended before its load began, so there is no evidence: {message}")));
    }
    let name = names::evidence(experiment);
    let maps = Api::<ConfigMap>::namespaced(client, namespace);
    let Some(stored) = maps.get_opt(&name).await.map_err(Error::from)? else {
        return Err(refused(format!(
            "has a verdict and no evidence: there is no ConfigMap {name}. An older operator has run it, somebody has deleted the \
             ConfigMap, or it could not be created, and then the operator's log says why"
        )));
    };
    let uid = resource.metadata.uid.as_deref().unwrap_or_default();
    if Ownership::of(&stored, uid) != Ownership::Ours {
        return Err(refused(format!("is not the owner of the ConfigMap {name}, which is of another experiment")));
    }
    checked(stored, status).map_err(|problem| refused(format!("has evidence (ConfigMap {name}) that {problem}")))
}

/// Checks that the evidence is whole and of the run that the status is about.
fn checked(stored: ConfigMap, status: ChaosExperimentStatus) -> Result<ClusterEvidence, String> {
    let (mut texts, mut shares) = (stored.data.unwrap_or_default(), stored.binary_data.unwrap_or_default());
    let text = texts.remove(RUN_KEY).ok_or_else(|| format!("is cut: it lacks {RUN_KEY}"))?;
    let experiment = texts.remove(EXPERIMENT_KEY).ok_or_else(|| format!("is cut: it lacks {EXPERIMENT_KEY}"))?;
    let run = run(&text)?;
    if status.run_id.as_ref() != Some(&run.run_id) || run.report.run_id != run.run_id {
        return Err(format!("is of another run, {}", run.run_id));
    }
    let verdict = status.verdict.map(|verdict| format!("{verdict:?}")).unwrap_or_default();
    if run.verdict != verdict {
        return Err(format!("says {}, and the experiment's status says {verdict}", run.verdict));
    }
    if sha256(experiment.as_bytes()) != run.experiment_sha256 {
        return Err(format!("was changed: {EXPERIMENT_KEY} is not the experiment of this run"));
    }
    let shares = run.shares.iter().enumerate().map(|(worker, share)| match share {
        StoredShare::Missing(why) => Ok(Err(why.clone())),
        StoredShare::Sha256(expected) => {
            let key = share_key(worker);
            let bytes = shares.remove(&key).ok_or_else(|| format!("is cut: it lacks {key}"))?.0;
            if sha256(&bytes) == *expected {
                Ok(Ok(bytes))
            } else {
                Err(format!("was changed: {key} has another checksum"))
            }
        }
    });
    Ok(ClusterEvidence { shares: shares.collect::<Result<_, _>>()?, run, experiment, status })
}

fn run(text: &str) -> Result<StoredRun, String> {
    let damaged = |error: serde_json::Error| format!("cannot be read ({RUN_KEY}: {error})");
    let Head { kind, format } = serde_json::from_str(text).map_err(damaged)?;
    if kind != KIND {
        return Err(format!("is of the kind {kind:?}, and not of {KIND:?}"));
    }
    if format > FORMAT {
        return Err(format!(
            "has format {format}, and this version of paylab reads formats up to {FORMAT}; use a newer version"
        ));
    }
    serde_json::from_str(text).map_err(damaged)
}
