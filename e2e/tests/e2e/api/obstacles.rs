//! What a cluster may put in an experiment's way: policies, webhooks, quotas, what is left of an earlier experiment, and other experiments. Each
//! one ends in bounded time, and its message has the cluster's own words.

use std::time::{Duration, Instant};

use k8s_openapi::api::{batch::v1::Job, core::v1::Namespace};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams, PropagationPolicy},
};
use paylab_e2e::Node;
use paylab_resource::{
    spec::{ChaosExperiment, Retain},
    status::{ChaosExperimentStatus, Phase},
};
use tokio::time::sleep;

use super::{
    crash::{LESSON, OPERATOR, Operator, admin_config},
    fake_kubelet::STOPPED,
    request_faults::FaultInjector,
};
use crate::support::await_admission;

/// A refusal is tolerated for a minute, and the next look may come half a minute later.
const REFUSED_WITHIN: Duration = Duration::from_secs(150);
/// How many experiments are applied at once, and how long they may take.
const AT_ONCE: usize = 100;
const ALL_WITHIN: Duration = Duration::from_secs(400);
/// How many labs the operator lets be under way in one namespace, by default.
const LABS_MAX_PER_NAMESPACE: usize = 4;
/// Experiments that would take minutes to compute, how many payments each has, and how long an ordinary one beside them may take. It waits
/// for its turn behind them, and alone it takes a second.
const HUGE: usize = 9;
const HUGE_PAYMENTS: i64 = 60_000_000;
const BESIDE_HUGE_WITHIN: Duration = Duration::from_secs(90);
/// What makes the API server refuse Deployments, call a webhook that does not answer, or forbid pods, each in one namespace only. The quota forbids
/// a kind of Service too, by which is seen that it is in force before the second pod is there.
const OBSTACLES: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-deployments}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: obstacle-policy}}
    resourceRules:
      - {apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE]}
  validations:
    - {expression: "false", message: "ask the platform team first"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-deployments}
spec: {policyName: no-deployments, validationActions: [Deny]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: silent}
webhooks:
  - name: silent.paylab.dev
    clientConfig: {url: "https://127.0.0.1:1/"}
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: obstacle-webhook}}
    rules:
      - {apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}
    failurePolicy: Fail
    sideEffects: None
    admissionReviewVersions: [v1]
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: no-room-for-the-load, namespace: obstacle-quota}
spec: {hard: {pods: "2", services.nodeports: "0"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: tiny, namespace: obstacle-limits}
spec: {limits: [{type: Container, max: {memory: 16Mi}}]}
"#;
/// What the API server says of each.
const REFUSED_BY_POLICY: &str = "ask the platform team first";
const REFUSED_BY_WEBHOOK: &str = "silent.paylab.dev";
const REFUSED_BY_QUOTA: &str = "exceeded quota: no-room-for-the-load";
const REFUSED_BY_LIMIT: &str = "maximum memory usage per Container is 16Mi";
/// An object that each refuses, with its words.
const PROBES: [(&str, &str); 4] = [
    (
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe, namespace: obstacle-policy}
spec:
  selector: {matchLabels: {app: probe}}
  template: {metadata: {labels: {app: probe}}, spec: {containers: [{name: probe, image: "probe:1"}]}}
"#,
        REFUSED_BY_POLICY,
    ),
    (
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: probe, namespace: obstacle-webhook}
"#,
        REFUSED_BY_WEBHOOK,
    ),
    (
        r#"
apiVersion: v1
kind: Service
metadata: {name: probe, namespace: obstacle-quota}
spec: {type: NodePort, ports: [{port: 80}]}
"#,
        REFUSED_BY_QUOTA,
    ),
    (
        r#"
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: obstacle-limits}
spec: {containers: [{name: probe, image: "probe:1", resources: {limits: {memory: 512Mi}}}]}
"#,
        REFUSED_BY_LIMIT,
    ),
];

/// A namespace with an operator of its own.
pub(super) struct Scene {
    pub(super) client: Client,
    pub(super) experiments: Api<ChaosExperiment>,
    pub(super) operator: Operator,
}

impl Scene {
    pub(super) async fn open(config: &Config, namespace: &str) -> Self {
        let client = Client::try_from(config.clone()).unwrap();
        create_namespace(&client, namespace).await;
        Self::start(config, namespace)
    }

    pub(super) fn start(config: &Config, namespace: &str) -> Self {
        Self::start_as(OPERATOR, config, namespace)
    }

    pub(super) fn start_as(user: &str, config: &Config, namespace: &str) -> Self {
        let client = Client::try_from(config.clone()).unwrap();
        Self {
            experiments: Api::namespaced(client.clone(), namespace),
            operator: Operator::start_as(user, config, namespace, &FaultInjector::new(None)),
            client,
        }
    }

    pub(super) async fn apply(&self, experiment: &ChaosExperiment) {
        self.experiments.create(&PostParams::default(), experiment).await.unwrap();
    }

