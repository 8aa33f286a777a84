//! Merges the load pods' reports into one. It must not judge: what is missing becomes a doubt in the report, from which the
//! verdict is drawn as without a cluster.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt as _;
use paylab_core::judge::{
    doubt::{Doubt, DoubtNote},
    report::Report,
};

use super::{
    lab_changes::{LabChanges, lab_changes},
    problem,
};
use crate::{
    observe::{Observed, Ownership, jobs, pods},
    planned::PlannedExperiment,
};

/// The merged report of a run whose load has ended. If a part of the evidence is lost or may be another lab's, all reports are void
/// and the merged report is empty but for that doubt.
pub(crate) fn merged_report(experiment: &PlannedExperiment, observed: &Observed) -> Report {
    let pods = observed.run_pods();
    let (voiding, doubtful) = match &observed.job {
        None => (vec![no_job(observed)], Vec::new()),
        Some(job) => {
            let LabChanges { voiding, ended } = lab_changes(observed, job);
            let voiding = voiding.into_iter().chain(started_twice(experiment, &pods.load));
            let doubtful = ended.into_iter().chain(pods.foreign_load.iter().map(|pod| foreign_load_pod(pod)));
            (voiding.collect(), doubtful.collect())
        }
    };
    let mut report =
        if voiding.is_empty() { merge_workers(experiment, observed, &pods.load) } else { empty_report(experiment) };
    add_doubt(&mut report, Doubt::EnvironmentChanged, &[voiding, doubtful].concat());
    report
}

/// Why the run has no Job: a Job counts only if the run's own `ConfigMap` controls it.
fn no_job(observed: &Observed) -> String {
    let has_plan = observed.plan.as_ref().is_some_and(|(ownership, _)| *ownership == Ownership::Ours);
    let gone = if has_plan { "the load's Job" } else { "the ConfigMap that owns the lab" };
    format!("{gone} was deleted")
}

/// Workers that two pods of the Job have run. Both may have sent the worker's payments, so neither report can tell what the path
/// has done from what the other pod has done.
fn started_twice(experiment: &PlannedExperiment, load: &[&Pod]) -> Vec<String> {
    let workers = 0..experiment.plan.client.workers;
    let twice = workers.filter_map(|worker| {
        let pods: Vec<_> =
            load.iter().filter(|pod| pods::worker(pod) == Some(worker)).map(|pod| pod.name_any()).collect();
        (pods.len() > 1).then(|| format!("worker {worker} was started twice, as pods {}", pods.join(" and ")))
    });
    twice.collect()
}

/// Says that a pod of somebody else calls itself a load pod.
fn foreign_load_pod(pod: &Pod) -> String {
    format!("pod {} has the labels of this run's load but is not controlled by its Job", pod.name_any())
}

/// The sum of all workers' reports, with a doubt about those that are missing.
fn merge_workers(experiment: &PlannedExperiment, observed: &Observed, load: &[&Pod]) -> Report {
    let mut merged: Option<Report> = None;
    let mut missing = Vec::new();
    for worker in 0..experiment.plan.client.workers {
        let pod = load.iter().find(|pod| pods::worker(pod) == Some(worker));
        let report = match pod {
            Some(pod) => report_of(experiment, pod),
            None => Err(no_pod(observed, worker)),
        };
        match report {
            Ok(report) => {
                merged = Some(match merged {
                    None => report,
                    Some(sum) => sum.merge(report),
                });
            }
            Err(why) => missing.push(why),
        }
    }
    let mut merged = merged.unwrap_or_else(|| empty_report(experiment));
    add_doubt(&mut merged, Doubt::ReportMissing, &missing);
    merged
}

/// The report of a load pod, or why there is none.
fn report_of(experiment: &PlannedExperiment, pod: &Pod) -> Result<Report, String> {
    let name = pod.name_any();
    let Some(termination) = pods::termination(pod) else {
        let why = problem::worst([pod]).map(|problem| problem.message);
        return Err(why.unwrap_or_else(|| format!("pod {name} {}", pods::end_text(pod))));
    };
    let message = termination.message.as_deref().unwrap_or_default();
    match serde_json::from_str::<Report>(message) {
        Ok(report) if report.run_id == experiment.id.as_str() => Ok(report),
        Ok(report) => Err(format!("the report of pod {name} is about another run, {}", report.run_id)),
        Err(_) if termination.exit_code != 0 => Err(format!("pod {name} {}", pods::end_text(pod))),
        Err(error) => Err(format!("the report of pod {name} cannot be read: {error}")),
    }
}

/// Why a worker has no pod: it was never created, or it is gone.
fn no_pod(observed: &Observed, worker: u32) -> String {
    match &observed.load_refusal {
        Some(why) => format!("the pod of worker {worker} was never created: {why}"),
        None => format!("the pod of worker {worker} is gone{}", job_failure(observed.job.as_ref())),
    }
}

