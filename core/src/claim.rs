//! What a payment path is claimed to do, and what an experiment says about the claim.

use serde::{Deserialize, Serialize};

/// What a payment path is claimed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Claim {
    /// No payment is booked twice. Some may not be booked at all.
    AtMostOnce,
    /// Every payment is booked. Some may be booked twice or more often.
    AtLeastOnce,
    /// Every payment is booked exactly once.
    ExactlyOnce,
    /// The ledger's total is that of all payments, each booked once. It is for a ledger that shows nothing but a total, in which a payment
    /// that is lost and one that is booked twice cancel each other out.
    ExactTotal,
}

/// The verdict that makes an experiment a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Expectation {
    /// The experiment succeeds if the evidence agrees with the claim.
    #[default]
    Upheld,
    /// The experiment succeeds if the evidence breaks the claim.
    Violated,
}

/// Whether the claim held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Verdict {
    /// The evidence is sufficient, and it agrees with the claim.
    Upheld,
    /// The evidence breaks the claim.
    Violated,
    /// The evidence is not sufficient to say whether the claim holds.
    Inconclusive,
}

/// What the evidence shows the path to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Observed {
    /// Some payments are missing, none was booked twice.
    AtMostOnce,
    /// No payment is missing, some were booked twice.
    AtLeastOnce,
    /// No payment is missing, none was booked twice.
    ExactlyOnce,
    /// Some payments are missing and some were booked twice.
    Neither,
}

impl Claim {
    /// The claim as it is written in the spec.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "AtMostOnce",
            Self::AtLeastOnce => "AtLeastOnce",
            Self::ExactlyOnce => "ExactlyOnce",
            Self::ExactTotal => "ExactTotal",
        }
    }
}
