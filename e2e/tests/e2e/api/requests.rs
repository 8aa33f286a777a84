//! How many requests the operator makes to the API server, by the API server's own audit log.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use kube::api::PostParams;
use paylab_e2e::{AuditLog, AuditedRequest, Node, eventually};
use paylab_resource::{spec::ChaosExperiment, status::Phase};
use serde_json::json;
use tokio::time::sleep;

use super::{
    crash::{OPERATOR, admin_config},
    fake_kubelet::UNREADY,
    obstacles::{Scene, lesson},
};

/// What one experiment may cost.
const READS_MAX: usize = 40;
const WRITES_MAX: usize = 12;
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const READS: [&str; 2] = ["get", "list"];
/// For how long nothing is asked by an operator that has nothing to do.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_WITHIN: Duration = Duration::from_secs(120);
/// How many wait, and for how long their requests are counted.
const WAITING: usize = 500;
const COUNTED: Duration = Duration::from_secs(30);
/// As many labs of one namespace may be under way.
const LABS_MAX_PER_NAMESPACE: usize = 4;
/// What each of them may cost meanwhile: two looks, because one may come for the minute and one for a time limit, with an Event and a status.
const LAB_REQUESTS_MAX: usize = 16;
/// An operator that lacks a right, and its service account.
const HINDERED: &str = "system:serviceaccount:paylab:hindered";

/// The numbers of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    reads: usize,
    writes: usize,
    watches: usize,
}

impl Counts {
    fn of(requests: &[AuditedRequest], user: &str) -> Self {
        let count =
            |verbs: &[&str]| requests.iter().filter(|it| it.user == user && verbs.contains(&it.verb.as_str())).count();
        Self { reads: count(&READS), writes: count(&WRITES), watches: count(&["watch"]) }
    }

    fn is_idle(self) -> bool {
        self.reads + self.writes == 0
    }
}

/// Waits until the operator makes no requests but watches.
async fn until_idle(node: &Node, user: &str) {
    let begun = Instant::now();
    loop {
        let log = node.audit_log_from_now().unwrap();
        sleep(IDLE).await;
        let counts = Counts::of(&log.requests().unwrap(), user);
        if counts.is_idle() {
            return;
        }
        assert!(begun.elapsed() < IDLE_WITHIN, "{counts:?}");
    }
}

fn requests(log: &AuditLog, user: &str) -> String {
    let requests = log.requests().unwrap();
    let of_user = requests.iter().filter(|it| it.user == user && it.verb != "watch");
    of_user.map(|it| format!("{} {} {} {}\n", it.verb, it.resource, it.name, it.code)).collect()
}

/// From its creation until its lab is gone; and then for some time.
pub(super) async fn of_one_experiment(node: &Node) {
    let config = admin_config(node.kubeconfig()).await;
    let started = node.audit_log_from_now().unwrap();
    let scene = Scene::open(&config, "requests").await;
    until_idle(node, OPERATOR).await;
    println!("an operator that starts: {:?}", Counts::of(&started.requests().unwrap(), OPERATOR));
    let log = node.audit_log_from_now().unwrap();
    scene.apply(&lesson("lesson")).await;
    let status = scene.ended("lesson", Duration::from_secs(60)).await;
    assert_eq!(status.phase, Some(Phase::Completed), "{:?}", status.message);
    until_idle(node, OPERATOR).await;
    let counts = Counts::of(&log.requests().unwrap(), OPERATOR);
    println!("one experiment: {counts:?}");
    assert!(counts.reads <= READS_MAX && counts.writes <= WRITES_MAX, "{counts:?}\n{}", requests(&log, OPERATOR));
    let log = node.audit_log_from_now().unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(Counts::of(&log.requests().unwrap(), OPERATOR).is_idle(), "{}", requests(&log, OPERATOR));
    scene.operator.stop();
}