/// Why a Job failed, in parentheses for the end of a sentence; nothing if it did not.
fn job_failure(job: Option<&Job>) -> String {
    job.and_then(jobs::failure_reason).map_or_else(String::new, |reason| format!(" (the Job failed: {reason})"))
}

/// A report in which nothing was counted.
fn empty_report(experiment: &PlannedExperiment) -> Report {
    Report { run_id: experiment.id.to_string(), seed: experiment.plan.seed(), ..Report::default() }
}

/// Adds a doubt with the first of its causes and their number; none without a cause.
fn add_doubt(report: &mut Report, doubt: Doubt, causes: &[String]) {
    let Some(first) = causes.first() else { return };
    let count = causes.len().try_into().unwrap_or(u64::MAX);
    report.doubt(doubt, DoubtNote { count, first: None, detail: Some(first.clone()) });
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use paylab_core::{
        claim::Verdict,
        judge::{
            anomaly::Anomaly,
            report::{LedgerTotals, RecordTotals},
        },
    };
    use paylab_present::sentence;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        fixtures::{ended, foreign, lab, loaded, planned, pod, ready},
        names::Part,
    };

    fn booked(experiment: &PlannedExperiment, entries: u64) -> Report {
        let ledger = Some(LedgerTotals { entries, ..LedgerTotals::default() });
        Report { ledger, ..empty_report(experiment) }
    }

    /// The sentence of the verdict, which must be inconclusive.
    fn verdict(experiment: &PlannedExperiment, observed: &Observed) -> String {
        let report = merged_report(experiment, observed);
        let outcome = experiment.outcome(report);
        assert_eq!((outcome.verdict, outcome.observed), (Verdict::Inconclusive, None));
        sentence::verdict(&outcome)
    }

    #[test]
    fn missing_evidence_is_inconclusive_with_the_reason_of_the_pod() {
        let experiment = planned(&json!({}));
        let evicted =
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
        let other_run = serde_json::to_string(&Report { run_id: "another".to_owned(), ..Report::default() }).unwrap();
        let verdict_for = |status: Value| verdict(&experiment, &loaded(status));
        let mut gone = loaded(ready());
        gone.pods.pop();
        let all = [
            verdict_for(ended(137, "OOMKilled", "")),
            verdict_for(ended(70, "Error", "paylab: cannot put the rules")),
            verdict_for(evicted),
            verdict_for(ended(0, "Completed", r#"{"runId":"#)),
            verdict_for(ended(0, "Completed", &other_run)),
            verdict(&experiment, &gone),
        ];
        expect_test::expect![[r#"
            INCONCLUSIVE: 1 of the workers left no whole report: pod load-0 has ended: OOMKilled, exit code 137; nothing is claimed.
            INCONCLUSIVE: 1 of the workers left no whole report: pod load-0 has ended: Error, exit code 70: paylab: cannot put the rules; nothing is claimed.
            INCONCLUSIVE: 1 of the workers left no whole report: pod load-0 was terminated: Evicted: The node was low on resource: memory.; nothing is claimed.
            INCONCLUSIVE: 1 of the workers left no whole report: the report of pod load-0 cannot be read: EOF while parsing a value at line 1 column 9; nothing is claimed.
            INCONCLUSIVE: 1 of the workers left no whole report: the report of pod load-0 is about another run, another; nothing is claimed.
            INCONCLUSIVE: 1 of the workers left no whole report: the pod of worker 0 is gone; nothing is claimed."#]].assert_eq(&all.join("\n"));
    }

    #[test]
    fn the_largest_experiment_is_judged_at_once_because_its_workers_have_predicted_it() {
        let experiment = planned(&json!({"payments": {"count": 100_000_000}}));
        let mut stopped = empty_report(&experiment);
        stopped.doubt(Doubt::LoadStopped, DoubtNote { count: 1, ..DoubtNote::default() });
        let whole = booked(&experiment, 100_000_000);
        let begun = Instant::now();
        for report in [stopped, whole] {
            let observed = loaded(ended(0, "Completed", &serde_json::to_string(&report).unwrap()));
            let outcome = experiment.outcome(merged_report(&experiment, &observed));
            assert_eq!(outcome.report.prediction, None);
        }
        // To draw the fate of each payment takes more than ten seconds.
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_lost_pod_of_the_lab_makes_every_report_void() {
        let experiment = planned(&json!({}));
        let report = booked(&experiment, 20);
        let mut observed = loaded(ended(0, "Completed", &serde_json::to_string(&report).unwrap()));
        assert_eq!(merged_report(&experiment, &observed), report);
        observed.pods[0] = pod(Part::PaymentService, "another", ready());
        assert_eq!(merged_report(&experiment, &observed).entries(), None);
        assert!(verdict(&experiment, &observed).contains("was deleted"), "{}", verdict(&experiment, &observed));
    }

    #[test]
    fn a_restarted_container_is_a_doubt_and_the_reports_still_count() {
        let experiment = planned(&json!({}));
        let report = booked(&experiment, 20);
        let mut observed = loaded(ended(0, "Completed", &serde_json::to_string(&report).unwrap()));
        let mut status = ready();
        status["containerStatuses"][0]["restartCount"] = json!(1);
        status["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        observed.pods[1] = pod(Part::ResetProxy, "proxy", status);
        let merged = merged_report(&experiment, &observed);
        assert_eq!(merged.entries(), Some(20));
        let detail = merged.doubts[&Doubt::EnvironmentChanged].detail.clone().unwrap();
        assert!(detail.contains("pod proxy") && detail.contains("OOMKilled"), "{detail}");
    }

    #[test]
    fn reports_of_workers_add_up_and_a_missing_one_is_a_doubt() {
        let experiment = planned(&json!({"client": {"workers": 2}}));
        let report = |entries| serde_json::to_string(&booked(&experiment, entries)).unwrap();
        let mut observed = loaded(ended(0, "Completed", &report(7)));
        observed.pods.push(pod(Part::LoadJob, "load-1", ended(0, "Completed", &report(5))));
        assert_eq!(merged_report(&experiment, &observed).entries(), Some(12));
        observed.pods.pop();
        let merged = merged_report(&experiment, &observed);
        assert_eq!((merged.entries(), merged.doubts[&Doubt::ReportMissing].count), (Some(7), 1));
    }

    #[test]
    fn without_the_job_or_its_owner_every_report_is_void() {
        assert!(verdict(&planned(&json!({})), &lab()).contains("the load's Job was deleted"));
        let orphaned = Observed { plan: None, ..lab() };
        assert!(verdict(&planned(&json!({})), &orphaned).contains("the ConfigMap that owns the lab was deleted"));
    }

    /// The report of a run that shows what broke the claim.
    fn violated(experiment: &PlannedExperiment) -> Report {
        let record = Some(RecordTotals::default());
        let mut report = Report { record, ..booked(experiment, 27) };
        report.payments.intended = 20;
        report.anomalies.entry(Anomaly::Duplicated).or_default().count = 7;
        report
    }

    fn outcome(experiment: &PlannedExperiment, observed: &Observed) -> (Verdict, Option<String>) {
        let report = merged_report(experiment, observed);
        let detail = report.doubts.get(&Doubt::EnvironmentChanged).and_then(|note| note.detail.clone());
        (experiment.outcome(report).verdict, detail)
    }

    #[test]
    fn a_violation_that_a_changed_lab_may_have_caused_is_no_verdict() {
        let experiment = planned(&json!({}));
        let observed = loaded(ended(0, "Completed", &serde_json::to_string(&violated(&experiment)).unwrap()));
        assert_eq!(outcome(&experiment, &observed), (Verdict::Violated, None));
        let mut scaled = observed.clone();
        scaled.deployments[0].metadata.generation = Some(2);
        let mut grown = observed.clone();
        grown.pods.push(pod(Part::PaymentService, "second", ready()));
        let mut joined = observed.clone();
        joined.pods.push(foreign(pod(Part::PaymentService, "forged", ready())));
        let mut unknown = observed.clone();
        unknown.job.as_mut().unwrap().metadata.annotations = None;
        for (changed, why) in
            [(scaled, "was changed"), (grown, "was added"), (joined, "not controlled"), (unknown, "is missing")]
        {
            let (verdict, detail) = outcome(&experiment, &changed);
            assert!(
                verdict == Verdict::Inconclusive && detail.as_ref().is_some_and(|it| it.contains(why)),
                "{detail:?}"
            );
        }
    }

    #[test]
    fn a_worker_that_was_started_twice_has_no_report_that_counts() {
        let experiment = planned(&json!({}));
        let report = serde_json::to_string(&violated(&experiment)).unwrap();
        let mut observed = loaded(ended(0, "Completed", &report));
        observed.pods.push(pod(Part::LoadJob, "again-0", ready()));
        let why = "worker 0 was started twice, as pods load-0 and again-0".to_owned();
        assert_eq!(outcome(&experiment, &observed), (Verdict::Inconclusive, Some(why)));
    }

    #[test]
    fn a_report_of_a_pod_that_the_job_does_not_control_is_no_evidence_but_a_doubt() {
        let experiment = planned(&json!({}));
        let own = ended(0, "Completed", &serde_json::to_string(&violated(&experiment)).unwrap());
        let forged = ended(0, "Completed", &serde_json::to_string(&empty_report(&experiment)).unwrap());
        let mut observed = loaded(own);
        observed.pods.insert(0, foreign(pod(Part::LoadJob, "forged-0", forged)));
        let why = "pod forged-0 has the labels of this run's load but is not controlled by its Job".to_owned();
        assert_eq!(outcome(&experiment, &observed), (Verdict::Violated, Some(why.clone())));
        // Where the run's own pod says nothing, the stranger does not speak for it.
        observed.pods.pop();
        assert_eq!(outcome(&experiment, &observed), (Verdict::Inconclusive, Some(why)));
        assert!(merged_report(&experiment, &observed).doubts.contains_key(&Doubt::ReportMissing));
    }
}
