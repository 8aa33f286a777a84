//! The memory limit of the load, which keeps a few numbers of every payment until the end.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use paylab_core::{client::BodyDrift, plan::Plan};

/// The name of memory among the resources of a container.
const MEMORY: &str = "memory";
/// What a load needs for everything but its payments, in bytes.
const BASE_BYTES: u64 = 80 << 20;
/// What history, record with the fates, ledger and prediction need for each payment of the worker's share, in bytes.
const PAYMENT_BYTES: u64 = 34;
/// What each payment needs in addition where repeats may ask for other amounts: then every amount in the ledger is kept.
const AMOUNTS_BYTES: u64 = 128;
const MEBIBYTE: u64 = 1 << 20;
/// The suffixes of a quantity, the longer ones first.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The resources of a load pod: those of every part, with at least as much memory as the payments of the largest share need. Without
/// a limit there is nothing to raise.
pub(super) fn load_resources(plan: &Plan, parts: &ResourceRequirements) -> ResourceRequirements {
    let mut resources = parts.clone();
    let limit = resources.limits.as_mut().and_then(|limits| limits.get_mut(MEMORY));
    if let Some(limit) = limit {
        let needed = needed_bytes(plan);
        // A limit that cannot be read is left as it is, so that the API server refuses it in its own words.
        if bytes(&limit.0).is_some_and(|limit| limit < as_float(needed)) {
            *limit = Quantity(format!("{}Mi", needed.div_ceil(MEBIBYTE)));
        }
    }
    resources
}

/// The memory that a worker needs for the largest share of the payments, in bytes.
fn needed_bytes(plan: &Plan) -> u64 {
    let per_payment = match plan.client.body_drift {
        BodyDrift::None => PAYMENT_BYTES,
        BodyDrift::Amount => PAYMENT_BYTES + AMOUNTS_BYTES,
    };
    let share = plan.count.div_ceil(u64::from(plan.client.workers.max(1)));
    BASE_BYTES.saturating_add(share.saturating_mul(per_payment))
}

/// The bytes of a quantity such as `512Mi`, `1.5Gi`, `800M` or `1e9`; `None` if it is none.
fn bytes(quantity: &str) -> Option<f64> {
    let suffix = SUFFIXES.iter().find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, *factor)));
    let (number, factor) = suffix.unwrap_or((quantity, 1.0));
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some(number * factor)
}

#[expect(clippy::cast_precision_loss, reason = "an error of a few bytes does not matter for a limit of many mebibytes")]
const fn as_float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::planned;

    /// The memory limit of a load pod of this experiment, where every part has this one.
    fn limit(spec: &Value, parts: &str) -> String {
        let parts =
            serde_json::from_value(json!({"limits": {"memory": parts}, "requests": {"memory": "64Mi"}})).unwrap();
        let resources = load_resources(&planned(spec).plan, &parts);
        assert_eq!(resources.requests, parts.requests);
        resources.limits.unwrap()["memory"].0.clone()
    }

    #[test]
    fn the_limit_of_the_load_follows_from_the_payments_of_a_worker_unless_that_of_the_parts_is_larger() {
        let of = |count: u64, workers: u32| json!({"payments": {"count": count}, "client": {"workers": workers}});
        assert_eq!(limit(&of(1000, 1), "512Mi"), "512Mi");
        assert_eq!(limit(&of(1000, 1), "16Mi"), "81Mi");
        assert_eq!(limit(&of(100_000_000, 1), "512Mi"), "3323Mi");
        assert_eq!(limit(&of(100_000_000, 64), "512Mi"), "512Mi");
        assert_eq!(limit(&of(100_000_000, 1), "4Gi"), "4Gi");
        let mut drift = of(10_000_000, 1);
        drift["client"]["bodyDrift"] = json!("Amount");
        assert_eq!(limit(&drift, "512Mi"), "1625Mi");
    }

    #[test]
    fn without_a_limit_or_with_one_that_cannot_be_read_nothing_changes() {
        assert_eq!(limit(&json!({"payments": {"count": 100_000_000}}), "abc"), "abc");
        let plan = planned(&json!({"payments": {"count": 100_000_000}})).plan;
        for parts in [json!({}), json!({"limits": {"cpu": "1"}})] {
            let parts: ResourceRequirements = serde_json::from_value(parts).unwrap();
            assert_eq!(load_resources(&plan, &parts), parts);
        }
    }

    #[test]
    fn a_quantity_is_read_as_kubernetes_reads_it() {
        for (quantity, expected) in [
            ("512Mi", Some(536_870_912.0)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("800M", Some(8e8)),
            ("1e9", Some(1e9)),
            ("1E", Some(1e18)),
            ("128974848", Some(128_974_848.0)),
            ("128974848000m", Some(128_974_848.0)),
            ("", None),
            ("Mi", None),
            ("512MB", None),
            ("inf", None),
        ] {
            let read = bytes(quantity);
            let same = match (read, expected) {
                (Some(read), Some(expected)) => (read - expected).abs() < 1.0,
                (read, expected) => read == expected,
            };
            assert!(same, "{quantity}: {read:?}");
        }
    }
}
