//! JSON for programs: one object with the fields of the resource's status.

use paylab_core::{outcome::Outcome, plan::Plan, prediction::Prediction};

use crate::status;

/// An outcome as JSON.
///
/// # Errors
/// None that is known: every field of a status can be written as JSON.
pub fn outcome(outcome: &Outcome) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&status::outcome(outcome))
}

/// A prediction as JSON: the field `prediction` of a status.
///
/// # Errors
/// None that is known: every field of a status can be written as JSON.
pub fn prediction(plan: &Plan, prediction: &Prediction) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&status::prediction(plan, prediction))
}
