//! The evidence of an experiment that ran on a cluster. It is checked as a directory is, and compared with what the experiment's status says.

use operator::evidence::{ClusterEvidence, FetchError, StoredRun, fetch};
use paylab_core::{
    chronicle::{Chronicle, Counts},
    outcome::{Outcome, Setting},
};
use paylab_present::status;
use paylab_resource::{file, status::ChaosExperimentStatus};

use super::{Kept, share, write::yaml_of};
use crate::{exit::Misuse, lab::one_thread};

/// Reads the evidence of an experiment through the cluster's API.
///
/// # Errors
/// The cluster cannot be asked, or the experiment has no whole evidence.
pub(crate) fn read_from_cluster(experiment: &str, namespace: Option<&str>) -> anyhow::Result<Kept> {
    let fetched = one_thread()?.block_on(fetch(experiment, namespace)).map_err(|error| match error {
        FetchError::Cluster(error) => error.into(),
        FetchError::Refused(problem) => anyhow::Error::from(Misuse(problem)),
    })?;
    Ok(kept_from_cluster(fetched)
        .map_err(|problem| Misuse(format!("experiment {experiment} has evidence that {problem}")))?)
}

/// The evidence as it is kept on one machine.
///
/// # Errors
/// It is not whole, or contradicts the experiment's status.
pub(crate) fn kept_from_cluster(evidence: ClusterEvidence) -> Result<Kept, String> {
    let ClusterEvidence { run, experiment: text, shares, status } = evidence;
    let StoredRun { run_id, made_by, verdict, report, .. } = run;
    let experiment = file::parse(&text, report.seed).map_err(|errors| {
        let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
        format!("has an invalid experiment: {}; paylab {made_by} has written it", problems.join("; "))
    })?;
    let yaml = yaml_of(&experiment.resource, report.seed).map_err(|error| error.to_string())?;
    let setting =
        Setting { experiment: experiment.resource.metadata.name.clone().unwrap_or_default(), ..Setting::default() };
    let outcome = Outcome::of_kept(&experiment.plan, report, setting);
    let now = format!("{:?}", outcome.verdict);
    if now != verdict {
        return Err(format!(
            "says {verdict}, and this version of paylab concludes {now} from it; use paylab {made_by}, which has written it"
        ));
    }
    if !agrees(&outcome, &status) {
        return Err("has other totals than the experiment's status; one of them was changed".to_owned());
    }
    let chronicle = chronicle(shares, &run_id)?;
    Ok(Kept { outcome, chronicle, yaml, comparison: None })
}

/// Whether the totals of the evidence are those of the status.
fn agrees(outcome: &Outcome, status: &ChaosExperimentStatus) -> bool {
    let shown = status::outcome(outcome);
    (shown.ledger.as_ref(), shown.payments.as_ref(), shown.attempts.as_ref())
        == (status.ledger.as_ref(), status.payments.as_ref(), status.attempts.as_ref())
}

/// The chronicles of all workers. If one is missing, what is counted over all payments is not shown, because it would be too little.
fn chronicle(shares: Vec<Result<Vec<u8>, String>>, run_id: &str) -> Result<Chronicle, String> {
    let workers = shares.len();
    let mut merged: Option<Chronicle> = None;
    let mut missing = Vec::new();
    for (worker, share) in shares.into_iter().enumerate() {
        match share {
            Err(why) => missing.push(why),
            Ok(bytes) => {
                let share = share::decode(&bytes, run_id);
                let share = share.map_err(|problem| format!("has a share of worker {worker} that {problem}"))?;
                merged = Some(match merged {
                    None => share,
                    Some(sum) => sum.merge(share),
                });
            }
        }
    }
    let merged = merged.unwrap_or_default();
    let Some(first) = missing.first() else { return Ok(merged) };
    let unread = format!("{} of {workers} workers have left no evidence of single attempts: {first}", missing.len());
    Ok(Chronicle { counts: Counts { unread: Some(unread), ..Counts::default() }, ..merged })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_share_of_a_worker_nothing_is_counted_over_all_payments() {
        let whole =
            Chronicle { counts: Counts { matrix: Some(Default::default()), ..Counts::default() }, stories: Vec::new() };
        let share = share::encode(whole.clone(), "run-1", usize::MAX).unwrap().unwrap();
        assert_eq!(chronicle(vec![Ok(share.clone()), Ok(share.clone())], "run-1").unwrap(), whole);
        let Counts { matrix, unread, .. } =
            chronicle(vec![Ok(share.clone()), Err("the pod is gone".to_owned())], "run-1").unwrap().counts;
        let expected = "1 of 2 workers have left no evidence of single attempts: the pod is gone";
        assert_eq!((matrix, unread.as_deref()), (None, Some(expected)));
        let problem = chronicle(vec![Ok(share[..9].to_vec())], "run-1").unwrap_err();
        assert_eq!(problem, "has a share of worker 0 that is cut or damaged");
    }
}
