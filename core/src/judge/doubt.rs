//! The reasons why the evidence does not suffice for a verdict. [`super::evidence`] draws them.

use serde::{Deserialize, Serialize};

/// A reason why the evidence does not suffice. Each makes the verdict `Inconclusive`, unless the claim is broken all the same.
/// The order is that in which doubts are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Doubt {
    /// Parts of the lab were replaced while the load ran, and their state was lost.
    EnvironmentChanged,
    /// Workers have left no report.
    ReportMissing,
    /// A payment on a path without faults did not go as the contract of the user's service says.
    ContractNotProven,
    /// The ledger did not show a payment that was made twice on purpose, so that it would not show a duplicate either.
    ControlNotDetected,
    /// The load ended early.
    LoadStopped,
    /// Payments were not tried to their end.
    LoadIncomplete,
    /// The client did not understand what the service answers.
    AnswersNotUnderstood,
    /// The client's machine ran out of ports or file descriptors.
    PortShortage,
    /// The ledger is not whole.
    LedgerFlawed,
    /// The record is not whole.
    RecordFlawed,
    /// Requests could not be written down.
    Unrecorded,
    /// Somebody else has sent requests of this run.
    OtherSender,
    /// The client's attempts are not all in the record.
    AttemptsDiffer,
    /// Coins or fates are not those of the seed.
    CoinsDiffer,
    /// Faults were ordered and not carried out.
    FaultsFailed,
    /// Requests passed because the rules had lapsed.
    Lapsed,
    /// The proxy received requests that were not this load's.
    Strangers,
    /// Connections were reset that no fault ordered to be reset.
    UnintendedResets,
    /// The service has not counted as many requests as were forwarded to it.
    RequestsDiffer,
    /// The numbers of connections and attempts differ.
    ConnectionsDiffer,
    /// A fault that should have taken effect never did.
    FaultSilent,
    /// The path had too few chances to break its claim.
    TooFewExposures,
    /// The bug rate could not be bounded as was asked for.
    BoundNotReached,
}

/// How often a doubt applies, to which payment first, and its details.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoubtNote {
    /// How often.
    pub count: u64,
    /// The first payment that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Details, such as the numbers that differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Doubt {
    /// Every doubt, in the order in which they are reported.
    pub const ALL: [Self; 23] = [
        Self::EnvironmentChanged,
        Self::ReportMissing,
        Self::ContractNotProven,
        Self::ControlNotDetected,
        Self::LoadStopped,
        Self::LoadIncomplete,
        Self::AnswersNotUnderstood,
        Self::PortShortage,
        Self::LedgerFlawed,
        Self::RecordFlawed,
        Self::Unrecorded,
        Self::OtherSender,
        Self::AttemptsDiffer,
        Self::CoinsDiffer,
        Self::FaultsFailed,
        Self::Lapsed,
        Self::Strangers,
        Self::UnintendedResets,
        Self::RequestsDiffer,
        Self::ConnectionsDiffer,
        Self::FaultSilent,
        Self::TooFewExposures,
        Self::BoundNotReached,
    ];
}
