//! Composes the status at each phase from the previous one, so that a status that says nothing new is equal to it and is not
//! written again.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use paylab_core::{field_error::FieldError, outcome::Outcome};
use paylab_present::status;
use paylab_resource::status::{ChaosExperimentStatus, Phase, ProgressStatus};

use super::conditions::{self, ConditionUpdate};
use crate::{decide::PodProblem, planned::PlannedExperiment, queue::Place};

/// Composes the next status of a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusBuilder<'a> {
    pub(crate) previous: Option<&'a ChaosExperimentStatus>,
    pub(crate) generation: Option<i64>,
    pub(crate) now: Timestamp,
}

impl StatusBuilder<'_> {
    /// The spec is invalid.
    pub(crate) fn refused(self, refusals: &[FieldError]) -> ChaosExperimentStatus {
        let message = refusals.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ");
        let updates = conditions::refused(&message);
        let status = ChaosExperimentStatus {
            observed_generation: self.generation,
            phase: Some(Phase::Failed),
            reason: Some("Refused".to_owned()),
            message: Some(message),
            start_time: self.start_time(),
            completion_time: Some(Time(self.now)),
            ..ChaosExperimentStatus::default()
        };
        self.with_conditions(status, updates)
    }

    /// The experiment waits for its turn.
    pub(crate) fn queued(self, experiment: &PlannedExperiment, place: Place) -> ChaosExperimentStatus {
        let Place { number, of, under_way } = place;
        let message = format!(
            "waits for its turn: number {number} of {of} that wait; {under_way} labs are under way (the operator's bounds: --labs-max, --labs-max-per-namespace)"
        );
        let status = ChaosExperimentStatus {
            message: Some(message.clone()),
            start_time: None,
            ..self.in_phase(experiment, Phase::Pending)
        };
        self.with_conditions(status, conditions::queued(&message))
    }

    /// The lab is being created or its parts are starting.
    pub(crate) fn preparing(
        self,
        experiment: &PlannedExperiment,
        problem: Option<&PodProblem>,
    ) -> ChaosExperimentStatus {
        let (reason, message) = reason_and_message(problem, ("Starting", "the parts are starting"));
        let status = ChaosExperimentStatus {
            message: problem.map(|problem| problem.message.clone()),
            ..self.in_phase(experiment, Phase::Preparing)
        };
        self.with_conditions(status, conditions::preparing(reason, message))
    }

    /// The load is running.
    pub(crate) fn loading(
        self,
        experiment: &PlannedExperiment,
        problem: Option<&PodProblem>,
        progress: Option<ProgressStatus>,
    ) -> ChaosExperimentStatus {
        let (reason, message) = reason_and_message(problem, ("Loading", "the load is running"));
        let status = ChaosExperimentStatus {
            message: problem.map(|problem| problem.message.clone()),
            progress: progress.or_else(|| self.previous.and_then(|previous| previous.progress)),
            ..self.in_phase(experiment, Phase::Loading)
        };
        self.with_conditions(status, conditions::loading(reason, message))
    }

    /// The experiment ends without a verdict.
    pub(crate) fn failed(self, experiment: &PlannedExperiment, problem: &PodProblem) -> ChaosExperimentStatus {
        let PodProblem { reason, message, tolerance: _ } = problem;
        let status = ChaosExperimentStatus {
            reason: Some(reason.clone()),
            message: Some(format!("FAILED: {message}; nothing is claimed.")),
            completion_time: Some(Time(self.now)),
            ..self.in_phase(experiment, Phase::Failed)
        };
        self.with_conditions(status, conditions::failed(reason, message))
    }

    /// The experiment ends with a verdict.
    pub(crate) fn judged(self, outcome: &Outcome) -> ChaosExperimentStatus {
        let status = ChaosExperimentStatus {
            observed_generation: self.generation,
            start_time: self.start_time(),
            completion_time: Some(Time(self.now)),
            ..status::outcome(outcome)
        };
        self.with_conditions(status, conditions::judged(outcome))
    }

    fn in_phase(self, experiment: &PlannedExperiment, phase: Phase) -> ChaosExperimentStatus {
        ChaosExperimentStatus {
            observed_generation: self.generation,
            phase: Some(phase),
            run_id: Some(experiment.id.to_string()),
            seed: i64::try_from(experiment.plan.seed()).ok(),
            start_time: self.start_time(),
            ..ChaosExperimentStatus::default()
        }
    }

    fn start_time(self) -> Option<Time> {
        self.previous.and_then(|previous| previous.start_time.clone()).or(Some(Time(self.now)))
    }

    fn with_conditions(self, status: ChaosExperimentStatus, updates: Vec<ConditionUpdate>) -> ChaosExperimentStatus {
        let previous = self.previous.map_or(&[][..], |previous| previous.conditions.as_slice());
        let conditions = updates.into_iter().map(|update| update.at(self.now, self.generation, previous)).collect();
        ChaosExperimentStatus { conditions, ..status }
    }
}

/// Those of the problem, or these if there is none.
fn reason_and_message<'a>(problem: Option<&'a PodProblem>, otherwise: (&'a str, &'a str)) -> (&'a str, &'a str) {
    problem.map_or(otherwise, |problem| (&problem.reason, &problem.message))
}

#[cfg(test)]
mod tests {
    use paylab_core::{
        fault::spec::FAULTS_MAX,
        judge::{
            doubt::{Doubt, DoubtNote},
            report::Report,
        },
    };
    use serde_json::json;

