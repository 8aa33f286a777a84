//! The memory limit of the load, which keeps a few numbers of every payment until the end.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use paylab_core::{client::BodyDrift, plan::Plan};

use crate::quantity::amount;

/// The name of memory among the resources of a container.
const MEMORY: &str = "memory";
/// What a load needs for everything but its payments, in bytes.
const BASE_BYTES: u64 = 80 << 20;
/// What history, record with the fates, ledger and prediction need for each payment of the worker's share, in bytes.
const PAYMENT_BYTES: u64 = 34;
/// What each payment needs in addition where repeats may ask for other amounts: then every amount in the ledger is kept.
const AMOUNTS_BYTES: u64 = 128;
const MEBIBYTE: u64 = 1 << 20;
/// The resources of a load pod: those that the settings give it, with at least as much memory as the payments of the largest share need,
/// so that the larger limit wins. Without a limit there is nothing to raise.
pub(super) fn load_resources(plan: &Plan, given: ResourceRequirements) -> ResourceRequirements {
    let mut resources = given;
    let limit = resources.limits.as_mut().and_then(|limits| limits.get_mut(MEMORY));
    if let Some(limit) = limit {
        let needed = needed_bytes(plan);
        // Every quantity was read when the operator started.
        if amount(&limit.0).is_some_and(|limit| limit < as_float(needed)) {
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
        let parts: ResourceRequirements =
            serde_json::from_value(json!({"limits": {"memory": parts}, "requests": {"memory": "64Mi"}})).unwrap();
        let resources = load_resources(&planned(spec).plan, parts.clone());
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
    fn without_a_limit_nothing_changes() {
        let plan = planned(&json!({"payments": {"count": 100_000_000}})).plan;
        for parts in [json!({}), json!({"limits": {"cpu": "1"}})] {
            let parts: ResourceRequirements = serde_json::from_value(parts).unwrap();
            assert_eq!(load_resources(&plan, parts.clone()), parts);
        }
    }
}
