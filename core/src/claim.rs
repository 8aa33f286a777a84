//! What a payment path is claimed to do, and what an experiment says about the claim.

use serde::{Deserialize, Serialize};

/// What a payment path is claimed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Claim {
    /// No payment is booked twice; some may be missing.
    AtMostOnce,
    /// No payment is missing; some may be booked twice.
    AtLeastOnce,
    /// Every payment is booked, and none twice.
    ExactlyOnce,
}

/// The verdict that makes an experiment a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Expectation {
    /// The claim holds.
    #[default]
    Upheld,
    /// The claim is broken.
    Violated,
}

/// Whether the claim held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Verdict {
    /// The evidence agrees with the claim.
    Upheld,
    /// The evidence breaks the claim.
    Violated,
    /// The evidence does not suffice for a verdict.
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
        }
    }
}
