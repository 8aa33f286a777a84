//! The operator is killed before and after each of its requests, and each is failed in every way that a request can fail. The
//! end is the same for all: one Job, one event, one verdict, nothing left behind.

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, Pod, Service},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client, Config, Resource,
    api::{ListParams, ObjectMeta, PostParams},
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use operator::{options::Options, reconcile_all};
use paylab_e2e::{Audit, Node};
use paylab_experiment::spec::ChaosExperiment;
use serde_json::{Value, json};
use tokio::{runtime, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::faults::{Fault, Saboteur};

/// Small enough that a run of it is quick, large enough that some payments are booked twice.
pub(crate) const EXPERIMENT: &str = r#"
apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: lesson}
spec:
  claim: ExactlyOnce
  expect: Violated
  seed: 42
  retain: Never
  payments: {count: 50}
  faults:
    - {name: request-lost, probability: 0.3, reset: {at: BeforeRequest}}
    - {name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}
"#;
/// So many cases run at once, each in a namespace of its own.
const CASES_AT_ONCE: usize = 6;
/// More requests than an experiment takes.
const REQUESTS_MAX: usize = 200;
/// A case that has not come to its end by then never will.
const CASE_WITHIN: Duration = Duration::from_secs(90);
/// An operator that was killed is back after this time.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// What one case has come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    /// The status, without what is never the same.
    status: Value,
    events: usize,
}

/// The way to the API server, as the administrator.
pub(crate) async fn admin(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the node has written it");
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("it is whole");
    config.default_retry = false;
    config
}

/// Lets a fault meet the first request, the second and so on, until one is never made. Returns how many were met.
pub(crate) async fn sweep(node: &Node, fault: Fault) -> usize {
    let config = admin(node.kubeconfig()).await;
    let audit = node.audit().unwrap();
    let (expected, _) = case(&config, &format!("calm-{}", fault.name()), None).await;
    assert_eq!((expected.status["verdict"].as_str(), expected.events), (Some("Violated"), 1), "{}", expected.status);
    let cases = (1..=REQUESTS_MAX).map(|n| {
        let config = &config;
        async move { (n, case(config, &format!("{}-{n}", fault.name()), Some((n, fault))).await) }
    });
    let mut struck = 0;
    let mut ended = Box::pin(stream::iter(cases).buffered(CASES_AT_ONCE));
    while let Some((n, (end, met))) = ended.next().await {
        assert_eq!(end, expected, "{} at request {n}", fault.name());
        if !met {
            break;
        }
        struck += 1;
    }
    assert!((10..REQUESTS_MAX).contains(&struck), "{struck} requests were met");
    check_jobs(&audit, fault, struck);
    struck
}

/// Every namespace of this sweep has seen exactly one Job made.
fn check_jobs(audit: &Audit, fault: Fault, cases: usize) {
    let mut jobs = BTreeMap::<String, usize>::new();
    for request in audit.requests().unwrap() {
        let made = request.verb == "create" && request.resource == "jobs" && request.code == 201;
        if made && request.namespace.starts_with(fault.name()) {
            *jobs.entry(request.namespace).or_default() += 1;
        }
    }
    assert!(jobs.len() >= cases && jobs.values().all(|made| *made == 1), "{jobs:?}");
}

/// One experiment in a namespace of its own, reconciled by an operator that meets this fault and is started anew when it
/// dies. Also tells whether the fault met a request.
async fn case(config: &Config, namespace: &str, fault: Option<(usize, Fault)>) -> (End, bool) {
    let client = Client::try_from(config.clone()).unwrap();
    let head = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let object = Namespace { metadata: head, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
    let experiments = Api::<ChaosExperiment>::namespaced(client.clone(), namespace);
    let experiment: ChaosExperiment = serde_saphyr::from_str(EXPERIMENT).unwrap();
    experiments.create(&PostParams::default(), &experiment).await.unwrap();
    let saboteur = Saboteur::new(fault);
    let operator = Operator::start(config, namespace, &saboteur);
    let begun = Instant::now();
    let status = loop {
        let status = json!(experiments.get("lesson").await.unwrap().status);
        if status["completionTime"].is_string() && is_bare(&client, namespace).await {
            break status;
        }
        assert!(begun.elapsed() < CASE_WITHIN, "{namespace}: {status}");
        sleep(Duration::from_millis(100)).await;
    };
    operator.stop();
    let events = Api::<Event>::namespaced(client, namespace).list(&ListParams::default()).await.unwrap();
    let ours = |event: &&Event| event.reporting_controller.as_deref() == Some("paylab.dev/operator");
    let events = events.iter().filter(ours).count();
    (End { status: without_times(status), events }, saboteur.has_struck())
}

/// Whether nothing of the lab is left.
async fn is_bare(client: &Client, namespace: &str) -> bool {
    let (plans, policies, services, deployments, jobs, pods) = tokio::join!(
        count::<ConfigMap>(client, namespace),
        count::<NetworkPolicy>(client, namespace),
        count::<Service>(client, namespace),
        count::<Deployment>(client, namespace),
        count::<Job>(client, namespace),
        count::<Pod>(client, namespace),
    );
    plans + policies + services + deployments + jobs + pods == 0
}

async fn count<K>(client: &Client, namespace: &str) -> usize
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=paylab");
    Api::<K>::namespaced(client.clone(), namespace).list(&ours).await.unwrap().items.len()
}

/// A status without its run and its times.
fn without_times(mut status: Value) -> Value {
    for field in ["startTime", "completionTime", "runId"] {
        status.as_object_mut().unwrap().remove(field);
    }
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    status
}

/// An operator in a thread of its own, with the rights that the chart gives it, and started anew whenever it ends: all that
/// it knew is gone with its runtime, as with a process.
struct Operator {
    /// It ends when this is dropped, as with a case that is not waited for.
    stop: DropGuard,
    thread: thread::JoinHandle<()>,
}

impl Operator {
    fn start(config: &Config, namespace: &str, saboteur: &Saboteur) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (saboteur, mut config) = (saboteur.clone(), config.clone());
        config.auth_info.impersonate = Some(super::OPERATOR.to_owned());
        let options = options(namespace);
        let thread = thread::spawn(move || {
            while !stopped.is_cancelled() {
                let life = runtime::Builder::new_current_thread().enable_all().build().unwrap();
                life.block_on(async {
                    let client = ClientBuilder::try_from(config.clone()).unwrap().with_layer(&saboteur).build();
                    let forever = CancellationToken::new();
                    tokio::select! {
                        // An error at its start ends it, and it is started anew.
                        _ = reconcile_all(client, &options, &forever) => sleep(RESTART_PAUSE).await,
                        () = saboteur.death() => {}
                        () = stopped.cancelled() => {}
                    }
                });
                life.shutdown_background();
            }
        });
        Self { stop: stop.drop_guard(), thread }
    }

    fn stop(self) {
        let Self { stop, thread } = self;
        drop(stop);
        thread.join().unwrap();
    }
}

fn options(namespace: &str) -> Options {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }
    let line = ["operator", "--image", "paylab:1", "--watch-namespace", namespace];
    <Line as clap::Parser>::parse_from(line).options
}
