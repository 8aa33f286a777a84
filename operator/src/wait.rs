//! `paylab wait`: waits until an experiment on the cluster has ended, or all that a selector matches.

use std::collections::BTreeMap;

use clap::Args;
use futures::future::BoxFuture;
use kube::{Api, Client, api::ListParams};
use paylab_core::{claim::Verdict, duration_text::DurationText};
use paylab_resource::{spec::ChaosExperiment, status::ChaosExperimentStatus};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::{cluster, error::Error, status::is_verified};

/// How often the experiments are read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The experiments, and how long to wait.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Name of the experiment
    #[arg(value_name = "EXPERIMENT", required_unless_present = "selector", conflicts_with = "selector")]
    pub experiment: Option<String>,
    /// Instead of one experiment, all whose labels match, such as paylab.dev/gauntlet=checkout
    #[arg(long, short = 'l', value_name = "LABELS")]
    pub selector: Option<String>,
    /// Namespace of the experiments; default: the namespace of the kubeconfig's context, or of the pod
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

/// What has been waited for, by the names of the experiments. `None`: it has not ended in time.
pub type Waited = BTreeMap<String, Option<Ending>>;

/// Waits until the experiments have ended, or the time is over.
///
/// # Errors
/// A request to the cluster's API failed, or there is no such experiment. An API that has answered before may be away for a while.
// Boxed: it is then compiled once, with this crate, and not with every binary and test that calls it.
pub fn wait(options: &Options) -> BoxFuture<'_, Result<Waited, Error>> {
    Box::pin(async move { wait_with(cluster::client(None).await?, options).await })
}

/// As [`wait`], on the cluster of this client.
///
/// # Errors
/// As [`wait`].
pub fn wait_with(client: Client, options: &Options) -> BoxFuture<'_, Result<Waited, Error>> {
    Box::pin(async move {
        let api: Api<ChaosExperiment> = match &options.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        let deadline = Instant::now() + options.timeout.duration();
        let mut waited = Waited::from_iter(options.experiment.clone().map(|name| (name, None)));
        let mut has_answered = false;
        loop {
            // A server that accepts and does not answer is one that has not answered in time.
            let Ok(read) = timeout_at(deadline, read(&api, options)).await else { return Ok(waited) };
            match read {
                Ok(experiments) => {
                    take(&mut waited, experiments, options)?;
                    has_answered = true;
                }
                Err(error) if has_answered && is_passing(&error) => {}
                Err(error) => return Err(in_words(error, options)),
            }
            let has_ended = !waited.is_empty() && waited.values().all(Option::is_some);
            if has_ended || Instant::now() >= deadline {
                return Ok(waited);
            }
            sleep(POLL_INTERVAL).await;
        }
    })
}

async fn read(api: &Api<ChaosExperiment>, options: &Options) -> kube::Result<Vec<ChaosExperiment>> {
    match (&options.experiment, &options.selector) {
        (Some(name), _) => Ok(vec![api.get(name).await?]),
        (None, selector) => {
            let labels = selector.as_deref().unwrap_or_default();
            Ok(api.list(&ListParams::default().labels(labels)).await?.items)
        }
    }
}

/// Notes what has ended. An experiment that is deleted before it has ended will not end any more.
fn take(waited: &mut Waited, experiments: Vec<ChaosExperiment>, options: &Options) -> Result<(), Error> {
    if let (true, Some(selector)) = (experiments.is_empty() && waited.is_empty(), &options.selector) {
        return Err(Error::NoMatch { selector: selector.clone() });
    }
    let mut found: BTreeMap<_, _> = experiments
        .into_iter()
        .map(|experiment| (experiment.metadata.name.unwrap_or_default(), experiment.status))
        .collect();
    for (name, ending) in waited.iter_mut().filter(|(_, ending)| ending.is_none()) {
        *ending = match found.remove(name) {
            None => Some(Ending { message: "it was deleted before it has ended".to_owned(), as_expected: None }),
            Some(status) => ended(status),
        };
    }
    let new = found.into_iter().filter(|(name, _)| !waited.contains_key(name)).collect::<Vec<_>>();
    waited.extend(new.into_iter().map(|(name, status)| (name, ended(status))));
    Ok(())
}

fn ended(status: Option<ChaosExperimentStatus>) -> Option<Ending> {
    status.filter(|status| status.completion_time.is_some()).map(Ending::of)
}

/// Whether a failure passes, as while the API server is started anew.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

fn in_words(error: kube::Error, options: &Options) -> Error {
    match (&error, &options.experiment) {
        // The resource itself is unknown where its definition is not installed; then the message names no experiment.
        (kube::Error::Api(status), Some(name)) if status.code == 404 && status.message.contains(name.as_str()) => {
            Error::NoExperiment { name: name.clone() }
        }
        _ => Error::Api(error),
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
