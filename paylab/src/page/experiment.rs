//! What was pressed, as an experiment: the same that `paylab run` runs.

use paylab_core::{client::KeyPolicy, field_error::FieldError, targets::ours::Dedup};
use paylab_resource::file::{self, Experiment};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::state::Toxics;

/// Above this, so few attempts come through that a thousand payments would take minutes.
const SHARE_MAX: f64 = 0.9;
/// Each payment is of one euro.
pub(super) const AMOUNT_MINOR: i64 = 100;

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pay {
    pub(super) payments: Payments,
    pub(super) until: Until,
    pub(super) key: Key,
    /// Decides the fate of every attempt.
    pub(super) seed: u64,
}

/// How many payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Payments {
    One,
    Thousand,
}

/// How long a payment is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Until {
    Tried,
    Acknowledged,
}

/// Whether a payment has an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Key {
    None,
    PerPayment,
}

/// The experiment that was pressed.
///
/// # Errors
/// A seed that no experiment has, or toxics that let nothing through.
pub(super) fn experiment(pay: Pay, dedup: Dedup, toxics: &Toxics) -> Result<Experiment, Vec<FieldError>> {
    let Toxics { request_lost, answer_lost, others: _ } = *toxics;
    if pay.until == Until::Acknowledged && request_lost.max(answer_lost) > SHARE_MAX {
        let problem = "almost no payment would ever be acknowledged; set both sliders to at most 90 %";
        return Err(vec![FieldError::new("toxics", problem)]);
    }
    let (name, attempts) = match pay.until {
        Until::Tried => ("one-try-each", 1),
        Until::Acknowledged => ("until-acknowledged", 0),
    };
    let key = match pay.key {
        Key::None => KeyPolicy::None,
        Key::PerPayment => KeyPolicy::PerPayment,
    };
    let is_safe = pay.key == Key::PerPayment && dedup != Dedup::None && pay.until == Until::Acknowledged;
    let faults = [("request-lost", request_lost, "BeforeRequest"), ("response-lost", answer_lost, "BeforeResponse")];
    let faults: Vec<_> = faults
        .into_iter()
        .filter(|(_, share, _)| *share > 0.0)
        .map(|(name, share, at)| json!({"name": name, "probability": share, "reset": {"at": at}}))
        .collect();
    let resource = json!({
        "apiVersion": "paylab.dev/v1alpha1",
        "kind": "ChaosExperiment",
        "metadata": {"name": format!("lesson-{name}")},
        "spec": {
            "claim": "ExactlyOnce",
            "expect": if is_safe || faults.is_empty() { "Upheld" } else { "Violated" },
            "seed": pay.seed,
            "payments": {"count": pay.payments.count(), "amount": "1.00", "currency": "EUR", "from": "bianca", "to": "marc"},
            "client": {
                "retry": {"maxAttempts": attempts, "backoff": {"base": "0s", "cap": "1s"}, "attemptTimeout": "5s"},
                "idempotencyKey": key,
                "concurrency": 8,
            },
            "service": {"dedup": dedup},
            "faults": faults,
        },
    });
    file::parse(&resource.to_string(), pay.seed)
}

impl Payments {
    pub(super) const fn count(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Thousand => 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LESSON: Toxics = Toxics { request_lost: 0.3, answer_lost: 0.3, others: Vec::new() };

    fn pay(until: Until, key: Key) -> Pay {
        Pay { payments: Payments::Thousand, until, key, seed: 42 }
    }

    fn entries(until: Until, key: Key, dedup: Dedup) -> u64 {
        let plan = experiment(pay(until, key), dedup, &LESSON).unwrap().plan;
        paylab_core::prediction::Prediction::of(&plan, 0..1000).entries
    }

    #[test]
    fn the_buttons_are_the_experiments_of_the_lesson() {
        assert_eq!(entries(Until::Tried, Key::None, Dedup::UniqueKey), 695);
        assert_eq!(entries(Until::Acknowledged, Key::None, Dedup::UniqueKey), 1455);
        assert_eq!(entries(Until::Acknowledged, Key::PerPayment, Dedup::None), 1455);
        assert_eq!(entries(Until::Acknowledged, Key::PerPayment, Dedup::UniqueKey), 1000);
    }

    #[test]
    fn toxics_that_let_nothing_through_and_seeds_that_no_experiment_has_are_refused() {
        let nothing = Toxics { request_lost: 1.0, ..LESSON };
        assert!(experiment(pay(Until::Acknowledged, Key::None), Dedup::None, &nothing).is_err());
        assert!(experiment(pay(Until::Tried, Key::None), Dedup::None, &nothing).is_ok());
        let seed = Pay { seed: u64::MAX, ..pay(Until::Tried, Key::None) };
        let refused = experiment(seed, Dedup::None, &LESSON).unwrap_err();
        assert_eq!(refused[0].field, "spec.seed");
    }

    #[test]
    fn without_toxics_there_are_no_faults() {
        let plan = experiment(pay(Until::Tried, Key::None), Dedup::None, &Toxics::default()).unwrap().plan;
        assert!(plan.faults().is_empty());
    }
}
