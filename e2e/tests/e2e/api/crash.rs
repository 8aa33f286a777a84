//! Kills the operator before and after each of its requests, and lets each request fail in every way. The result must always be
//! the same: one Job, one event with the verdict, and no remaining object.

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
use operator::{evidence::fetch_with, options::Options, reconcile_all};
use paylab_e2e::{AuditLog, Node};
use paylab_resource::spec::{ChaosExperiment, Retain};
use serde_json::{Value, json};
use tokio::{runtime, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::request_faults::{FaultInjector, RequestFault};

/// An experiment that is run again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Experiment {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

/// It is small, so that a run is quick, but has enough payments for some to be booked twice.
pub(crate) const LESSON: Experiment = Experiment {
    name: "lesson",
    text: r#"
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
"#,
};
/// The same for a service of the user's own that is deployed for the run, and whose shape is Stripe's. Its lab is kept, without running parts.
pub(crate) const SHOP: Experiment = Experiment {
    name: "shop",
    text: r#"
apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: shop}
spec:
  claim: ExactlyOnce
  expect: Violated
  seed: 42
  retain: Always
  payments: {count: 50}
  client: {idempotencyKey: PerPayment}
  faults:
    - {name: request-lost, probability: 0.3, reset: {at: BeforeRequest}}
    - {name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}
  target:
    image: {image: "apis:1", port: 9000}
    pay:
      post: /v1/charges
      headers: {Idempotency-Key: "{key}"}
      form: {amount: "{amount.minor}", currency: "{currency}", "metadata[reference]": "{reference}"}
    ledger:
      list:
        get: /v1/charges?limit=100
        items: "$.data[*]"
        reference: "$.metadata.reference"
        minor: "$.amount"
        next: {query: {starting_after: "$.data[-1].id"}, while: "$.has_more"}
      settle: {quiet: 50ms, within: 10s}
"#,
};
/// The operator's service account, with the rights that the chart grants.
pub(crate) const OPERATOR: &str = "system:serviceaccount:paylab:paylab";
/// This many cases run at once, each in a namespace of its own.
const PARALLEL_CASES: usize = 6;
/// More requests than the operator makes for one experiment.
const REQUESTS_MAX: usize = 200;
/// The time limit of one case.
const CASE_WITHIN: Duration = Duration::from_secs(90);
/// The pause before an operator whose start failed is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// The result of one case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CaseResult {
    /// The status, without the fields that differ from run to run.
    status: Value,
    /// How many Events tell the verdict.
    events: usize,
    /// Whether there is evidence, which outlives the lab.
    has_evidence: bool,
}

/// The administrator's configuration for the API server, without retries.
pub(crate) async fn admin_config(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the node has written this file");
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("the file is valid");
    config.default_retry = false;
    config
}

/// Injects a fault into the first request, in another case into the second, and so on, until an experiment completes with fewer
/// requests. Returns the number of cases in which the fault was injected.
pub(crate) async fn inject_at_every_request(node: &Node, experiment: Experiment, fault: RequestFault) -> usize {
    let config = admin_config(node.kubeconfig()).await;
    let audit_log = node.audit_log_from_now().unwrap();
    let prefix = format!("{}-{}", experiment.name, fault.name());
    let (expected, _) = run_case(&config, experiment, &format!("without-{prefix}"), None).await;
    let seen = (expected.status["verdict"].as_str(), expected.events, expected.has_evidence);
    assert_eq!(seen, (Some("Violated"), 1, true), "{}", expected.status);
    let cases = (1..=REQUESTS_MAX).map(|n| {
        let (config, namespace) = (&config, format!("{prefix}-{n}"));
        async move { (n, run_case(config, experiment, &namespace, Some((n, fault))).await) }
    });
    let mut injected_cases = 0;
    let mut results = Box::pin(stream::iter(cases).buffered(PARALLEL_CASES));
    while let Some((n, (result, injected))) = results.next().await {
        assert_eq!(result, expected, "{prefix} at request {n}");
        if !injected {
            break;
        }
        injected_cases += 1;
    }
    assert!((10..REQUESTS_MAX).contains(&injected_cases), "injected into {injected_cases} requests");
    check_jobs(&audit_log, &prefix, injected_cases);
    injected_cases
}

/// Exactly one Job was created in each namespace of these cases.
fn check_jobs(audit_log: &AuditLog, prefix: &str, cases: usize) {
    let mut jobs = BTreeMap::<String, usize>::new();
    for request in audit_log.requests().unwrap() {
        let is_created = request.verb == "create" && request.resource == "jobs" && request.code == 201;
        if is_created && request.namespace.starts_with(prefix) {
            *jobs.entry(request.namespace).or_default() += 1;
        }
    }
    assert!(jobs.len() >= cases && jobs.values().all(|created| *created == 1), "{jobs:?}");
}