    async fn status(&self, name: &str) -> ChaosExperimentStatus {
        self.experiments.get(name).await.unwrap().status.unwrap_or_default()
    }

    pub(super) async fn status_when(
        &self,
        name: &str,
        within: Duration,
        holds: impl Fn(&ChaosExperimentStatus) -> bool,
    ) -> ChaosExperimentStatus {
        let begun = Instant::now();
        loop {
            let status = self.status(name).await;
            if holds(&status) {
                return status;
            }
            assert!(begun.elapsed() < within, "{name}: {:?} {:?}", status.phase, status.message);
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) async fn ended(&self, name: &str, within: Duration) -> ChaosExperimentStatus {
        self.status_when(name, within, |status| status.completion_time.is_some()).await
    }

    /// Waits until all experiments have ended, and returns their statuses in the order of their names.
    async fn all_ended(&self, within: Duration) -> Vec<ChaosExperimentStatus> {
        let begun = Instant::now();
        loop {
            let all = self.experiments.list(&ListParams::default()).await.unwrap().items;
            let all: Vec<_> = all.into_iter().map(|one| one.status.unwrap_or_default()).collect();
            let mut under_way = all.iter().filter(|status| status.completion_time.is_none());
            let Some(one) = under_way.next() else { return all };
            assert!(
                begun.elapsed() < within,
                "{} of {} have not ended, such as {one:?}",
                1 + under_way.count(),
                all.len()
            );
            sleep(Duration::from_millis(500)).await;
        }
    }
}

pub(super) async fn create_namespace(client: &Client, name: &str) {
    let head = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata: head, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

/// The lesson with another name.
pub(super) fn lesson(name: &str) -> ChaosExperiment {
    let mut experiment: ChaosExperiment = serde_saphyr::from_str(LESSON.text).unwrap();
    experiment.metadata.name = Some(name.to_owned());
    experiment
}

/// Each obstacle in a namespace of its own, at the same time.
pub(crate) async fn end_with_their_reason(node: &Node) {
    let config = admin_config(node.kubeconfig()).await;
    let client = Client::try_from(config.clone()).unwrap();
    for namespace in ["obstacle-policy", "obstacle-webhook", "obstacle-quota", "obstacle-limits"] {
        create_namespace(&client, namespace).await;
    }
    node.apply(OBSTACLES).unwrap();
    for (probe, refusal) in PROBES {
        await_admission(node, probe, refusal);
    }
    tokio::join!(policy(&config), webhook(&config), quota(&config), limit_range(&config), orphans(&config));
}

/// Whether a status says this.
fn says(text: &str) -> impl Fn(&ChaosExperimentStatus) -> bool {
    move |status| status.message.as_deref().is_some_and(|message| message.contains(text))
}

async fn policy(config: &Config) {
    let scene = Scene::start(config, "obstacle-policy");
    scene.apply(&lesson("lesson")).await;
    let waiting = scene.status_when("lesson", Duration::from_secs(30), says(REFUSED_BY_POLICY)).await;
    assert_eq!(waiting.phase, Some(Phase::Preparing), "it is told at once and may go away");
    let status = scene.ended("lesson", REFUSED_WITHIN).await;
    assert_eq!((status.phase, status.verdict), (Some(Phase::Failed), None));
    let message = status.message.unwrap();
    assert!(message.contains("the API server refuses the Deployment lesson-"), "{message}");
    scene.operator.stop();
}

async fn webhook(config: &Config) {
    let scene = Scene::start(config, "obstacle-webhook");
    let mut experiment = lesson("lesson");
    experiment.spec.active_deadline = "15s".parse().unwrap();
    scene.apply(&experiment).await;
    let status = scene.ended("lesson", REFUSED_WITHIN).await;
    assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Failed), Some("InternalError")));
    let message = status.message.unwrap();
    assert!(message.contains(REFUSED_BY_WEBHOOK), "{message}");
    scene.operator.stop();
}

async fn quota(config: &Config) {
    let scene = Scene::start(config, "obstacle-quota");
    scene.apply(&lesson("lesson")).await;
    let waiting = scene.status_when("lesson", Duration::from_secs(60), says(REFUSED_BY_QUOTA)).await;
    assert_eq!(waiting.phase, Some(Phase::Loading), "{waiting:?}");
    let status = scene.ended("lesson", REFUSED_WITHIN).await;
    assert_eq!(status.reason.as_deref(), Some("ReportMissing"));
    let message = status.message.unwrap();
    assert!(message.contains("was never created") && message.contains("exceeded quota"), "{message}");
    assert!(!message.contains("gone"), "{message}");
    scene.operator.stop();
}

/// A container may have less memory than the parts ask for.
async fn limit_range(config: &Config) {
    let scene = Scene::start(config, "obstacle-limits");
    scene.apply(&lesson("lesson")).await;
    let status = scene.ended("lesson", REFUSED_WITHIN).await;
    assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Failed), Some("FailedCreate")));
    let message = status.message.unwrap();
    assert!(message.contains(REFUSED_BY_LIMIT), "{message}");
    scene.operator.stop();
}

