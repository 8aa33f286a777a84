//! What the resource's status says at each stage: pure functions of the status before, so that nothing is written twice.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use paylab_experiment::{
    plan::Refusal,
    predict::Prediction,
    report::{Doubt, Report},
    status::{ChaosExperimentStatus, Phase, ProgressStatus, Verdict},
    verdict::Conclusion,
};

use crate::{observe::pods::Trouble, planned::Run};

/// A reason in a condition must be a word; this is the one where there is nothing to say.
const NOTHING: &str = "AsPlanned";

/// A status in the making: what it is about, when, and what it said before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    pub(crate) before: Option<&'a ChaosExperimentStatus>,
    pub(crate) generation: Option<i64>,
    pub(crate) now: Timestamp,
}

/// One condition, before it is compared with what it was.
struct Fact {
    kind: &'static str,
    holds: bool,
    reason: String,
    message: String,
}

impl Page<'_> {
    /// The experiment cannot be run as it is written.
    pub(crate) fn refused(self, refusals: &[Refusal]) -> ChaosExperimentStatus {
        let message = refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ");
        let mut facts = vec![fact("Accepted", false, "Refused", &message)];
        facts.extend(ended_badly("Refused", &message));
        let status = self.ended(Phase::Failed, "Refused", message);
        self.with(status, facts)
    }

    /// The parts are being made or are starting.
    pub(crate) fn preparing(self, run: &Run, trouble: Option<&Trouble>) -> ChaosExperimentStatus {
        let (reason, message) = said(trouble, "Starting", "the parts are starting");
        let facts = vec![
            fact("Accepted", true, "Planned", ""),
            fact("EnvironmentReady", false, reason, message),
            fact("Ready", false, "Preparing", message),
        ];
        let shown = trouble.map(|trouble| trouble.message.clone());
        let status = ChaosExperimentStatus { message: shown, ..self.under_way(run, Phase::Preparing) };
        self.with(status, facts)
    }

    /// The load runs.
    pub(crate) fn loading(
        self,
        run: &Run,
        trouble: Option<&Trouble>,
        progress: Option<ProgressStatus>,
    ) -> ChaosExperimentStatus {
        let (reason, message) = said(trouble, "Loading", "the load is under way");
        let facts = vec![
            fact("Accepted", true, "Planned", ""),
            fact("EnvironmentReady", true, NOTHING, ""),
            fact("LoadComplete", false, reason, message),
            fact("Ready", false, "Loading", message),
        ];
        let progress = progress.or_else(|| self.before.and_then(|before| before.progress));
        let shown = trouble.map(|trouble| trouble.message.clone());
        let status = ChaosExperimentStatus { message: shown, progress, ..self.under_way(run, Phase::Loading) };
        self.with(status, facts)
    }

    /// There will be no verdict.
    pub(crate) fn failed(self, run: &Run, trouble: &Trouble) -> ChaosExperimentStatus {
        let Trouble { reason, message, patience: _ } = trouble;
        let mut facts = vec![fact("Accepted", true, "Planned", ""), fact("EnvironmentReady", false, reason, message)];
        facts.extend(ended_badly(reason, message));
        let ended = self.ended(Phase::Failed, reason, format!("FAILED: {message}; nothing is claimed."));
        let ChaosExperimentStatus { run_id, seed, start_time, .. } = self.under_way(run, Phase::Failed);
        self.with(ChaosExperimentStatus { run_id, seed, start_time, ..ended }, facts)
    }

    /// The verdict.
    pub(crate) fn judged(
        self,
        run: &Run,
        (report, prediction, conclusion): (&Report, &Prediction, &Conclusion),
    ) -> ChaosExperimentStatus {
        let judged = ChaosExperimentStatus::judged(&run.plan, report, prediction, conclusion);
        let status = ChaosExperimentStatus {
            observed_generation: self.generation,
            start_time: self.start(),
            completion_time: Some(Time(self.now)),
            ..judged
        };
        self.with(status, verdict_facts(run, conclusion))
    }

    fn under_way(self, run: &Run, phase: Phase) -> ChaosExperimentStatus {
        ChaosExperimentStatus {
            observed_generation: self.generation,
            phase: Some(phase),
            run_id: Some(run.id.to_string()),
            seed: i64::try_from(run.plan.seed()).ok(),
            start_time: self.start(),
            ..ChaosExperimentStatus::default()
        }
    }

    fn ended(self, phase: Phase, reason: &str, message: String) -> ChaosExperimentStatus {
        ChaosExperimentStatus {
            observed_generation: self.generation,
            phase: Some(phase),
            reason: Some(reason.to_owned()),
            message: Some(message),
            start_time: self.start(),
            completion_time: Some(Time(self.now)),
            ..ChaosExperimentStatus::default()
        }
    }

    fn start(self) -> Option<Time> {
        self.before.and_then(|before| before.start_time.clone()).or(Some(Time(self.now)))
    }

    /// The status with its conditions; the time of a transition is that of a change.
    fn with(self, status: ChaosExperimentStatus, facts: Vec<Fact>) -> ChaosExperimentStatus {
        let before = self.before.map_or(&[][..], |before| before.conditions.as_slice());
        let condition = |Fact { kind, holds, reason, message }| {
            let status = if holds { "True" } else { "False" };
            let known = before.iter().find(|known| known.type_ == kind && known.status == status);
            Condition {
                last_transition_time: known.map_or(Time(self.now), |known| known.last_transition_time.clone()),
                message,
                observed_generation: self.generation,
                reason,
                status: status.to_owned(),
                type_: kind.to_owned(),
            }
        };
        ChaosExperimentStatus { conditions: facts.into_iter().map(condition).collect(), ..status }
    }
}

