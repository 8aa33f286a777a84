//! The evidence of a run that was judged, in a `ConfigMap` that the experiment owns, and not its plan: so it outlives the lab.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use paylab_core::outcome::Outcome;
use paylab_part::evidence_log::sha256;

use super::{metadata::meta, plan};
use crate::{
    evidence::{EXPERIMENT_KEY, FORMAT, KIND, RUN_KEY, StoredRun, StoredShare, share_key},
    names,
    planned::PlannedExperiment,
};

/// How much all workers together may log, in bytes.
const SHARES_LEN_MAX: usize = 640 * 1024;
/// How long a `ConfigMap` of evidence may be, in bytes. The API server refuses one of more than 1 MiB.
const LEN_MAX: usize = 900 * 1024;

/// How much evidence each worker may log, in bytes.
pub(crate) fn share_len_max(experiment: &PlannedExperiment) -> usize {
    SHARES_LEN_MAX / usize::try_from(experiment.plan.client.workers.max(1)).unwrap_or(1)
}

/// The `ConfigMap`; `shares` has the share of each worker, or why there is none.
pub(crate) fn evidence(
    experiment: &PlannedExperiment,
    outcome: &Outcome,
    shares: Vec<Result<Vec<u8>, String>>,
) -> ConfigMap {
    let file = plan::file(experiment);
    let mut left = LEN_MAX.saturating_sub(file.len());
    let mut binary = BTreeMap::new();
    let stored = shares.into_iter().enumerate().map(|(worker, share)| match share {
        Err(why) => StoredShare::Missing(why),
        Ok(bytes) if bytes.len() > left => StoredShare::Missing("it does not fit a ConfigMap".to_owned()),
        Ok(bytes) => {
            left -= bytes.len();
            let sha256 = sha256(&bytes);
            binary.insert(share_key(worker), ByteString(bytes));
            StoredShare::Sha256(sha256)
        }
    });
    let run = StoredRun {
        kind: KIND.to_owned(),
        format: FORMAT,
        run_id: outcome.report.run_id.clone(),
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        experiment_sha256: sha256(file.as_bytes()),
        verdict: format!("{:?}", outcome.verdict),
        report: outcome.report.clone(),
        shares: stored.collect(),
    };
    // Texts, numbers and maps with names as keys can always be written as JSON.
    let run = serde_json::to_string(&run).unwrap_or_default();
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::evidence(&experiment.name)),
            labels: Some(names::evidence_labels(&experiment.name, experiment.id.as_str())),
            ..meta(experiment, &experiment.owner)
        },
        data: Some([(RUN_KEY.to_owned(), run), (EXPERIMENT_KEY.to_owned(), file)].into()),
        binary_data: (!binary.is_empty()).then_some(binary),
        immutable: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use paylab_core::judge::report::Report;
    use serde_json::json;

    use super::*;
    use crate::fixtures::planned;

    #[test]
    fn what_does_not_fit_is_left_out_and_the_config_map_stays_below_a_mebibyte() {
        let experiment = planned(&json!({"client": {"workers": 3}}));
        assert_eq!(share_len_max(&experiment), SHARES_LEN_MAX / 3);
        let outcome = experiment.outcome(Report::default());
        let too_long = vec![Ok(vec![1; 300_000]), Ok(vec![2; 700_000]), Ok(vec![3; 300_000])];
        let map = evidence(&experiment, &outcome, too_long);
        let (data, binary) = (map.data.unwrap(), map.binary_data.unwrap());
        let len = data.values().map(String::len).sum::<usize>() + binary.values().map(|it| it.0.len()).sum::<usize>();
        assert!(len < 1024 * 1024, "{len}");
        assert_eq!(binary.keys().collect::<Vec<_>>(), ["share-0.ndjson.zst", "share-2.ndjson.zst"]);
        let run: StoredRun = serde_json::from_str(&data[RUN_KEY]).unwrap();
        assert_eq!(run.shares[1], StoredShare::Missing("it does not fit a ConfigMap".to_owned()));
    }

    #[test]
    fn the_experiment_owns_it_and_its_lab_does_not_select_it() {
        let experiment = planned(&json!({}));
        let map = evidence(&experiment, &experiment.outcome(Report::default()), vec![Err("x".to_owned())]);
        assert_eq!(map.metadata.owner_references, Some(vec![experiment.owner.clone()]));
        assert!(!map.metadata.labels.unwrap().contains_key(names::MANAGED_BY_LABEL));
    }
}