async fn orphans(config: &Config) {
    let scene = Scene::open(config, "obstacle-orphans").await;
    let mut experiment = lesson("lesson");
    experiment.spec.retain = Retain::Always;
    scene.apply(&experiment).await;
    scene.ended("lesson", REFUSED_WITHIN).await;
    scene.operator.stop();
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    scene.experiments.delete("lesson", &orphan).await.unwrap();
    let begun = Instant::now();
    while scene.experiments.get_opt("lesson").await.unwrap().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the garbage collector does not let the experiment go");
        sleep(Duration::from_millis(100)).await;
    }
    let scene = Scene::start(config, "obstacle-orphans");
    scene.apply(&experiment).await;
    let way_out = "kubectl delete configmap lesson-plan --namespace obstacle-orphans";
    scene.status_when("lesson", Duration::from_secs(30), says(way_out)).await;
    // What the message says helps.
    let plans = Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(scene.client.clone(), "obstacle-orphans");
    plans.delete("lesson-plan", &DeleteParams::background()).await.unwrap();
    let status = scene.ended("lesson", REFUSED_WITHIN).await;
    assert_eq!(status.phase, Some(Phase::Completed), "{:?}", status.message);
    scene.operator.stop();
}

/// A hundred experiments that are applied at once: all end with their verdict, no more labs are under way than may be, the oldest begin first,
/// and those that wait say so.
pub(crate) async fn a_hundred_at_once(node: &Node) {
    let config = admin_config(node.kubeconfig()).await;
    let client = Client::try_from(config.clone()).unwrap();
    create_namespace(&client, "hundred").await;
    let experiments = Api::<ChaosExperiment>::namespaced(client.clone(), "hundred");
    for number in 0..AT_ONCE {
        experiments.create(&PostParams::default(), &lesson(&format!("lesson-{number:03}"))).await.unwrap();
    }
    let scene = Scene::start(&config, "hundred");
    let last = format!("lesson-{:03}", AT_ONCE - 1);
    let queued = |status: &ChaosExperimentStatus| status.phase == Some(Phase::Pending) && status.message.is_some();
    let waiting = scene.status_when(&last, Duration::from_secs(60), queued).await;
    let message = waiting.message.unwrap();
    assert!(message.contains("waits for its turn: number "), "{message}");
    assert!(waiting.start_time.is_none(), "its deadline does not run while it waits");
    let all = scene.all_ended(ALL_WITHIN).await;
    assert_eq!(all.len(), AT_ONCE);
    let times: Vec<_> =
        all.iter().map(|one| (one.start_time.clone().unwrap().0, one.completion_time.clone().unwrap().0)).collect();
    for (number, status) in all.iter().enumerate() {
        assert_eq!(status.phase, Some(Phase::Completed), "lesson-{number:03}: {:?}", status.message);
        let (start, _) = times[number];
        // The times are in whole seconds, so that one that has just ended may seem to be under way.
        let under_way = times.iter().filter(|(began, ended)| *began <= start && start < *ended).count();
        assert!(under_way <= LABS_MAX_PER_NAMESPACE, "{under_way} labs were under way when lesson-{number:03} began");
        // Experiments of the same second have no order but their names, which are in the same order here.
        let earlier = times[..number].iter().filter(|(began, _)| *began > start).count();
        // An older one whose turn has come, but which has not been looked at yet, keeps its place while others begin beside it.
        assert!(earlier < LABS_MAX_PER_NAMESPACE, "lesson-{number:03} began before {earlier} older ones");
    }
    let jobs = Api::<Job>::namespaced(client, "hundred");
    let begun = Instant::now();
    while !jobs.list(&ListParams::default()).await.unwrap().items.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not all labs are removed");
        sleep(Duration::from_millis(200)).await;
    }
    scene.operator.stop();
}

/// Nine experiments of 60 million payments whose loads report that they were stopped, and an ordinary one that is applied after them.
pub(crate) async fn beside_huge_ones(node: &Node) {
    let config = admin_config(node.kubeconfig()).await;
    let scene = Scene::open(&config, "huge").await;
    let begun = Instant::now();
    for number in 0..HUGE {
        let mut huge = lesson(&format!("{STOPPED}-{number}"));
        huge.spec.payments.count = HUGE_PAYMENTS;
        huge.spec.active_deadline = "5m".parse().unwrap();
        scene.apply(&huge).await;
    }
    scene.apply(&lesson("lesson")).await;
    let status = scene.ended("lesson", BESIDE_HUGE_WITHIN).await;
    assert_eq!(status.phase, Some(Phase::Completed), "{:?}", status.message);
    println!("an ordinary experiment beside {HUGE} huge ones took {:.1} s", begun.elapsed().as_secs_f64());
    for number in 0..HUGE {
        let status = scene.ended(&format!("{STOPPED}-{number}"), BESIDE_HUGE_WITHIN).await;
        assert_eq!(status.reason.as_deref(), Some("LoadStopped"), "{:?}", status.message);
    }
    scene.operator.stop();
}
