//! The next action for an experiment, from everything that was observed.

use std::{net::IpAddr, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use paylab_resource::status::Phase;

use super::{
    lab_changes::{Fingerprint, foreign_lab_pod},
    paid_service,
    problem::{self, PodProblem, Tolerance},
    waiting::{Timeline, is_hopeless, is_lasting, is_reportable},
};
use crate::{
    names::{self, Part},
    observe::{Observed, Ownership, RunPods, jobs, pods},
    planned::{Paid, PlannedExperiment},
};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Create the objects of the lab, because some are missing.
    CreateLab,
    /// Wait until all parts are ready.
    AwaitReady(Option<PodProblem>),
    /// Create the load's Job.
    LaunchLoad {
        /// The fingerprint of the lab.
        lab: Fingerprint,
        /// The address of the reset proxy's pod.
        proxy: IpAddr,
    },
    /// Wait until the load has ended.
    AwaitLoad(Option<PodProblem>),
    /// Judge the evidence: the load has ended, or never will.
    Judge,
    /// Give up before the load began; there will be no verdict.
    Fail(PodProblem),
}

/// Decides what to do next.
pub(crate) fn decide(experiment: &PlannedExperiment, observed: &Observed, timeline: &Timeline) -> Decision {
    match (&observed.plan, &observed.job) {
        (_, Some(job)) => loading(experiment, observed, job, timeline),
        // The load was launched and its Job is gone. It is never launched again.
        (_, None) if timeline.last_phase == Some(Phase::Loading) => Decision::Judge,
        (Some((Ownership::Foreign, plan)), None) => {
            Decision::Fail(PodProblem::name_taken("ConfigMap", plan.metadata.name.as_deref()))
        }
        (Some((Ownership::Orphan, plan)), None) => {
            let name = plan.metadata.name.as_deref().unwrap_or_default();
            blocked(experiment, PodProblem::orphan("ConfigMap", &experiment.namespace, name), timeline)
        }
        (Some((Ownership::Former, _)), None) => blocked(experiment, PodProblem::former_run(), timeline),
        (None, None) => Decision::CreateLab,
        (Some((Ownership::Ours, _)), None) => preparing(experiment, observed, timeline),
    }
}

/// Decides whether to wait until a problem goes away before the load begins, or to give up.
pub(crate) fn blocked(experiment: &PlannedExperiment, problem: PodProblem, timeline: &Timeline) -> Decision {
    let waited = timeline.waited();
    if is_hopeless(experiment, &problem, waited) {
        Decision::Fail(problem)
    } else {
        Decision::AwaitReady(reportable(Some(problem), waited))
    }
}

/// Decides what to say, and whether to give up, when requests to the API have failed for so long.
pub(crate) fn hindered(
    experiment: &PlannedExperiment,
    problem: PodProblem,
    timeline: &Timeline,
    failing: Duration,
) -> Decision {
    let is_loading = timeline.last_phase == Some(Phase::Loading);
    let waited = if is_loading { failing } else { timeline.waited() };
    if is_reportable(&problem, failing) && is_lasting(experiment, &problem, waited, failing) {
        return Decision::Fail(problem);
    }
    let problem = reportable(Some(problem), failing);
    if is_loading { Decision::AwaitLoad(problem) } else { Decision::AwaitReady(problem) }
}

