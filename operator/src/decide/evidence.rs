//! Merges the load pods' reports into one. It must not judge: what is missing becomes a doubt in the report, from which the
//! verdict is drawn as without a cluster.

use k8s_openapi::api::batch::v1::Job;
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
    names::Part,
    observe::{Observed, jobs, pods},
    planned::PlannedExperiment,
};

/// The merged report of a run whose load has ended. If a pod of the lab was lost, and its evidence with it, the load's reports
/// are void and the merged report is empty but for that doubt.
pub(crate) fn merged_report(experiment: &PlannedExperiment, observed: &Observed) -> Report {
    let LabChanges { lost, restarted } = match &observed.job {
        Some(job) => lab_changes(jobs::lab_at_launch(job), &observed.pods),
        None => LabChanges { lost: vec!["the load's Job was deleted".to_owned()], restarted: Vec::new() },
    };
    let mut report = if lost.is_empty() { merge_workers(experiment, observed) } else { empty_report(experiment) };
    let changes: Vec<_> = lost.into_iter().chain(restarted).collect();
    add_doubt(&mut report, Doubt::EnvironmentChanged, &changes);
    report
}

/// The sum of all workers' reports, with a doubt about those that are missing.
fn merge_workers(experiment: &PlannedExperiment, observed: &Observed) -> Report {
    let mut merged: Option<Report> = None;
    let mut missing = Vec::new();
    for worker in 0..experiment.plan.client.workers {
        match report_of(experiment, observed, worker) {
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

/// The report of one worker, or why there is none.
fn report_of(experiment: &PlannedExperiment, observed: &Observed, worker: u32) -> Result<Report, String> {
    let load = observed.pods.iter().filter(|pod| pods::is_part(pod, Part::LoadJob));
    let pods = load.filter(|pod| pods::worker(pod) == Some(worker));
    // There is one pod, unless somebody deleted it and the Job created another before it failed.
    let Some(pod) = pods.max_by_key(|pod| pods::has_reported(pod)) else {
        return Err(format!("the pod of worker {worker} is gone{}", job_failure(observed.job.as_ref())));
    };
    let name = pod.name_any();
    let Some(termination) = pods::termination(pod) else {
        let why = problem::worst(std::slice::from_ref(pod)).map(|problem| problem.message);
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
    use paylab_core::{claim::Verdict, judge::report::LedgerTotals};
    use paylab_present::sentence;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{ended, lab, loaded, planned, pod, ready};

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
    fn without_the_job_every_report_is_void() {
        assert!(verdict(&planned(&json!({})), &lab()).contains("the load's Job was deleted"));
    }
}
