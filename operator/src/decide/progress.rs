//! How far the load is, from the load pods' logs.

use std::collections::BTreeMap;

use paylab_experiment::{contract::PROGRESS_MESSAGE, status::ProgressStatus};
use serde::Deserialize;

use crate::planned::PlannedExperiment;

/// A line of a load pod's log that reports progress.
#[derive(Deserialize)]
struct LogLine {
    fields: LogFields,
}

#[derive(Deserialize)]
struct LogFields {
    message: String,
    acknowledged: i64,
    attempts: i64,
}

/// How far the load is: the sum of what each worker's log says last. `None` if no log reports progress.
pub(crate) fn progress(experiment: &PlannedExperiment, logs: &BTreeMap<u32, String>) -> Option<ProgressStatus> {
    let workers: Vec<LogFields> = logs.values().filter_map(|log| log.lines().rev().find_map(parse_line)).collect();
    let payments = i64::try_from(experiment.plan.count).unwrap_or(i64::MAX);
    (!workers.is_empty()).then(|| ProgressStatus {
        payments,
        acknowledged: workers.iter().map(|worker| worker.acknowledged).sum(),
        attempts: workers.iter().map(|worker| worker.attempts).sum(),
    })
}

/// The counts in a line of the log, if it reports progress.
fn parse_line(line: &str) -> Option<LogFields> {
    let LogLine { fields } = serde_json::from_str(line).ok()?;
    (fields.message == PROGRESS_MESSAGE).then_some(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::planned;

    #[test]
    fn progress_is_the_sum_of_every_workers_last_line() {
        let experiment = planned(&json!({"client": {"workers": 2}}));
        let line = |acknowledged: i64, attempts: i64| json!({"level": "INFO", "fields": {"message": PROGRESS_MESSAGE, "acknowledged": acknowledged, "attempts": attempts, "ended": 1}});
        let logs = [
            (0, format!("{}\n{}\nnot json\n{}\n", line(1, 2), line(5, 9), json!({"fields": {"message": "load done"}}))),
            (1, format!("{}\n", line(3, 4))),
        ];
        let sum = progress(&experiment, &logs.into()).unwrap();
        assert_eq!((sum.payments, sum.acknowledged, sum.attempts), (20, 8, 13));
        assert_eq!(progress(&experiment, &BTreeMap::new()), None);
    }
}