    use super::*;
    use crate::{
        decide::{Decision, Timeline, Tolerance, decide, evidence::merged_report},
        fixtures::{at, deployment, ended, lab, loaded, planned, pod, waiting},
        names::Part,
        status::{is_final, is_verified, started_at},
    };

    fn builder(previous: Option<&ChaosExperimentStatus>, second: i64) -> StatusBuilder<'_> {
        StatusBuilder { previous, generation: Some(1), now: at(second) }
    }

    fn conditions(status: &ChaosExperimentStatus) -> String {
        let shown = status.conditions.iter().map(|one| format!("{}={} {}", one.type_, one.status, one.reason));
        shown.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_unchanged_status_stays_equal_and_a_condition_keeps_its_transition_time() {
        let experiment = planned(&json!({}));
        let first = builder(None, 0).preparing(&experiment, None);
        let second = builder(Some(&first), 9).preparing(&experiment, None);
        assert_eq!(first, second);
        let loading = builder(Some(&second), 10).loading(&experiment, None, None);
        let time = |status: &ChaosExperimentStatus, kind: &str| {
            status.conditions.iter().find(|one| one.type_ == kind).unwrap().last_transition_time.0
        };
        assert_eq!((time(&loading, "Accepted"), time(&loading, "EnvironmentReady")), (at(0), at(10)));
        assert_eq!(started_at(Some(&loading)), Some(at(0)));
        assert_eq!(builder(Some(&loading), 20).loading(&experiment, None, None), loading);
    }

    #[test]
    fn progress_that_cannot_be_read_stays_as_it_was() {
        let experiment = planned(&json!({}));
        let progress = ProgressStatus { payments: 20, acknowledged: 3, attempts: 7 };
        let loading = builder(None, 0).loading(&experiment, None, Some(progress));
        assert_eq!(builder(Some(&loading), 5).loading(&experiment, None, None).progress, Some(progress));
    }

    #[test]
    fn every_end_without_the_expected_verdict_is_visible_in_the_conditions() {
        let experiment = planned(&json!({}));
        let problem = PodProblem::new("ImagePullBackOff", "the image of pod x cannot be pulled", Tolerance::Short);
        let failed = builder(None, 0).failed(&experiment, &problem);
        assert!(is_final(Some(&failed)) && !is_verified(&failed));
        let mut doubtful = Report::default();
        doubtful.doubt(Doubt::FaultSilent, DoubtNote { count: 1, ..DoubtNote::default() });
        let inconclusive = builder(None, 0).judged(&experiment.outcome(doubtful));
        assert!(is_final(Some(&inconclusive)) && !is_verified(&inconclusive));
        let refused = builder(None, 0).refused(&[FieldError::new("spec.faults", "is wrong")]);
        let all = [&failed, &inconclusive, &refused].map(|status| {
            format!("{:?}: {}\n{}", status.phase.unwrap(), status.message.as_deref().unwrap(), conditions(status))
        });
        expect_test::expect![[r#"
            Failed: FAILED: the image of pod x cannot be pulled; nothing is claimed.
            Accepted=True Planned
            EnvironmentReady=False ImagePullBackOff
            Verified=False ImagePullBackOff
            Ready=False ImagePullBackOff
            Stalled=True ImagePullBackOff

            Completed: INCONCLUSIVE: the ledger is not whole: the report does not say why (and 2 more doubts); nothing is claimed.
            Accepted=True Planned
            EnvironmentReady=True AsPlanned
            LoadComplete=True AllReported
            FaultsDelivered=False FaultSilent
            LedgerReconciled=False LedgerFlawed
            Verified=False LedgerFlawed
            Ready=False LedgerFlawed
            Stalled=True LedgerFlawed

            Failed: spec.faults: is wrong
            Accepted=False Refused
            Verified=False Refused
            Ready=False Refused
            Stalled=True Refused"#]]
        .assert_eq(&all.join("\n\n"));
    }

    #[test]
    fn a_status_stays_below_16_kib_however_long_the_messages_that_it_quotes_are() {
        let faults: Vec<_> = (0..FAULTS_MAX)
            .map(|n| json!({"name": format!("{n:x<63}"), "probability": 0.3, "reset": {"at": "BeforeRequest"}}))
            .collect();
        let experiment = planned(&json!({"faults": faults}));
        let message = "é".repeat(50_000);
        let mut starting = lab();
        starting.pods[0] = pod(Part::PaymentService, "service", waiting("ErrImageNeverPull", &message));
        starting.deployments[0] = deployment(Part::PaymentService, 0);
        let timeline = Timeline { started: at(0), last_phase: Some(Phase::Preparing), launched: None, now: at(1) };
        let Decision::Fail(problem) = decide(&experiment, &starting, &timeline) else { panic!("it does not fail") };
        let failed = builder(None, 0).failed(&experiment, &problem);
        let report = merged_report(&experiment, &loaded(ended(70, "Error", &message)));
        let judged = builder(None, 0).judged(&experiment.outcome(report));
        for status in [failed, judged] {
            assert!(status.message.as_ref().unwrap().contains("éé"), "the message is not quoted: {status:?}");
            let len = serde_json::to_string(&status).unwrap().len();
            assert!(len < 16 * 1024, "{len} bytes");
        }
    }
}
