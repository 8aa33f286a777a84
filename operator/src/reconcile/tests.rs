//! Reconciles with an API server in memory, which counts what it is asked, and watches that tell what the test wants.

use std::sync::Mutex;

use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource,
    runtime::{reflector::store::Writer, watcher},
};
use paylab_resource::status::{ChaosExperimentStatus, Phase};
use serde_json::{Value, json};
use tokio::time::advance;

use super::{
    publish::{builder, finish},
    *,
};
use crate::{
    decide::PodProblem,
    fixtures::{
        FakeApi, PROXY, UID, at, deployment, ended, foreign, lab, loaded, plan, planned, pod, ready, resource,
        restarted, settings, waiting,
    },
    names::{self, Part},
    observe::{Observed, Ownership, Writers, trimmed},
    queue::{Bounds, Place, Ticket, Turn},
};

/// What a reconcile needs to be run by itself.
struct Stage {
    api: FakeApi,
    watches: Mutex<Writers>,
    context: Arc<Context>,
    experiment: Arc<PartialObjectMeta<ChaosExperiment>>,
}

impl Stage {
    /// An experiment with these changes of its spec that nobody has seen, and watches that have listed nothing yet.
    fn new(changes: &Value) -> Self {
        let (api, watches) = (FakeApi::default(), Writers::default());
        let stored = json!(resource(changes));
        api.put("chaosexperiments/lesson", stored.clone());
        let context = Context {
            client: api.client(),
            settings: settings(),
            metrics: Arc::new(Metrics::new()),
            queue: Queue::new(Bounds { labs: 1, labs_of_namespace: 1 }).0,
            watched: watches.watched(),
            memory: Memory::default(),
            keep_labs_for: Duration::from_secs(60),
            failures: Failures::default(),
            identity: "operator".to_owned(),
        };
        Self {
            api,
            watches: Mutex::new(watches),
            context: Arc::new(context),
            experiment: Arc::new(serde_json::from_value(stored).unwrap()),
        }
    }

    /// One with a lab whose parts start.
    async fn starting(changes: &Value) -> Self {
        let stage = Self::new(changes);
        stage.reconcile().await;
        stage.exists(&starting());
        stage.told(&starting());
        stage.reconcile().await;
        stage.api.asked();
        stage
    }

    /// One whose load runs.
    async fn loading(changes: &Value) -> Self {
        let stage = Self::starting(changes).await;
        stage.exists(&lab());
        stage.told(&lab());
        stage.reconcile().await;
        stage.exists(&loaded(ready()));
        stage.told(&loaded(ready()));
        stage.reconcile().await;
        stage.api.asked();
        stage
    }

    async fn reconcile(&self) -> Action {
        reconcile(Arc::clone(&self.experiment), Arc::clone(&self.context)).await.unwrap()
    }

    /// The requests of one reconcile.
    async fn requests(&self) -> Vec<String> {
        self.reconcile().await;
        self.api.asked()
    }

    /// The API server has these objects.
    fn exists(&self, lab: &Observed) {
        let list = |objects: Vec<Value>| json!({"metadata": {}, "items": objects});
        for one in &lab.deployments {
            self.api.put(&format!("deployments/{}", one.name_any()), json!(one));
        }
        if let Some(job) = &lab.job {
            self.api.put("jobs/lesson-load-job", json!(job));
        }
        self.api.put("pods", list(lab.pods.iter().map(|one| json!(one)).collect()));
        self.api.put("replicasets", list(lab.replica_sets.iter().map(|one| json!(one)).collect()));
    }

    /// The watches have told of these objects.
    fn told(&self, lab: &Observed) {
        let Observed { deployments, replica_sets, job, pods, .. } = lab.clone();
        let mut watches = self.watches.lock().unwrap();
        tell(&mut watches.deployments, deployments, trimmed::deployment);
        tell(&mut watches.replica_sets, replica_sets, trimmed::metadata);
        tell(&mut watches.jobs, job.into_iter().collect(), trimmed::job);
        tell(&mut watches.pods, pods, trimmed::pod);
    }

    fn status(&self) -> ChaosExperimentStatus {
        serde_json::from_value(self.api.get("chaosexperiments/lesson").unwrap()["status"].clone()).unwrap()
    }
}

