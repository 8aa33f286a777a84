//! `paylab wait`: until an experiment on the cluster has come to its end.

use std::time::Duration;

use clap::Args;
use kube::{Api, Client};
use paylab_experiment::{
    span::Span,
    spec::ChaosExperiment,
    status::{ChaosExperimentStatus, Verdict},
};
use tokio::time::{Instant, sleep};

use crate::{Error, status::is_verified};

/// How often the experiment is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which experiment, and how long to wait.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The experiment's name
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Its namespace; the one of the kubeconfig or the pod when absent
    #[arg(long, short, env = "PAYLAB_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// How long to wait at most: a number and ms, s, m or h
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    pub timeout: Span,
}

/// How an experiment ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The verdict, or why there is none, in a sentence.
    pub message: String,
    /// Whether the verdict is the expected one; `None`: there is none, or it is inconclusive.
    pub as_expected: Option<bool>,
}

/// Waits; `None`: it has not come to its end in time.
///
/// # Errors
/// The cluster cannot be asked, or has no such experiment.
pub async fn wait(options: &Options) -> Result<Option<Ending>, Error> {
    let client = Client::try_from(kube::Config::infer().await?)?;
    let api: Api<ChaosExperiment> = match &options.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::default_namespaced(client),
    };
    let deadline = Instant::now() + options.timeout.duration();
    loop {
        let status = api.get(&options.experiment).await?.status;
        if let Some(ended) = status.filter(|status| status.completion_time.is_some()) {
            return Ok(Some(Ending::of(ended)));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(LOOK_EVERY).await;
    }
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
