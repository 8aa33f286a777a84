//! Models that are wrong in one way each. The comparison is worth something only if it notices each of them.

use paylab_core::{
    client::{BodyDrift, KeyPolicy},
    duration_text::DurationText,
    fault::{point::Point, spec::FaultSpec},
    targets::ours::{Dedup, MissingKey},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::{
    draft::{Draft, TIMEOUT_MS},
    drafts::drafts,
    faults::IN_TIME,
};

/// The plans that each mutant is tried on, until enough of them disagree.
pub(crate) const PLANS: usize = 1_500;
/// On how many of these a mutant must disagree.
pub(crate) const DISAGREEING_MIN: usize = 3;

/// What the mutant takes for the draft, and for the order of the points.
pub(crate) struct Mutant {
    pub(crate) draft: Draft,
    pub(crate) order: [Point; 7],
}

/// One error, by its name.
pub(crate) type Mutation = (&'static str, fn(&Draft) -> Mutant);

/// Every error.
pub(crate) const ALL: [Mutation; 22] = [
    ("the latest point takes effect", |draft| {
        let mut order = IN_TIME;
        order.reverse();
        Mutant { draft: draft.clone(), order }
    }),
    ("MidRequest comes after AfterRequest", |draft| {
        let mut order = IN_TIME;
        order.swap(2, 3);
        Mutant { draft: draft.clone(), order }
    }),
    ("the filter of attempts is ignored", |draft| {
        let bounded = draft.max_attempts > 0;
        // Unlimited retries could go on for very long without the filter.
        each_fault(draft, |fault| fault.attempts = fault.attempts.take().filter(|_| !bounded))
    }),
    ("the filter of payments is ignored", |draft| each_fault(draft, |fault| fault.payments = None)),
    ("the filter of payments includes its end", |draft| {
        each_fault(draft, |fault| {
            if let Some(range) = &mut fault.payments {
                range.to += 1;
            }
        })
    }),
    ("a probability is a little higher", |draft| each_fault(draft, |fault| fault.probability *= 1.01)),
    ("a name is another", |draft| each_fault(draft, |fault| fault.name.push('x'))),
    ("a reset at AfterResponse hides the response", |draft| {
        each_fault(draft, |fault| {
            if let Some(reset) = &mut fault.reset
                && reset.at == Point::AfterResponse
            {
                reset.at = Point::MidResponse;
            }
        })
    }),
    ("a reset at MidRequest is booked", |draft| {
        each_fault(draft, |fault| {
            if let Some(reset) = &mut fault.reset
                && reset.at == Point::MidRequest
            {
                reset.at = Point::AfterRequest;
            }
        })
    }),
    ("a long delay is in time", |draft| {
        each_fault(draft, |fault| {
            if let Some(delay) = &mut fault.delay {
                delay.lasts = DurationText::from_ms(1);
            }
        })
    }),
    ("a short delay is too long", |draft| {
        each_fault(draft, |fault| {
            if let Some(delay) = &mut fault.delay {
                delay.lasts = DurationText::from_ms(2 * TIMEOUT_MS);
            }
        })
    }),
    ("the seed is another", |draft| with(draft, |draft| draft.seed += 1)),
    ("there is one attempt more", |draft| with(draft, |draft| draft.max_attempts += u32::from(draft.max_attempts > 0))),
    ("nothing is tried after the load", |draft| with(draft, |draft| draft.recovery = 0)),
    ("no copies are sent", |draft| with(draft, |draft| draft.hedge = 1)),
    ("every attempt has a key of its own", |draft| with(draft, |draft| draft.key = KeyPolicy::PerAttempt)),
    ("a missing key is always booked", |draft| with(draft, |draft| draft.missing_key = MissingKey::Book)),
    ("a missing key is always refused", |draft| with(draft, |draft| draft.missing_key = MissingKey::Refuse)),
    ("the body never drifts", |draft| with(draft, |draft| draft.drift = BodyDrift::None)),
    ("Replay takes another body", |draft| other_mode(draft, Dedup::Replay, Dedup::UniqueKey)),
    ("AckThenApply marks repeats", |draft| other_mode(draft, Dedup::AckThenApply, Dedup::UniqueKey)),
    ("UniqueKey does not mark repeats", |draft| other_mode(draft, Dedup::UniqueKey, Dedup::AckThenApply)),
];

/// One random draft.
pub(crate) fn draw(runner: &mut TestRunner) -> Draft {
    drafts().new_tree(runner).unwrap().current()
}

pub(crate) fn with(draft: &Draft, change: impl FnOnce(&mut Draft)) -> Mutant {
    let mut draft = draft.clone();
    change(&mut draft);
    Mutant { draft, order: IN_TIME }
}

pub(crate) fn each_fault(draft: &Draft, change: impl FnMut(&mut FaultSpec)) -> Mutant {
    with(draft, |draft| draft.faults.iter_mut().for_each(change))
}

pub(crate) fn other_mode(draft: &Draft, from: Dedup, to: Dedup) -> Mutant {
    with(draft, |draft| {
        if draft.dedup == from {
            draft.dedup = to;
        }
    })
}
