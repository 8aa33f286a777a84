//! The conditions of a status.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use paylab_core::{judge::doubt::Doubt, outcome::Outcome};
use paylab_present::sentence;

/// Kubernetes demands a reason of every condition; this one stands where there is nothing special to say.
const AS_PLANNED: &str = "AsPlanned";

/// Doubts about the load.
const LOAD_DOUBTS: [Doubt; 5] =
    [Doubt::EnvironmentChanged, Doubt::ReportMissing, Doubt::LoadStopped, Doubt::LoadIncomplete, Doubt::PortShortage];
/// Doubts about the faults.
const FAULT_DOUBTS: [Doubt; 6] = [
    Doubt::EnvironmentChanged,
    Doubt::ReportMissing,
    Doubt::CoinsDiffer,
    Doubt::FaultsFailed,
    Doubt::Lapsed,
    Doubt::FaultSilent,
];
/// Doubts about whether history, record and ledger agree.
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

/// A condition before it is compared with its previous state.
pub(super) struct ConditionUpdate {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl ConditionUpdate {
    fn is_true(kind: &'static str, reason: &str, message: &str) -> Self {
        Self { kind, status: "True", reason: reason.to_owned(), message: message.to_owned() }
    }

    fn is_false(kind: &'static str, reason: &str, message: &str) -> Self {
        Self { kind, status: "False", reason: reason.to_owned(), message: message.to_owned() }
    }

    /// The condition at this time. Its transition time changes only with its status.
    pub(super) fn at(self, now: Timestamp, generation: Option<i64>, previous: &[Condition]) -> Condition {
        let Self { kind, status, reason, message } = self;
        let unchanged = previous.iter().find(|previous| previous.type_ == kind && previous.status == status);
        Condition {
            last_transition_time: unchanged.map_or(Time(now), |previous| previous.last_transition_time.clone()),
            message,
            observed_generation: generation,
            reason,
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    }
}

/// The spec is invalid.
pub(super) fn refused(message: &str) -> Vec<ConditionUpdate> {
    let accepted = ConditionUpdate::is_false("Accepted", "Refused", message);
    [accepted].into_iter().chain(ended_unverified("Refused", message)).collect()
}

/// The experiment waits for its turn.
pub(super) fn queued(message: &str) -> Vec<ConditionUpdate> {
    vec![
        accepted(),
        ConditionUpdate::is_false("EnvironmentReady", "Queued", message),
        ConditionUpdate::is_false("Ready", "Queued", message),
    ]
}

/// The lab is being created or its parts are starting.
pub(super) fn preparing(reason: &str, message: &str) -> Vec<ConditionUpdate> {
    vec![
        accepted(),
        ConditionUpdate::is_false("EnvironmentReady", reason, message),
        ConditionUpdate::is_false("Ready", "Preparing", message),
    ]
}

/// The load is running.
pub(super) fn loading(reason: &str, message: &str) -> Vec<ConditionUpdate> {
    vec![
        accepted(),
        ConditionUpdate::is_true("EnvironmentReady", AS_PLANNED, ""),
        ConditionUpdate::is_false("LoadComplete", reason, message),
        ConditionUpdate::is_false("Ready", "Loading", message),
    ]
}

/// The experiment ended before the load began.
pub(super) fn failed(reason: &str, message: &str) -> Vec<ConditionUpdate> {
    let lab = ConditionUpdate::is_false("EnvironmentReady", reason, message);
    [accepted(), lab].into_iter().chain(ended_unverified(reason, message)).collect()
}

/// The experiment ended with a verdict.
pub(super) fn judged(outcome: &Outcome) -> Vec<ConditionUpdate> {
    let verdict = &sentence::verdict(outcome);
    let mut updates = vec![
        accepted(),
        undoubted("EnvironmentReady", AS_PLANNED, outcome, &[Doubt::EnvironmentChanged]),
        undoubted("LoadComplete", "AllReported", outcome, &LOAD_DOUBTS),
        undoubted("FaultsDelivered", "AllStruck", outcome, &FAULT_DOUBTS),
        undoubted("LedgerReconciled", "WitnessesAgree", outcome, &WITNESS_DOUBTS),
    ];
    match outcome.is_as_expected() {
        Some(true) => {
            updates.push(ConditionUpdate::is_true("Verified", "AsExpected", verdict));
            updates.push(ConditionUpdate::is_true("Ready", "Verified", verdict));
        }
        Some(false) => updates.extend(ended_unverified("NotAsExpected", verdict)),
        None => updates.extend(ended_unverified(&outcome.reason.to_string(), verdict)),
    }
    updates
}

fn accepted() -> ConditionUpdate {
    ConditionUpdate::is_true("Accepted", "Planned", "")
}

/// True unless the outcome has one of these doubts, which is then the reason.
fn undoubted(kind: &'static str, reason: &str, outcome: &Outcome, doubts: &[Doubt]) -> ConditionUpdate {
    match outcome.report.doubts.keys().find(|doubt| doubts.contains(doubt)) {
        Some(doubt) => ConditionUpdate::is_false(kind, &format!("{doubt:?}"), ""),
        None => ConditionUpdate::is_true(kind, reason, ""),
    }
}

/// Terminal conditions, for `kubectl wait` and for tools that read kstatus: the experiment will not become ready any more.
fn ended_unverified(reason: &str, message: &str) -> [ConditionUpdate; 3] {
    [
        ConditionUpdate::is_false("Verified", reason, message),
        ConditionUpdate::is_false("Ready", reason, message),
        ConditionUpdate::is_true("Stalled", reason, message),
    ]
}
