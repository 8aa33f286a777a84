//! From the load pods' last words to one report. It must not judge: what is missing becomes a doubt, and the verdict is
//! drawn from the report as everywhere. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt as _;
use paylab_experiment::{
    contract::PROGRESS_MESSAGE,
    report::{Doubt, Note, Report},
    status::ProgressStatus,
};
use serde::Deserialize;

use crate::{
    decide::decision as stage,
    names::Part,
    observe::Observed,
    observe::pods::{self, Changes},
    planned::Run,
};

/// The merged report of a run whose load has ended. Where parts of the lab were lost with what they knew, nothing that the
/// load says is evidence any more.
pub(crate) fn merged(run: &Run, observed: &Observed) -> Report {
    let Changes { lost, restarted } = match &observed.job {
        Some(job) => pods::changes(stage::lab_at_launch(job), &observed.pods),
        None => Changes { lost: vec!["the load's Job was deleted".to_owned()], restarted: Vec::new() },
    };
    let mut report = if lost.is_empty() { reports(run, observed) } else { empty(run) };
    let changed: Vec<_> = lost.into_iter().chain(restarted).collect();
    if let Some(first) = changed.first() {
        let count = changed.len().try_into().unwrap_or(u64::MAX);
        report.doubt(Doubt::EnvironmentChanged, Note { count, first: None, detail: Some(first.clone()) });
    }
    report
}

/// What every shard says, added up.
fn reports(run: &Run, observed: &Observed) -> Report {
    let mut merged: Option<Report> = None;
    let mut missing = Vec::new();
    for shard in 0..run.plan.client.workers {
        match report(run, observed, shard) {
            Ok(report) => {
                merged = Some(match merged {
                    None => report,
                    Some(known) => known.merge(report),
                });
            }
            Err(why) => missing.push(why),
        }
    }
    let mut merged = merged.unwrap_or_else(|| empty(run));
    if let Some(first) = missing.first() {
        let count = missing.len().try_into().unwrap_or(u64::MAX);
        merged.doubt(Doubt::ReportMissing, Note { count, first: None, detail: Some(first.clone()) });
    }
    merged
}

/// The report of one shard, or why there is none.
fn report(run: &Run, observed: &Observed, shard: u32) -> Result<Report, String> {
    let pods = observed.pods.iter().filter(|pod| pods::is(pod, Part::LoadJob) && pods::shard(pod) == Some(shard));
    // There is one, unless somebody deleted it and the Job made another before it was failed.
    let Some(pod) = pods.max_by_key(|pod| pods::has_reported(pod)) else {
        return Err(format!("the pod of share {shard} is gone{}", closed(observed.job.as_ref())));
    };
    let name = pod.name_any();
    let Some(ended) = pods::ending(pod) else {
        let why = pods::worst(std::slice::from_ref(pod)).map(|trouble| trouble.message);
        return Err(why.unwrap_or_else(|| format!("pod {name} {}", pods::end_text(pod))));
    };
    let message = ended.message.as_deref().unwrap_or_default();
    match serde_json::from_str::<Report>(message) {
        Ok(report) if report.run_id == run.id.as_str() => Ok(report),
        Ok(report) => Err(format!("pod {name} has reported of another run, {}", report.run_id)),
        Err(_) if ended.exit_code != 0 => Err(format!("pod {name} {}", pods::end_text(pod))),
        Err(error) => Err(format!("the report of pod {name} cannot be read: {error}")),
    }
}

/// Why the Job's controller has closed a Job.
fn closed(job: Option<&Job>) -> String {
    let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
    let failed = conditions.into_iter().flatten().find(|one| one.type_ == "Failed" && one.status == "True");
    let why = failed.and_then(|one| one.reason.as_deref());
    why.map_or_else(String::new, |why| format!(" (the Job says {why})"))
}

/// A report in which nothing was seen.
fn empty(run: &Run) -> Report {
    Report {
        run_id: run.id.to_string(),
        seed: run.plan.seed(),
        faults: vec![Default::default(); run.plan.faults.len()],
        ..Report::default()
    }
}

/// How far the load is, from the last words in its pods' logs; `None` while no pod has said anything.
pub(crate) fn progress(run: &Run, logs: &BTreeMap<u32, String>) -> Option<ProgressStatus> {
    let told = logs.values().filter_map(|log| log.lines().rev().find_map(told));
    let shares: Vec<_> = told.collect();
    let payments = i64::try_from(run.plan.count).unwrap_or(i64::MAX);
    (!shares.is_empty()).then(|| ProgressStatus {
        payments,
        acknowledged: shares.iter().map(|share| share.acknowledged).sum(),
        attempts: shares.iter().map(|share| share.attempts).sum(),
    })
}

/// Pods of the load that may have something to tell of their progress.
pub(crate) fn speakers(observed: &Observed) -> impl Iterator<Item = (u32, &Pod)> {
    let load = observed.pods.iter().filter(|pod| pods::is(pod, Part::LoadJob));
    load.filter(|pod| pods::is_ready(pod) || pods::has_ended(pod)).filter_map(|pod| Some((pods::shard(pod)?, pod)))
}

fn told(line: &str) -> Option<ProgressStatus> {
    #[derive(Deserialize)]
    struct Line {
        fields: Fields,
    }
    #[derive(Deserialize)]
    struct Fields {
        message: String,
        acknowledged: i64,
        attempts: i64,
    }
    let Fields { message, acknowledged, attempts } = serde_json::from_str::<Line>(line).ok()?.fields;
    (message == PROGRESS_MESSAGE).then_some(ProgressStatus { payments: 0, acknowledged, attempts })
}

