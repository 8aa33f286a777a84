//! `paylab wait`: waits until an experiment on the cluster has ended.

use std::time::Duration;

use clap::Args;
use futures::future::BoxFuture;
use kube::Api;
use paylab_core::{claim::Verdict, duration_text::DurationText};
use paylab_resource::{spec::ChaosExperiment, status::ChaosExperimentStatus};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{cluster, error::Error, status::is_verified};

/// How often the experiment is read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The experiment, and how long to wait.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Name of the experiment
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Namespace of the experiment; default: the namespace of the kubeconfig's context, or of the pod
    #[arg(long, short, env = "PAYLAB_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// How long to wait at most: a number with the unit ms, s, m or h
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    pub timeout: DurationText,
}

/// How an experiment ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// One sentence: the verdict, or why there is none.
    pub message: String,
    /// Whether the verdict is the expected one; `None` if it is inconclusive or missing.
    pub as_expected: Option<bool>,
}

/// Waits until the experiment has ended; `None` if it has not ended in time.
///
/// # Errors
/// A request to the cluster's API failed, or there is no such experiment.
// Boxed: it is then compiled once, with this crate, and not with every binary and test that calls it.
pub fn wait(options: &Options) -> BoxFuture<'_, Result<Option<Ending>, Error>> {
    Box::pin(async move {
        let client = cluster::client(None).await?;
        let api: Api<ChaosExperiment> = match &options.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        let deadline = Instant::now() + options.timeout.duration();
        loop {
            // A server that accepts and does not answer is one that has not answered in time.
            let Ok(read) = timeout_at(deadline, api.get(&options.experiment)).await else { return Ok(None) };
            let status = read?.status;
            if let Some(ended) = status.filter(|status| status.completion_time.is_some()) {
                return Ok(Some(Ending::of(ended)));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(POLL_INTERVAL).await;
        }
    })
}

impl Ending {
    fn of(status: ChaosExperimentStatus) -> Self {
        let verified = is_verified(&status);
        let as_expected = match status.verdict {
            None | Some(Verdict::Inconclusive) => None,
            Some(Verdict::Upheld | Verdict::Violated) => Some(verified),
        };
        Self { message: status.message.unwrap_or_default(), as_expected }
    }
}
