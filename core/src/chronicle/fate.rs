//! What happened to an attempt on its way, as the proxy has recorded it.

use serde::{Deserialize, Serialize};

use crate::{
    fault::point::Point,
    witness::record::{End, RecordLine},
};

/// What happened to an attempt on its way, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttemptFate {
    /// The connection was reset before any of the request was forwarded.
    RequestLost,
    /// A part of the request was forwarded, then the connection was reset.
    RequestCut,
    /// The service had the whole request, and nothing of its answer reached the client.
    AnswerLost,
    /// A part of the answer reached the client, then the connection was reset.
    AnswerCut,
    /// The connection was reset after the whole answer.
    ResetAfterAnswer,
    /// The request or its answer was held for some time.
    Held,
    /// The service broke the connection or could not be reached, and no fault ordered it.
    Broken,
    /// The service's process was killed at a point of this attempt.
    Killed,
    /// The service was killed for another attempt meanwhile.
    Collateral,
    /// The client left before the end, and no fault ordered it.
    ClientLeft,
    /// The record does not say how it ended.
    Unended,
    /// Nothing: request and answer were passed on.
    Passed,
}

impl AttemptFate {
    /// Every fate, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::RequestLost,
        Self::RequestCut,
        Self::AnswerLost,
        Self::AnswerCut,
        Self::ResetAfterAnswer,
        Self::Held,
        Self::Broken,
        Self::Killed,
        Self::Collateral,
        Self::ClientLeft,
        Self::Unended,
        Self::Passed,
    ];

    /// The fate of a recorded request.
    #[must_use]
    pub const fn of(line: &RecordLine) -> Self {
        match (line.end, line.at) {
            (End::Unreachable | End::ServiceGone, _) => Self::Broken,
            (End::Collateral, _) => Self::Collateral,
            (End::Intended, _) => Self::Unended,
            (_, Some(_)) if line.kill.is_some() => Self::Killed,
            (_, Some(_)) if line.held_us.is_some() => Self::Held,
            (End::Faulted, Some(at)) => Self::of_reset(at),
            (End::ClientGone, _) => Self::ClientLeft,
            (End::Faulted, None) | (End::Relayed, _) => Self::Passed,
        }
    }

    const fn of_reset(at: Point) -> Self {
        match at {
            Point::Connect | Point::BeforeRequest => Self::RequestLost,
            Point::MidRequest => Self::RequestCut,
            Point::AfterRequest | Point::BeforeResponse => Self::AnswerLost,
            Point::MidResponse => Self::AnswerCut,
            Point::AfterResponse => Self::ResetAfterAnswer,
        }
    }

    /// Its bit in a [`Fates`].
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The fates that the attempts of one payment have met, in two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fates(u16);

impl Fates {
    /// Adds a fate.
    pub const fn add(&mut self, fate: AttemptFate) {
        self.0 |= fate.bit();
    }

    /// Every fate that was met, in the order of [`AttemptFate::ALL`].
    pub fn iter(self) -> impl Iterator<Item = AttemptFate> {
        AttemptFate::ALL.into_iter().filter(move |fate| self.0 & fate.bit() != 0)
    }
}