fn preparing(experiment: &PlannedExperiment, observed: &Observed, timeline: &Timeline) -> Decision {
    let parts = experiment.lab_parts();
    let find = |(part, replicas): &(Part, i32)| (deployment(experiment, observed, *part), *replicas);
    let found: Vec<_> = parts.iter().map(find).collect();
    if found.iter().any(|(deployment, _)| deployment.is_none()) {
        return Decision::CreateLab;
    }
    let RunPods { load: _, lab, foreign_load: _, foreign_lab } = observed.run_pods();
    if let Some(pod) = foreign_lab.first() {
        let problem = PodProblem::new("ForeignPod", format!("{}; delete it", foreign_lab_pod(pod)), Tolerance::Short);
        return blocked(experiment, problem, timeline);
    }
    let fingerprint = Fingerprint::of(observed);
    let wanted: i32 = parts.iter().map(|(_, replicas)| replicas).sum();
    let available = found.iter().all(|(deployment, replicas)| deployment.is_some_and(|it| is_available(it, *replicas)));
    let only_wanted = fingerprint.ready_pods() == usize::try_from(wanted).unwrap_or_default()
        && lab.iter().all(|pod| fingerprint.contains(pod));
    let unpaid = match (experiment.paid(), &observed.paid_service) {
        (Paid::Service(wanted), Some(found)) => paid_service::problem(wanted, found, timeline.now),
        _ => None,
    };
    let unsteady = problem::unsteady(lab.iter().copied(), timeline.now);
    let is_fit = available && only_wanted && unpaid.is_none() && unsteady.is_none();
    let proxy = lab.iter().find(|pod| pods::is_part(pod, Part::ResetProxy) && pods::is_ready(pod));
    if let Some(proxy) = proxy.and_then(|pod| pods::address(pod)).filter(|_| is_fit) {
        return Decision::LaunchLoad { lab: fingerprint, proxy };
    }
    let of_deployments = found.iter().filter_map(|(deployment, _)| problem::of_deployment((*deployment)?));
    // Of two that are tolerated alike, the first is told: a proxy is not ready while its service is not.
    let problems = of_deployments.chain(unsteady).chain(problem::worst(lab)).chain(unpaid);
    let worst = problems.min_by_key(|problem| problem.tolerance);
    match worst {
        Some(problem) => blocked(experiment, problem, timeline),
        None if timeline.waited() > experiment.plan.deadline => {
            let deadline = experiment.spec.active_deadline;
            let message = format!("the parts were not ready within {deadline} (spec.activeDeadline)");
            Decision::Fail(PodProblem::new("DeadlineExceeded", message, Tolerance::None))
        }
        None => Decision::AwaitReady(None),
    }
}

fn loading(experiment: &PlannedExperiment, observed: &Observed, job: &Job, timeline: &Timeline) -> Decision {
    let load = observed.run_pods().load;
    let has_reported = |worker| load.iter().any(|pod| pods::worker(pod) == Some(worker) && pods::has_reported(pod));
    let all_reported = (0..experiment.plan.client.workers).all(has_reported);
    if all_reported || jobs::has_finished(job) {
        return Decision::Judge;
    }
    let refused = problem::of_load(observed);
    let unfinished = load.into_iter().filter(|pod| !pods::has_reported(pod));
    let waited = timeline.load_age();
    match problem::worst(unfinished).into_iter().chain(refused).min_by_key(|problem| problem.tolerance) {
        Some(problem) if is_hopeless(experiment, &problem, waited) => Decision::Judge,
        problem => Decision::AwaitLoad(reportable(problem, waited)),
    }
}

fn reportable(problem: Option<PodProblem>, waited: Duration) -> Option<PodProblem> {
    problem.filter(|problem| is_reportable(problem, waited))
}

fn deployment<'a>(experiment: &PlannedExperiment, observed: &'a Observed, part: Part) -> Option<&'a Deployment> {
    let name = names::part(&experiment.name, part);
    observed.deployments.iter().find(|deployment| deployment.metadata.name.as_ref() == Some(&name))
}

