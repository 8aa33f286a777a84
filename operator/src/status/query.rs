//! What an existing status says.

use k8s_openapi::jiff::Timestamp;
use paylab_resource::{
    spec::Retain,
    status::{ChaosExperimentStatus, Phase},
};

/// When the operator began to work on the experiment.
pub(crate) fn started_at(status: Option<&ChaosExperimentStatus>) -> Option<Timestamp> {
    status.and_then(|status| status.start_time.as_ref()).map(|time| time.0)
}

/// When the load was launched: since then, the status says that the lab is ready.
pub(crate) fn launched_at(status: Option<&ChaosExperimentStatus>) -> Option<Timestamp> {
    let status = status.filter(|status| status.phase == Some(Phase::Loading))?;
    let ready = status.conditions.iter().find(|one| one.type_ == "EnvironmentReady" && one.status == "True")?;
    Some(ready.last_transition_time.0)
}

/// Whether the experiment has ended, with a verdict or without one.
pub(crate) fn is_final(status: Option<&ChaosExperimentStatus>) -> bool {
    status.is_some_and(|status| status.completion_time.is_some())
}

/// Whether the verdict is the one that the spec expects.
pub(crate) fn is_verified(status: &ChaosExperimentStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Verified" && condition.status == "True")
}

/// Whether the lab of an experiment that ended with this status is kept.
pub(crate) fn keeps_lab(retain: Retain, last: &ChaosExperimentStatus) -> bool {
    match retain {
        Retain::Never => false,
        Retain::OnFailure => !is_verified(last),
        Retain::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lab_is_kept_as_retain_says() {
        let ended = |verified: &str| -> ChaosExperimentStatus {
            let condition = json!({"type": "Verified", "status": verified, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            serde_json::from_value(json!({"conditions": [condition]})).unwrap()
        };
        let kept = |retain| [keeps_lab(retain, &ended("True")), keeps_lab(retain, &ended("False"))];
        assert_eq!(kept(Retain::Never), [false, false]);
        assert_eq!(kept(Retain::OnFailure), [false, true]);
        assert_eq!(kept(Retain::Always), [true, true]);
    }
}