/// They wait behind labs that never become ready.
pub(super) async fn of_many_that_wait(node: &Node) {
    let config = admin_config(node.kubeconfig()).await;
    let scene = Scene::open(&config, "many").await;
    for number in 0..LABS_MAX_PER_NAMESPACE {
        let name = format!("{UNREADY}-{number}");
        scene.apply(&lesson(&name)).await;
        let is_preparing =
            |status: &paylab_resource::status::ChaosExperimentStatus| status.phase == Some(Phase::Preparing);
        scene.status_when(&name, Duration::from_secs(30), is_preparing).await;
    }
    let create = |number| {
        let (experiments, waiting) = (&scene.experiments, lesson(&format!("waiting-{number}")));
        async move { experiments.create(&PostParams::default(), &waiting).await.unwrap() }
    };
    let created: Vec<ChaosExperiment> = stream::iter(0..WAITING).map(create).buffer_unordered(8).collect().await;
    let last = created.last().and_then(|last| last.metadata.name.clone()).unwrap();
    let is_told = |status: &paylab_resource::status::ChaosExperimentStatus| status.message.is_some();
    scene.status_when(&last, Duration::from_secs(60), is_told).await;
    until_idle(node, OPERATOR).await;
    let log = node.audit_log_from_now().unwrap();
    sleep(COUNTED).await;
    let (waiting, labs): (Vec<_>, Vec<_>) =
        log.requests().unwrap().into_iter().partition(|it| it.name.starts_with("waiting-"));
    let (waiting, labs) = (Counts::of(&waiting, OPERATOR), Counts::of(&labs, OPERATOR));
    println!(
        "{WAITING} experiments that wait, in {} s: {waiting:?}; {LABS_MAX_PER_NAMESPACE} labs before them: {labs:?}",
        COUNTED.as_secs(),
    );
    assert!(waiting.reads + waiting.writes < COUNTED.as_secs().try_into().unwrap(), "{waiting:?}");
    assert!(labs.reads + labs.writes <= LABS_MAX_PER_NAMESPACE * LAB_REQUESTS_MAX, "{labs:?}");
    scene.operator.stop();
    node.kubectl(&["delete", "namespace", "many", "--wait=false"]).unwrap();
}

/// An operator whose administrator has granted the rights by hand, and has forgotten one.
pub(super) async fn without_the_right_to_watch(node: &Node) {
    let role = node.kubectl(&["get", "clusterrole", "paylab", "--output=json"]).unwrap();
    let mut role: serde_json::Value = serde_json::from_str(&role).unwrap();
    role["metadata"] = json!({"name": "hindered"});
    for rule in role["rules"].as_array_mut().unwrap() {
        if rule["resources"] == json!(["replicasets"]) {
            rule["verbs"] = json!(["list"]);
        }
    }
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "hindered"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "hindered"},
        "subjects": [{"kind": "ServiceAccount", "name": "hindered", "namespace": "paylab"}]});
    node.apply(&format!("{role}\n---\n{binding}")).unwrap();
    // The API server hears of a new binding by a watch.
    let may_list =
        || node.kubectl(&["auth", "can-i", "list", "chaosexperiments", "--all-namespaces", "--as", HINDERED]);
    eventually("the binding", Duration::from_secs(60), may_list).unwrap();
    let config = admin_config(node.kubeconfig()).await;
    super::obstacles::create_namespace(&kube::Client::try_from(config.clone()).unwrap(), "unwatched").await;
    let log = node.audit_log_from_now().unwrap();
    let scene = Scene::start_as(HINDERED, &config, "unwatched");
    scene.apply(&lesson("lesson")).await;
    let begun = Instant::now();
    let status = scene.ended("lesson", Duration::from_secs(60)).await;
    assert_eq!(status.phase, Some(Phase::Completed), "{:?}", status.message);
    sleep(Duration::from_secs(10)).await;
    let requests = log.requests().unwrap();
    let forbidden: Vec<_> = requests.iter().filter(|it| it.user == HINDERED && it.code == 403).collect();
    assert!(!forbidden.is_empty(), "the right was not missing");
    let only_that = forbidden.iter().all(|it| (it.verb.as_str(), it.resource.as_str()) == ("watch", "replicasets"));
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    println!(
        "without the right to watch ReplicaSets: {:?}, {} refused",
        Counts::of(&requests, HINDERED),
        forbidden.len()
    );
    assert!(only_that && forbidden.len() <= most, "{forbidden:?}");
    scene.operator.stop();
}