#[cfg(test)]
mod tests {
    use paylab_experiment::{predict::Prediction, status::Verdict, verdict::conclude};
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{ended, lab, loaded, pod, ready, run};

    /// The verdict's sentence over what was observed.
    fn sentence(run: &Run, observed: &Observed) -> String {
        let report = merged(run, observed);
        let conclusion = conclude(&run.plan, &report, &Prediction::of(&run.plan, 0..run.plan.count));
        assert_eq!(conclusion.verdict, Verdict::Inconclusive);
        assert_eq!(conclusion.observed, None);
        conclusion.sentence
    }

    #[test]
    fn missing_evidence_is_inconclusive_with_the_reason_of_the_pod() {
        let run = run(&json!({}));
        let evicted =
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
        let other_run = serde_json::to_string(&Report { run_id: "another".to_owned(), ..Report::default() }).unwrap();
        let said = |status: Value| sentence(&run, &loaded(status));
        let mut gone = loaded(ready());
        gone.pods.pop();
        let all = [
            said(ended(137, "OOMKilled", "")),
            said(ended(70, "Error", "paylab: cannot put the rules")),
            said(evicted),
            said(ended(0, "Completed", r#"{"runId":"#)),
            said(ended(0, "Completed", &other_run)),
            sentence(&run, &gone),
        ];
        expect_test::expect![[r#"
            INCONCLUSIVE: no whole report from 1 of the load pods: pod load-0 has ended: OOMKilled, exit code 137 (and 2 more doubts); nothing is claimed.
            INCONCLUSIVE: no whole report from 1 of the load pods: pod load-0 has ended: Error, exit code 70: paylab: cannot put the rules (and 2 more doubts); nothing is claimed.
            INCONCLUSIVE: no whole report from 1 of the load pods: pod load-0 was ended: Evicted: The node was low on resource: memory. (and 2 more doubts); nothing is claimed.
            INCONCLUSIVE: no whole report from 1 of the load pods: the report of pod load-0 cannot be read: EOF while parsing a value at line 1 column 9 (and 2 more doubts); nothing is claimed.
            INCONCLUSIVE: no whole report from 1 of the load pods: pod load-0 has reported of another run, another (and 2 more doubts); nothing is claimed.
            INCONCLUSIVE: no whole report from 1 of the load pods: the pod of share 0 is gone (and 2 more doubts); nothing is claimed."#]].assert_eq(&all.join("\n"));
    }

    #[test]
    fn what_was_lost_with_its_pod_makes_every_report_void() {
        let run = run(&json!({}));
        let report = Report { entries: 20, ..empty(&run) };
        let mut observed = loaded(ended(0, "Completed", &serde_json::to_string(&report).unwrap()));
        assert_eq!(merged(&run, &observed), report);
        observed.pods[0] = pod(Part::PaymentService, "another", ready());
        assert_eq!(merged(&run, &observed).entries, 0);
        assert!(sentence(&run, &observed).contains("was deleted"), "{}", sentence(&run, &observed));
    }

    #[test]
    fn a_container_started_anew_is_a_doubt_beside_the_evidence() {
        let run = run(&json!({}));
        let report = Report { entries: 20, ..empty(&run) };
        let mut observed = loaded(ended(0, "Completed", &serde_json::to_string(&report).unwrap()));
        let mut status = ready();
        status["containerStatuses"][0]["restartCount"] = json!(1);
        status["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        observed.pods[1] = pod(Part::ResetProxy, "proxy", status);
        let merged = merged(&run, &observed);
        assert_eq!(merged.entries, 20);
        let detail = merged.doubts[&Doubt::EnvironmentChanged].detail.clone().unwrap();
        assert!(detail.contains("pod proxy") && detail.contains("OOMKilled"), "{detail}");
    }

    #[test]
    fn shares_add_up_and_one_that_is_missing_is_a_doubt() {
        let run = run(&json!({"client": {"workers": 2}}));
        let report = |entries| serde_json::to_string(&Report { entries, ..empty(&run) }).unwrap();
        let mut observed = loaded(ended(0, "Completed", &report(7)));
        observed.pods.push(pod(Part::LoadJob, "load-1", ended(0, "Completed", &report(5))));
        assert_eq!(merged(&run, &observed).entries, 12);
        observed.pods.pop();
        let merged = merged(&run, &observed);
        assert_eq!((merged.entries, merged.doubts[&Doubt::ReportMissing].count), (7, 1));
    }

    #[test]
    fn a_load_without_its_job_is_void() {
        assert!(sentence(&run(&json!({})), &lab()).contains("the load's Job was deleted"));
    }

    #[test]
    fn progress_is_the_last_word_of_every_share() {
        let run = run(&json!({"client": {"workers": 2}}));
        let line = |acknowledged: i64, attempts: i64| json!({"level": "INFO", "fields": {"message": PROGRESS_MESSAGE, "acknowledged": acknowledged, "attempts": attempts, "ended": 1}});
        let logs = [
            (0, format!("{}\n{}\nnot json\n{}\n", line(1, 2), line(5, 9), json!({"fields": {"message": "load done"}}))),
            (1, format!("{}\n", line(3, 4))),
        ];
        let told = progress(&run, &logs.into()).unwrap();
        assert_eq!((told.payments, told.acknowledged, told.attempts), (20, 8, 13));
        assert_eq!(progress(&run, &BTreeMap::new()), None);
    }
}