fn is_available(deployment: &Deployment, replicas: i32) -> bool {
    let status = deployment.status.as_ref();
    let is_current = status.and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    is_current && status.and_then(|status| status.available_replicas) == Some(replicas)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;
    use crate::{
        fixtures::{
            PROXY, at, deployment, ended, foreign, job, lab, loaded, plan, planned, pod, ready, replica_set, restarted,
            waiting,
        },
        observe::PaidService,
    };

    fn timeline(last_phase: Option<Phase>, second: i64) -> Timeline {
        let launched = (last_phase == Some(Phase::Loading)).then(|| at(1));
        Timeline { started: at(0), last_phase, launched, now: at(second) }
    }

    /// The decision this many seconds after the operator began to work on the experiment.
    fn decided(observed: &Observed, last_phase: Option<Phase>, second: i64) -> Decision {
        decide(&planned(&json!({"activeDeadline": "5m"})), observed, &timeline(last_phase, second))
    }

    fn reason(decision: &Decision) -> Option<&str> {
        match decision {
            Decision::AwaitReady(problem) | Decision::AwaitLoad(problem) => Some(&problem.as_ref()?.reason),
            Decision::Fail(problem) => Some(&problem.reason),
            Decision::CreateLab | Decision::LaunchLoad { .. } | Decision::Judge => None,
        }
    }

    #[test]
    fn an_experiment_goes_from_nothing_to_its_verdict() {
        assert_eq!(decided(&Observed::default(), None, 0), Decision::CreateLab);
        let half_created = Observed {
            plan: plan(Ownership::Ours),
            deployments: vec![deployment(Part::ResetProxy, 0)],
            ..Observed::default()
        };
        assert_eq!(decided(&half_created, Some(Phase::Preparing), 1), Decision::CreateLab);
        let starting = Observed {
            deployments: vec![deployment(Part::PaymentService, 0), deployment(Part::ResetProxy, 1)],
            ..lab()
        };
        assert_eq!(decided(&starting, Some(Phase::Preparing), 1), Decision::AwaitReady(None));
        let launched = decided(&lab(), Some(Phase::Preparing), 1);
        assert_eq!(launched, Decision::LaunchLoad { lab: Fingerprint::of(&lab()), proxy: PROXY });
        assert_eq!(decided(&loaded(ready()), Some(Phase::Loading), 2), Decision::AwaitLoad(None));
        assert_eq!(decided(&loaded(ended(0, "Completed", "{}")), Some(Phase::Loading), 3), Decision::Judge);
    }

    #[test]
    fn a_job_is_launched_once() {
        // The Job exists, though the status does not say so yet: the operator was killed in between.
        assert_eq!(decided(&loaded(ready()), Some(Phase::Preparing), 2), Decision::AwaitLoad(None));
        // The status says that the load was launched, but its Job is gone.
        assert_eq!(decided(&lab(), Some(Phase::Loading), 2), Decision::Judge);
        assert_eq!(decided(&Observed::default(), Some(Phase::Loading), 2), Decision::Judge);
    }

    #[test]
    fn objects_of_others_are_not_taken_over() {
        let observed = |ownership| Observed { plan: plan(ownership), ..Observed::default() };
        let former = observed(Ownership::Former);
        assert_eq!(decided(&former, None, 1), Decision::AwaitReady(None));
        assert_eq!(reason(&decided(&former, None, 11)), Some("FormerRun"));
        assert!(matches!(decided(&former, None, 301), Decision::Fail(_)));
        assert_eq!(reason(&decided(&observed(Ownership::Foreign), None, 0)), Some("NameTaken"));
    }

    #[test]
    fn what_an_orphaned_experiment_has_left_is_told_with_the_way_to_remove_it() {
        let observed = Observed { plan: plan(Ownership::Orphan), ..Observed::default() };
        let Decision::AwaitReady(Some(problem)) = decided(&observed, None, 1) else { panic!("it is reported at once") };
        assert!(problem.message.ends_with("kubectl delete configmap lesson-plan --namespace school"), "{problem:?}");
        assert_eq!(reason(&decided(&observed, None, 61)), Some("Orphaned"));
        assert!(matches!(decided(&observed, None, 61), Decision::Fail(_)));
    }

    #[test]
    fn a_load_whose_pods_are_refused_ends_after_a_minute_with_the_reason() {
        let mut observed = Observed { load_refusal: Some("exceeded quota: small".to_owned()), ..loaded(ready()) };
        observed.pods.pop();
        let Decision::AwaitLoad(Some(problem)) = decided(&observed, Some(Phase::Loading), 2) else {
            panic!("it is told")
        };
        assert_eq!(problem.message, "pods of the load cannot be created: exceeded quota: small");
        assert_eq!(decided(&observed, Some(Phase::Loading), 62), Decision::Judge);
    }

    #[test]
    fn requests_that_go_on_failing_end_the_experiment_in_bounded_time_and_single_failures_do_not() {
        let status = |code: u16, reason: &str| kube::core::Status {
            code,
            reason: reason.to_owned(),
            message: "no".to_owned(),
            ..Default::default()
        };
        let after = |code, phase, second, failing| {
            let problem = PodProblem::refused("the Job x", &status(code, ""));
            hindered(
                &planned(&json!({"activeDeadline": "5m"})),
                problem,
                &timeline(phase, second),
                Duration::from_secs(failing),
            )
        };
        let (preparing, loading) = (Some(Phase::Preparing), Some(Phase::Loading));
        // A refusal is told at once and lasts for a minute at most, whatever came before it.
        assert_eq!(reason(&after(400, preparing, 280, 0)), Some("ApiError"));
        assert!(matches!(after(400, preparing, 280, 0), Decision::AwaitReady(_)));
        assert!(matches!(after(403, preparing, 100, 61), Decision::Fail(_)));
        assert!(matches!(after(403, loading, 4000, 59), Decision::AwaitLoad(Some(_))));
        assert!(matches!(after(403, loading, 4000, 61), Decision::Fail(_)));
        // A server that cannot answer is waited for until the deadline.
        assert_eq!(after(500, preparing, 5, 5), Decision::AwaitReady(None));
        assert_eq!(reason(&after(500, preparing, 100, 11)), Some("ApiError"));
        assert!(matches!(after(500, preparing, 301, 90), Decision::Fail(_)));
        assert!(matches!(after(500, loading, 4000, 299), Decision::AwaitLoad(Some(_))));
        assert!(matches!(after(500, loading, 4000, 301), Decision::Fail(_)));
    }

    #[test]
    fn a_container_that_a_webhook_has_added_is_not_taken_for_the_part() {
        let mut status = ended(0, "Completed", "{}");
        let sidecar = json!({"name": "istio-proxy", "image": "", "imageID": "", "ready": false, "restartCount": 7,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "no control plane"}}});
        status["containerStatuses"].as_array_mut().unwrap().push(sidecar);
        let mut observed = loaded(status);
        let load = observed.pods.pop().unwrap();
        let mut load = serde_json::to_value(load).unwrap();
        load["status"]["phase"] = json!("Running");
        load["status"]["containerStatuses"].as_array_mut().unwrap().reverse();
        observed.pods.push(serde_json::from_value(load).unwrap());
        assert_eq!(decided(&observed, Some(Phase::Loading), 3), Decision::Judge);
    }

    #[test]
    fn every_problem_of_the_parts_fails_the_experiment_in_bounded_time_with_its_own_reason() {
        let unschedulable = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
        let crash = waiting("CrashLoopBackOff", "back-off");
        // It runs for a moment, and how it last ended is still reported.
        let mut running = crash.clone();
        running["phase"] = json!("Running");
        running["containerStatuses"][0]["state"] = json!({"running": {}});
        for (status, tolerated_until, hopeless) in [
            (running, Some(59), 61),
            (waiting("ErrImageNeverPull", "not present"), None, 0),
            (waiting("InvalidImageName", "bad"), None, 0),
            (waiting("ImagePullBackOff", "no such image"), Some(59), 61),
            (waiting("CreateContainerConfigError", "secret \"x\" not found"), Some(59), 61),
            (crash, Some(59), 61),
            (unschedulable, Some(299), 301),
            (waiting("ContainerCreating", ""), Some(299), 301),
        ] {
            let mut observed = lab();
            observed.deployments[0] = deployment(Part::PaymentService, 0);
            observed.pods[0] = pod(Part::PaymentService, "service", status.clone());
            let late = decided(&observed, Some(Phase::Preparing), hopeless);
            assert!(
                matches!(&late, Decision::Fail(problem) if problem.message.contains("pod service")),
                "{status}: {late:?}"
            );
            if let Some(second) = tolerated_until {
                let early = decided(&observed, Some(Phase::Preparing), second);
                assert!(matches!(early, Decision::AwaitReady(Some(_))), "{status}: {early:?}");
                assert_eq!(reason(&early), reason(&late));
            }
        }
    }

    #[test]
    fn a_proxy_that_waits_for_its_service_is_not_named_before_it() {
        let mut observed = lab();
        observed.deployments[0] = deployment(Part::PaymentService, 0);
        // In the order of their names, the proxy's comes first here.
        let unready = |part, name: &str| pod(part, name, waiting("ContainerCreating", ""));
        observed.pods = vec![unready(Part::ResetProxy, "a-proxy"), unready(Part::PaymentService, "b-service")];
        let late = decided(&observed, Some(Phase::Preparing), 301);
        assert!(matches!(&late, Decision::Fail(problem) if problem.message.contains("pod b-service")), "{late:?}");
    }

    #[test]
    fn pods_that_a_quota_forbids_fail_the_experiment_with_the_message_of_the_quota() {
        let mut observed = lab();
        observed.pods.clear();
        observed.deployments[0] = serde_json::from_value(json!({
            "metadata": {"name": "lesson-payment-service"},
            "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                "message": "exceeded quota: pods=0"}]},
        }))
        .unwrap();
        let failed = decided(&observed, Some(Phase::Preparing), 61);
        assert!(matches!(&failed, Decision::Fail(problem) if problem.message.contains("exceeded quota")), "{failed:?}");
    }

    #[test]
    fn a_load_that_cannot_start_or_whose_job_failed_is_judged() {
        let stuck = loaded(waiting("ImagePullBackOff", "no such image"));
        assert_eq!(reason(&decided(&stuck, Some(Phase::Loading), 30)), Some("ImagePullBackOff"));
        let starting = loaded(waiting("ContainerCreating", ""));
        assert_eq!(decided(&starting, Some(Phase::Loading), 5), Decision::AwaitLoad(None));
        assert_eq!(decided(&stuck, Some(Phase::Loading), 63), Decision::Judge);
        let mut failed = lab();
        failed.job = job(
            &Fingerprint::of(&failed),
            json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}),
        );
        assert_eq!(decided(&failed, Some(Phase::Loading), 30), Decision::Judge);
    }

    #[test]
    fn a_load_is_judged_only_when_every_worker_has_ended() {
        let experiment = planned(&json!({"client": {"workers": 2}}));
        let mut observed = loaded(ended(0, "Completed", "{}"));
        let decision = |observed: &Observed| decide(&experiment, observed, &timeline(Some(Phase::Loading), 2));
        assert_eq!(decision(&observed), Decision::AwaitLoad(None));
        observed.pods.push(pod(Part::LoadJob, "load-1", ended(137, "OOMKilled", "")));
        assert_eq!(decision(&observed), Decision::Judge);
    }

    #[test]
    fn a_load_is_launched_only_at_a_lab_that_consists_of_the_wanted_pods() {
        let mut growing = lab();
        growing.pods.push(pod(Part::PaymentService, "second", waiting("ContainerCreating", "")));
        assert!(matches!(decided(&growing, Some(Phase::Preparing), 1), Decision::AwaitReady(_)));
        let mut evicted = lab();
        evicted.pods.push(pod(Part::PaymentService, "first", json!({"phase": "Failed", "reason": "Evicted"})));
        assert!(matches!(decided(&evicted, Some(Phase::Preparing), 1), Decision::LaunchLoad { .. }));
        let mut forged = lab();
        forged.pods.push(foreign(pod(Part::PaymentService, "forged", ready())));
        assert_eq!(reason(&decided(&forged, Some(Phase::Preparing), 1)), Some("ForeignPod"));
        assert!(matches!(decided(&forged, Some(Phase::Preparing), 61), Decision::Fail(_)));
    }

    #[test]
    fn a_load_is_launched_only_at_a_lab_that_goes_on_after_a_restart() {
        let mut observed = lab();
        observed.pods[0] = pod(Part::PaymentService, "service", restarted(70));
        let Decision::AwaitReady(Some(problem)) = decided(&observed, Some(Phase::Preparing), 79) else {
            panic!("it may end again")
        };
        let told =
            "pod service was started anew a moment ago: Error, exit code 3; the load begins when it has run for 10 s";
        assert_eq!(problem.message, told);
        assert!(matches!(decided(&observed, Some(Phase::Preparing), 80), Decision::LaunchLoad { .. }));
        // The clock of its node is ahead, by a little and by so much that it says nothing.
        assert!(matches!(decided(&observed, Some(Phase::Preparing), 61), Decision::AwaitReady(_)));
        assert!(matches!(decided(&observed, Some(Phase::Preparing), 60), Decision::LaunchLoad { .. }));
        // The same of a container beside the part's.
        let mut sidecar = restarted(70)["containerStatuses"][0].clone();
        sidecar["name"] = json!("mesh");
        let mut status = ready();
        status["containerStatuses"].as_array_mut().unwrap().push(sidecar);
        observed.pods[0] = pod(Part::PaymentService, "service", status);
        assert_eq!(reason(&decided(&observed, Some(Phase::Preparing), 79)), Some("Restarted"));
        assert!(matches!(decided(&observed, Some(Phase::Preparing), 80), Decision::LaunchLoad { .. }));
    }

    #[test]
    fn a_load_is_launched_only_when_the_service_that_it_pays_leads_somewhere() {
        let experiment = planned(&json!({"target": {
            "service": {"name": "shop", "port": 80},
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
        }}));
        let decision = |found: PaidService, second: i64| {
            let observed = Observed {
                deployments: vec![deployment(Part::ResetProxy, 1)],
                replica_sets: vec![replica_set(Part::ResetProxy)],
                pods: vec![pod(Part::ResetProxy, "proxy", ready())],
                paid_service: Some(found),
                ..lab()
            };
            decide(&experiment, &observed, &timeline(Some(Phase::Preparing), second))
        };
        let shop = |pods: Vec<Pod>| {
            let service = serde_json::from_value(json!({"spec": {"ports": [{"port": 80}]}})).unwrap();
            PaidService::Present { service: Box::new(service), pods: Some(pods) }
        };
        assert_eq!(reason(&decision(PaidService::Absent, 1)), Some("ServiceNotFound"));
        assert!(matches!(decision(PaidService::Absent, 61), Decision::Fail(_)));
        assert_eq!(reason(&decision(shop(Vec::new()), 1)), Some("NoEndpoints"));
        let ready = pod(Part::Target, "shop-0", ready());
        assert!(matches!(decision(shop(vec![ready]), 1), Decision::LaunchLoad { .. }));
    }

    #[test]
    fn a_report_of_a_pod_that_the_job_does_not_control_does_not_end_the_load() {
        let mut observed = loaded(ready());
        observed.pods.push(foreign(pod(Part::LoadJob, "forged-0", ended(0, "Completed", "{}"))));
        assert_eq!(decided(&observed, Some(Phase::Loading), 3), Decision::AwaitLoad(None));
    }
}