/// Since when a status has been at work.
pub(crate) fn since(status: Option<&ChaosExperimentStatus>) -> Option<Timestamp> {
    status.and_then(|status| status.start_time.as_ref()).map(|time| time.0)
}

/// Whether there is nothing more to be said of a resource.
pub(crate) fn is_settled(status: Option<&ChaosExperimentStatus>) -> bool {
    status.is_some_and(|status| status.completion_time.is_some())
}

/// Whether the verdict is the one that the spec expects.
pub(crate) fn is_verified(status: &ChaosExperimentStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Verified" && condition.status == "True")
}

fn verdict_facts(run: &Run, conclusion: &Conclusion) -> Vec<Fact> {
    let doubted = |doubts: &[Doubt]| conclusion.doubted.iter().find(|doubt| doubts.contains(doubt));
    let group = |kind, fine: &str, doubts: &[Doubt]| match doubted(doubts) {
        Some(doubt) => fact(kind, false, &format!("{doubt:?}"), ""),
        None => fact(kind, true, fine, ""),
    };
    let verdict = &conclusion.sentence;
    let verified = conclusion.is_as_expected(run.plan.expect);
    let mut facts = vec![
        fact("Accepted", true, "Planned", ""),
        group("EnvironmentReady", NOTHING, &[Doubt::EnvironmentChanged]),
        group("LoadComplete", "AllReported", &LOAD_DOUBTS),
        group("FaultsDelivered", "AllStruck", &FAULT_DOUBTS),
        group("LedgerReconciled", "WitnessesAgree", &WITNESS_DOUBTS),
    ];
    match verified {
        Some(true) => {
            facts.push(fact("Verified", true, "AsExpected", verdict));
            facts.push(fact("Ready", true, "Verified", verdict));
        }
        Some(false) => facts.extend(ended_badly("NotAsExpected", verdict)),
        None => facts.extend(ended_badly(&conclusion.reason, verdict)),
    }
    debug_assert!(verified.is_some() || conclusion.verdict == Verdict::Inconclusive);
    facts
}

/// Doubts about the load.
const LOAD_DOUBTS: [Doubt; 5] =
    [Doubt::EnvironmentChanged, Doubt::ReportMissing, Doubt::LoadStopped, Doubt::LoadIncomplete, Doubt::PortShortage];
/// Doubts about what broke.
const FAULT_DOUBTS: [Doubt; 6] = [
    Doubt::EnvironmentChanged,
    Doubt::ReportMissing,
    Doubt::CoinsDiffer,
    Doubt::FaultsFailed,
    Doubt::Lapsed,
    Doubt::FaultSilent,
];
/// Doubts about what the three witnesses say of each other.
const WITNESS_DOUBTS: [Doubt; 9] = [
    Doubt::EnvironmentChanged,
    Doubt::ReportMissing,
    Doubt::LedgerFlawed,
    Doubt::RecordFlawed,
    Doubt::Unrecorded,
    Doubt::AttemptsDiffer,
    Doubt::Strangers,
    Doubt::RequestsDiffer,
    Doubt::ConnectionsDiffer,
];

/// What everybody who waits must see: it will not become ready any more.
fn ended_badly(reason: &str, message: &str) -> [Fact; 3] {
    ["Verified", "Ready", "Stalled"].map(|kind| fact(kind, kind == "Stalled", reason, message))
}