/// Runs one experiment in a namespace of its own, with an operator whose n-th request has this fault, and which is restarted when
/// it is killed. Also returns whether the fault was injected.
async fn run_case(
    config: &Config,
    Experiment { name, text }: Experiment,
    namespace: &str,
    fault: Option<(usize, RequestFault)>,
) -> (CaseResult, bool) {
    let client = Client::try_from(config.clone()).unwrap();
    let head = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let object = Namespace { metadata: head, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
    let experiments = Api::<ChaosExperiment>::namespaced(client.clone(), namespace);
    let experiment: ChaosExperiment = serde_saphyr::from_str(text).unwrap();
    experiments.create(&PostParams::default(), &experiment).await.unwrap();
    let injector = FaultInjector::new(fault);
    let operator = Operator::start(config, namespace, &injector);
    let begun = Instant::now();
    let status = loop {
        let status = json!(experiments.get(name).await.unwrap().status);
        if status["completionTime"].is_string() && has_ended(&client, namespace, experiment.spec.retain).await {
            break status;
        }
        assert!(begun.elapsed() < CASE_WITHIN, "{namespace}: {status}");
        sleep(Duration::from_millis(100)).await;
    };
    operator.stop();
    // Without a kubelet there are no logs, so that the evidence tells no single attempts.
    let has_evidence =
        fetch_with(client.clone(), name, namespace).await.is_ok_and(|evidence| evidence.shares[0].is_err());
    let events = Api::<Event>::namespaced(client, namespace).list(&ListParams::default()).await.unwrap();
    let is_from_operator = |event: &&Event| event.reporting_controller.as_deref() == Some("paylab.dev/operator");
    let reasons: Vec<_> = events.iter().filter(is_from_operator).filter_map(|event| event.reason.clone()).collect();
    // No phase lasts, and nothing keeps the experiment from going on, so that its end alone is told.
    let notes: Vec<_> = events.iter().filter(is_from_operator).filter_map(|event| event.note.clone()).collect();
    assert!(reasons.len() == 1, "{namespace}: {reasons:?} {notes:?}");
    let events = reasons.iter().filter(|reason| status["verdict"] == reason.as_str()).count();
    (CaseResult { status: without_variable_fields(status), events, has_evidence }, injector.has_injected())
}

/// Whether no object of the lab exists; if it is to be kept, whether no part of it is to run any more.
async fn has_ended(client: &Client, namespace: &str, retain: Retain) -> bool {
    if retain == Retain::Always {
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
        let deployments = deployments.list(&ListParams::default()).await.unwrap();
        let is_stopped = |one: &Deployment| one.spec.as_ref().and_then(|spec| spec.replicas) == Some(0);
        return deployments.items.len() == 2 && deployments.iter().all(is_stopped);
    }
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
    let lab_objects = ListParams::default().labels("app.kubernetes.io/managed-by=paylab");
    Api::<K>::namespaced(client.clone(), namespace).list(&lab_objects).await.unwrap().items.len()
}

/// A status without the run id and the times.
fn without_variable_fields(mut status: Value) -> Value {
    for field in ["startTime", "completionTime", "runId"] {
        status.as_object_mut().unwrap().remove(field);
    }
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    status
}

/// An operator in a thread of its own, with the rights that the chart grants. Whenever it ends, it is started again with a new
/// runtime, so that, as with a process, no state is kept in memory.
pub(super) struct Operator {
    /// The operator stops when this is dropped, also when a case is cancelled.
    stop: DropGuard,
    thread: thread::JoinHandle<()>,
}

impl Operator {
    pub(super) fn start(config: &Config, namespace: &str, injector: &FaultInjector) -> Self {
        Self::start_as(OPERATOR, config, namespace, injector)
    }

    /// The same with the rights of another user.
    pub(super) fn start_as(user: &str, config: &Config, namespace: &str, injector: &FaultInjector) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (injector, mut config) = (injector.clone(), config.clone());
        config.auth_info.impersonate = Some(user.to_owned());
        let options = options(namespace);
        let thread = thread::spawn(move || {
            while !stopped.is_cancelled() {
                let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let client = ClientBuilder::try_from(config.clone()).unwrap().with_layer(&injector).build();
                    let never = CancellationToken::new();
                    tokio::select! {
                        // An error at its start ends the operator; the loop starts it again.
                        _ = reconcile_all(client, &options, &never) => sleep(RESTART_PAUSE).await,
                        () = injector.killed() => {}
                        () = stopped.cancelled() => {}
                    }
                });
                runtime.shutdown_background();
            }
        });
        Self { stop: stop.drop_guard(), thread }
    }

    pub(super) fn stop(self) {
        let Self { stop, thread } = self;
        drop(stop);
        thread.join().unwrap();
    }
}

fn options(namespace: &str) -> Options {
    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: Options,
    }
    // As the chart has it.
    let parts = json!({"resources": {"limits": {"memory": "512Mi"}}}).to_string();
    let arguments = ["operator", "--image", "paylab:1", "--watch-namespace", namespace, "--parts", &parts];
    <CommandLine as clap::Parser>::parse_from(arguments).options
}