/// Lists these objects, which are the run's, in place of those before.
fn tell<K>(writer: &mut Writer<K>, objects: Vec<K>, trim: fn(&mut K))
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer.apply_watcher_event(&watcher::Event::Init);
    for mut object in objects {
        let meta = object.meta_mut();
        meta.namespace = Some("school".to_owned());
        meta.labels.get_or_insert_default().extend(names::labels("lesson", UID));
        trim(&mut object);
        writer.apply_watcher_event(&watcher::Event::InitApply(object));
    }
    writer.apply_watcher_event(&watcher::Event::InitDone);
}

/// A lab whose service is not ready yet.
fn starting() -> Observed {
    let mut starting = lab();
    starting.deployments[0] = deployment(Part::PaymentService, 0);
    starting.pods[0] = pod(Part::PaymentService, "service", waiting("ContainerCreating", ""));
    starting
}

/// How many of these requests read, and how many write.
fn counts(requests: &[String]) -> (usize, usize) {
    let reads = requests.iter().filter(|request| request.starts_with("GET")).count();
    (reads, requests.len() - reads)
}

fn is_launch(requests: &[String]) -> bool {
    requests.iter().any(|request| request == "POST jobs")
}

#[tokio::test(start_paused = true)]
async fn from_nothing_to_the_verdict_there_are_three_looks() {
    let stage = Stage::new(&json!({"retain": "Never"}));
    stage.told(&Observed::default());
    let built = stage.requests().await;
    assert_eq!(stage.requests().await, [""; 0], "the watches have not heard of it yet");
    stage.exists(&starting());
    stage.told(&starting());
    assert_eq!(stage.requests().await, [""; 0]);
    stage.exists(&lab());
    stage.told(&lab());
    let launched = stage.requests().await;
    assert!(is_launch(&launched));
    let arguments = stage.api.get("jobs/lesson-load-job").unwrap();
    let arguments = arguments["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains(&format!("\"--proxy\",\"{PROXY}:8888\"")), "{arguments}");
    assert_eq!(stage.requests().await, [""; 0], "the watches have not heard of the Job yet");
    stage.exists(&loaded(ready()));
    stage.told(&loaded(ready()));
    assert_eq!(stage.requests().await, [""; 0]);
    let over = loaded(ended(0, "Completed", "{}"));
    stage.exists(&over);
    stage.told(&over);
    let judged = stage.requests().await;
    assert_eq!(stage.status().phase, Some(Phase::Completed));
    stage.told(&Observed::default());
    assert_eq!(stage.requests().await, [""; 0], "nothing is left to be done");
    let all = [built, launched, judged].concat();
    assert_eq!(counts(&all), (18, 12), "{all:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lab_that_only_the_watches_say_is_ready_gets_no_load() {
    let stage = Stage::starting(&json!({})).await;
    stage.told(&lab());
    let looked = stage.requests().await;
    assert!(counts(&looked).0 == 7 && !is_launch(&looked), "{looked:#?}");
    assert_eq!(stage.status().phase, Some(Phase::Preparing));
    assert_eq!(stage.requests().await, [""; 0], "they have been answered");
    // They are asked again when they say something else, and after some time.
    stage.told(&starting());
    assert_eq!(stage.requests().await, [""; 0]);
    stage.told(&lab());
    assert!(!is_launch(&stage.requests().await));
    stage.exists(&lab());
    advance(Duration::from_secs(5)).await;
    assert!(is_launch(&stage.requests().await));
}

#[tokio::test(start_paused = true)]
async fn a_lab_whose_container_was_started_anew_is_glanced_at_until_it_is_trusted_though_no_watch_tells() {
    let stage = Stage::starting(&json!({})).await;
    let now = Timestamp::now().duration_since(at(0)).as_secs();
    let restarted_at = |second| {
        let mut lab = lab();
        lab.pods[0] = pod(Part::PaymentService, "service", restarted(second));
        lab
    };
    stage.exists(&restarted_at(now));
    stage.told(&restarted_at(now));
    // A look that has seen the same as the watches. After it, a glance every five seconds is enough.
    advance(Duration::from_secs(2)).await;
    for looks in [true, false] {
        assert_eq!(stage.reconcile().await, Action::requeue(Duration::from_secs(5)));
        let asked = stage.api.asked();
        assert!(!is_launch(&asked) && asked.is_empty() != looks, "{asked:?}");
    }
    stage.exists(&restarted_at(now - 11));
    stage.told(&restarted_at(now - 11));
    assert!(is_launch(&stage.requests().await));
}