fn said<'a>(trouble: Option<&'a Trouble>, reason: &'a str, message: &'a str) -> (&'a str, &'a str) {
    trouble.map_or((reason, message), |trouble| (&trouble.reason, &trouble.message))
}

fn fact(kind: &'static str, holds: bool, reason: &str, message: &str) -> Fact {
    Fact { kind, holds, reason: reason.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use paylab_experiment::verdict::conclude;
    use serde_json::json;

    use super::*;
    use crate::{
        fixtures::{at, run},
        observe::pods::Patience,
    };

    fn page(before: Option<&ChaosExperimentStatus>, second: i64) -> Page<'_> {
        Page { before, generation: Some(1), now: at(second) }
    }

    fn conditions(status: &ChaosExperimentStatus) -> String {
        let shown = status.conditions.iter().map(|one| format!("{}={} {}", one.type_, one.status, one.reason));
        shown.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn nothing_is_written_twice_and_a_transition_keeps_its_time() {
        let run = run(&json!({}));
        let first = page(None, 0).preparing(&run, None);
        let second = page(Some(&first), 9).preparing(&run, None);
        assert_eq!(first, second);
        let loading = page(Some(&second), 10).loading(&run, None, None);
        let time = |status: &ChaosExperimentStatus, kind: &str| {
            status.conditions.iter().find(|one| one.type_ == kind).unwrap().last_transition_time.0
        };
        assert_eq!((time(&loading, "Accepted"), time(&loading, "EnvironmentReady")), (at(0), at(10)));
        assert_eq!(since(Some(&loading)), Some(at(0)));
        assert_eq!(page(Some(&loading), 20).loading(&run, None, None), loading);
    }

    #[test]
    fn progress_stays_until_the_verdict() {
        let run = run(&json!({}));
        let told = ProgressStatus { payments: 20, acknowledged: 3, attempts: 7 };
        let loading = page(None, 0).loading(&run, None, Some(told));
        assert_eq!(page(Some(&loading), 5).loading(&run, None, None).progress, Some(told));
    }

    #[test]
    fn whoever_waits_sees_the_end_whatever_it_is() {
        let run = run(&json!({}));
        let trouble = Trouble::new("ImagePullBackOff", "pod x cannot have its image", Patience::Short);
        let failed = page(None, 0).failed(&run, &trouble);
        assert!(is_settled(Some(&failed)) && !is_verified(&failed));
        let empty = Report { faults: vec![Default::default(); 2], ..Report::default() };
        let prediction = Prediction::of(&run.plan, 0..run.plan.count);
        let conclusion = conclude(&run.plan, &empty, &prediction);
        let inconclusive = page(None, 0).judged(&run, (&empty, &prediction, &conclusion));
        assert!(is_settled(Some(&inconclusive)) && !is_verified(&inconclusive));
        let refused = page(None, 0).refused(&[Refusal::new("spec.faults", "is wrong")]);
        let all = [&failed, &inconclusive, &refused].map(|status| {
            format!("{:?}: {}\n{}", status.phase.unwrap(), status.message.as_deref().unwrap(), conditions(status))
        });
        expect_test::expect![[r#"
            Failed: FAILED: pod x cannot have its image; nothing is claimed.
            Accepted=True Planned
            EnvironmentReady=False ImagePullBackOff
            Verified=False ImagePullBackOff
            Ready=False ImagePullBackOff
            Stalled=True ImagePullBackOff

            Completed: INCONCLUSIVE: 2 faults never struck: "request-lost" should have struck 23 times (and 1 more doubts); nothing is claimed.
            Accepted=True Planned
            EnvironmentReady=True AsPlanned
            LoadComplete=True AllReported
            FaultsDelivered=False FaultSilent
            LedgerReconciled=True WitnessesAgree
            Verified=False FaultSilent
            Ready=False FaultSilent
            Stalled=True FaultSilent

            Failed: spec.faults: is wrong
            Accepted=False Refused
            Verified=False Refused
            Ready=False Refused
            Stalled=True Refused"#]].assert_eq(&all.join("\n\n"));
    }

    #[test]
    fn a_status_stays_far_below_the_bound_of_the_api() {
        let run = run(&json!({}));
        let trouble = Trouble::new("CrashLoopBackOff", "x".repeat(600), Patience::Short);
        assert!(serde_json::to_string(&page(None, 0).failed(&run, &trouble)).unwrap().len() < 16 * 1024);
    }
}