#[tokio::test(start_paused = true)]
async fn what_only_the_watches_say_is_no_evidence() {
    let stage = Stage::loading(&json!({})).await;
    let mut forged = loaded(ready());
    forged.pods.push(foreign(pod(Part::LoadJob, "forged-0", ended(0, "Completed", "{}"))));
    for told in [loaded(ended(0, "Completed", "{}")), lab(), Observed::default(), forged] {
        stage.told(&told);
        let looked = stage.requests().await;
        assert_eq!(counts(&looked).1, 0, "{looked:#?}");
        assert_eq!(stage.status().phase, Some(Phase::Loading));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_watches_miss_is_seen_a_minute_later() {
    let stage = Stage::starting(&json!({})).await;
    stage.exists(&lab());
    // The first look says that everything else is to be expected soon.
    advance(Duration::from_secs(5)).await;
    assert!(is_launch(&stage.requests().await));
    let stage = Stage::loading(&json!({})).await;
    advance(Duration::from_secs(5)).await;
    stage.reconcile().await;
    stage.api.asked();
    stage.exists(&loaded(ended(0, "Completed", "{}")));
    advance(Duration::from_secs(50)).await;
    assert!(stage.requests().await.iter().all(|request| request.ends_with("/log")));
    advance(Duration::from_secs(10)).await;
    stage.reconcile().await;
    assert_eq!(stage.status().phase, Some(Phase::Completed));
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_may_not_watch_looks_every_time_and_does_not_spin() {
    let stage = Stage::new(&json!({}));
    stage.reconcile().await;
    stage.exists(&starting());
    stage.api.asked();
    for _ in 0..3 {
        let next = stage.reconcile().await;
        assert_eq!(counts(&stage.api.asked()), (7, 0));
        assert_eq!(next, Action::requeue(Duration::from_secs(2)));
    }
    stage.exists(&lab());
    assert!(is_launch(&stage.requests().await));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_is_known() {
    let stage = Stage::starting(&json!({})).await;
    stage.exists(&lab());
    stage.told(&lab());
    stage.api.refuse("GET jobs/lesson-load-job", StatusCode::INTERNAL_SERVER_ERROR);
    for _ in 0..2 {
        assert!(reconcile(Arc::clone(&stage.experiment), Arc::clone(&stage.context)).await.is_err());
        assert!(stage.api.asked().contains(&"GET chaosexperiments/lesson".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lab_whose_deletion_has_failed_is_not_taken_for_removed() {
    for failure in [StatusCode::CONFLICT, StatusCode::INTERNAL_SERVER_ERROR] {
        let stage = Stage::loading(&json!({"retain": "Never"})).await;
        let over = loaded(ended(0, "Completed", "{}"));
        stage.exists(&over);
        stage.told(&over);
        stage.api.refuse("DELETE configmaps/lesson-plan", failure);
        assert!(reconcile(Arc::clone(&stage.experiment), Arc::clone(&stage.context)).await.is_err());
        stage.api.asked();
        assert!(reconcile(Arc::clone(&stage.experiment), Arc::clone(&stage.context)).await.is_err());
        assert!(stage.api.asked().contains(&"DELETE configmaps/lesson-plan".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_without_a_look_and_a_load_that_lasts_with_an_event() {
    let stage = Stage::loading(&json!({})).await;
    let line =
        json!({"fields": {"message": paylab_part::contract::PROGRESS_MESSAGE, "acknowledged": 3, "attempts": 5}});
    stage.api.put("pods/load-0/log", line);
    // The look that follows each launch.
    advance(Duration::from_secs(5)).await;
    stage.reconcile().await;
    assert_eq!(stage.status().progress.unwrap().acknowledged, 3);
    let asked = stage.api.asked();
    assert!(asked.contains(&"POST events".to_owned()), "{asked:#?}");
    let line =
        json!({"fields": {"message": paylab_part::contract::PROGRESS_MESSAGE, "acknowledged": 4, "attempts": 6}});
    stage.api.put("pods/load-0/log", line);
    advance(Duration::from_secs(4)).await;
    assert_eq!(stage.requests().await, [""; 0]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(stage.requests().await, ["GET pods/load-0/log", "PUT chaosexperiments/lesson/status"]);
}

#[tokio::test(start_paused = true)]
async fn an_experiment_that_waits_asks_for_nothing_while_its_place_stays() {
    let stage = Stage::new(&json!({}));
    let other = |name: &str| {
        let mut other = resource(&json!({}));
        (other.metadata.name, other.metadata.creation_timestamp) = (Some(name.to_owned()), None);
        Ticket::of(&other)
    };
    assert_eq!(stage.context.queue.enter(other("first")), Turn::Now);
    assert_eq!(counts(&stage.requests().await), (1, 2), "an Event and the status say that it waits");
    let next = stage.reconcile().await;
    let place = Place { number: 1, of: 1, under_way: 1 };
    assert_eq!((stage.api.asked(), next), (Vec::new(), Action::requeue(place.look_again())));
    stage.context.queue.enter(other("zweite"));
    assert_eq!(counts(&stage.requests().await), (1, 1));
    stage.context.queue.leave(&("school".to_owned(), "first".to_owned()));
    let begun = stage.requests().await;
    assert!(begun.contains(&"POST configmaps".to_owned()), "{begun:#?}");
    assert!(begun.contains(&"POST events".to_owned()), "it tells that the wait is over: {begun:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_experiment_whose_end_was_written_without_an_answer_gives_up_its_place_and_its_end_is_counted_once() {
    let stage = Stage::loading(&json!({})).await;
    let over = loaded(ended(0, "Completed", "{}"));
    stage.exists(&over);
    stage.told(&over);
    stage.api.lose_answer("PUT chaosexperiments/lesson/status");
    let lost = reconcile(Arc::clone(&stage.experiment), Arc::clone(&stage.context)).await;
    assert!(lost.is_err() && stage.status().phase == Some(Phase::Completed), "it was written");
    let mut next = resource(&json!({}));
    next.metadata.name = Some("next".to_owned());
    assert!(matches!(stage.context.queue.enter(Ticket::of(&next)), Turn::Later(_)), "nobody knows that it has ended");
    let mut written = stage.api.get("chaosexperiments/lesson").unwrap();
    written["status"]["payments"] = json!({"lost": 5});
    stage.api.put("chaosexperiments/lesson", written);
    stage.reconcile().await;
    assert_eq!(stage.context.queue.enter(Ticket::of(&next)), Turn::Now);
    stage.reconcile().await;
    let metrics = stage.context.metrics.encode(None);
    let lost = metrics.lines().find(|line| line.starts_with("paylab_payments_lost_total ")).unwrap();
    assert_eq!(lost, "paylab_payments_lost_total 5", "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn while_the_watches_contradict_a_look_nothing_is_done_at_once_again() {
    let stage = Stage::loading(&json!({})).await;
    advance(Duration::from_secs(3)).await;
    // They say that the Job is gone, and the API server does not.
    stage.told(&lab());
    assert_ne!(stage.requests().await, [""; 0], "it is looked at");
    // Its progress is due 3 s before the next look.
    advance(Duration::from_secs(2)).await;
    assert_eq!(stage.reconcile().await, Action::requeue(Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn a_kept_lab_is_stopped_again_when_somebody_starts_it() {
    let stage = Stage::loading(&json!({"retain": "Always"})).await;
    let over = loaded(ended(0, "Completed", "{}"));
    stage.exists(&over);
    stage.told(&over);
    stage.reconcile().await;
    assert_eq!(stage.status().phase, Some(Phase::Completed));
    let with_replicas = |replicas: i32| {
        let mut lab = lab();
        for one in &mut lab.deployments {
            let mut value = json!(one);
            value["spec"] = json!({"replicas": replicas, "selector": {}, "template": {}});
            *one = serde_json::from_value(value).unwrap();
        }
        lab
    };
    stage.told(&with_replicas(1));
    stage.api.asked();
    assert_eq!(stage.requests().await, [""; 0], "the watches may not have heard of the stop yet");
    stage.told(&with_replicas(0));
    advance(Duration::from_secs(6)).await;
    assert_eq!(stage.requests().await, [""; 0]);
    stage.exists(&with_replicas(1));
    stage.told(&with_replicas(1));
    let stopped = stage.requests().await;
    assert_eq!(stopped.iter().filter(|request| request.starts_with("PATCH")).count(), 2, "{stopped:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_plan_of_another_run_is_looked_at_again_and_again() {
    let stage = Stage::new(&json!({}));
    stage.told(&Observed::default());
    let (_, former) = plan(Ownership::Former).unwrap();
    let mut former = json!(former);
    former["metadata"]["labels"] = json!(names::labels("lesson", "another-run"));
    former["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "another", "controller": true}]);
    stage.api.put("configmaps/lesson-plan", former);
    let next = stage.reconcile().await;
    assert_eq!(next, Action::requeue(Duration::from_secs(2)));
    stage.api.asked();
    assert_eq!(stage.requests().await, [""; 0]);
    advance(Duration::from_secs(2)).await;
    assert_eq!(stage.requests().await, ["GET chaosexperiments/lesson", "GET configmaps/lesson-plan"]);
}

#[tokio::test]
async fn an_event_that_cannot_be_created_does_not_keep_the_verdict_from_being_written() {
    let (experiment, resource) = (planned(&json!({})), resource(&json!({})));
    for (event, requests) in
        [(StatusCode::CONFLICT, 1), (StatusCode::FORBIDDEN, 2), (StatusCode::INTERNAL_SERVER_ERROR, 2)]
    {
        let stage = Stage::new(&json!({}));
        stage.api.refuse("POST events", event);
        let api = Api::<ChaosExperiment>::namespaced(stage.context.client.clone(), "school");
        let status = builder(&resource, at(1)).failed(&experiment, &PodProblem::former_run());
        assert!(finish(&stage.context, &api, &resource, status).await.is_ok(), "{event}");
        let asked = stage.api.asked();
        assert_eq!(asked.iter().filter(|asked| *asked == "POST events").count(), requests, "{event}");
    }
}

#[tokio::test]
async fn a_resource_of_a_newer_release_is_refused_in_its_status() {
    let stage = Stage::new(&json!({}));
    let mut stored = json!(resource(&json!({})));
    stored["spec"]["service"] = json!({"dedup": "OfTheNextRelease"});
    stage.api.put("chaosexperiments/lesson", stored);
    stage.reconcile().await;
    let status = stage.status();
    let accepted = status.conditions.iter().find(|one| one.type_ == "Accepted").unwrap();
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "Refused"));
    let message = status.message.unwrap();
    assert!(message.contains("OfTheNextRelease") && message.contains("upgrade the operator"), "{message}");
    let written = stage.api.get("chaosexperiments/lesson").unwrap();
    assert_eq!(written["spec"]["service"]["dedup"], "OfTheNextRelease", "nothing else is changed");
}

#[tokio::test]
async fn an_experiment_that_fails_again_and_again_is_tried_less_and_less_often() {
    let context = Stage::new(&json!({})).context;
    let resource: PartialObjectMeta<ChaosExperiment> = serde_json::from_value(json!(resource(&json!({})))).unwrap();
    let resource = Arc::new(resource);
    let pause = |error: &ReconcileError| after_error(Arc::clone(&resource), error, Arc::clone(&context));
    let timeout = ReconcileError::Api(ApiError::Timeout);
    let seconds = [1, 2, 4].map(|seconds| Action::requeue(Duration::from_secs(seconds)));
    assert_eq!([pause(&timeout), pause(&timeout), pause(&timeout)], seconds);
    context.failures.record_success(&resource.uid().unwrap());
    let conflict = kube::core::Status { code: 409, reason: "Conflict".to_owned(), ..Default::default() };
    let conflict = ReconcileError::Api(ApiError::Request(kube::Error::Api(Box::new(conflict))));
    assert_eq!(pause(&conflict), Action::requeue(Duration::from_millis(100)));
    assert_eq!(pause(&conflict), Action::requeue(Duration::from_secs(2)));
}
