//! What a run of the model comes to, and which of these totals the plan alone decides.

use paylab_core::{
    client::{BodyDrift, KeyPolicy},
    exposures::Exposures,
    fault::{point::Point, spec::FaultSpec},
    money::MinorUnits,
    prediction::Prediction,
    targets::ours::{Dedup, OnDisconnect},
    witness::record::FaultTally,
};

use crate::{
    client::{Attempt, Event, Payment, Run},
    draft::Draft,
    service::Row,
};

/// Which totals the plan alone decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certain {
    /// All of them.
    All,
    /// All but how many payments are acknowledged as repeats: of two requests at once the first to be booked is answered 200.
    AllButRepeats,
    /// It depends on timing.
    No,
}

/// Counts the events and the rows of a run.
pub(crate) fn totals(draft: &Draft, run: &Run) -> Prediction {
    let attempts: Vec<&Attempt> = run.payments.iter().flat_map(|payment| &payment.attempts).collect();
    let with = |event| count(&attempts, |attempt| attempt.has(event));
    let stories: Vec<Story<'_>> = run.payments.iter().map(|payment| Story::of(payment, &run.ledger)).collect();
    Prediction {
        attempts: count(&attempts, |_| true),
        forwarded: with(Event::Arrived),
        entries: count(&run.ledger, |_| true),
        booked_total: MinorUnits(run.ledger.iter().map(|row| row.amount).sum()),
        acknowledged: count(&stories, |story| !story.acknowledged.is_empty()),
        booked: count(&stories, |story| !story.rows.is_empty()),
        lost: count(&stories, |story| story.rows.is_empty()),
        duplicated: count(&stories, |story| story.rows.len() > 1),
        booked_unknown: count(&stories, |story| !story.rows.is_empty() && story.acknowledged.is_empty()),
        repeats: count(&stories, Story::is_acknowledged_as_repeat),
        mismatched: count(&stories, Story::is_mismatched),
        exposures: exposures(&stories),
        timeouts: with(Event::TimedOut),
        faults: (0..draft.faults.len())
            .map(|index| FaultTally {
                drawn: with(Event::Drawn(index)),
                fired: with(Event::Fired(index)),
                effective: with(Event::Struck(index)),
            })
            .collect(),
    }
}

fn count<T>(items: &[T], holds: impl Fn(&T) -> bool) -> u64 {
    items.iter().filter(|item| holds(item)).count() as u64
}

/// The chances that the path has to break its claim. Payments that were refused for good, unbooked, give none.
fn exposures(stories: &[Story<'_>]) -> Exposures {
    let sum = |number: &dyn Fn(&Story<'_>) -> usize| {
        let chances = stories.iter().filter(|story| !(story.was_refused && story.rows.is_empty()));
        chances.map(number).sum::<usize>() as u64
    };
    Exposures {
        repeats: sum(&|story| if story.rows.is_empty() { 0 } else { story.arrived.len() - 1 }),
        undelivered: sum(&|story| story.made - story.arrived.len()),
        arrived: sum(&|story| story.arrived.len()),
    }
}

/// What there is about one payment.
struct Story<'a> {
    /// The number of attempts.
    made: usize,
    was_refused: bool,
    arrived: Vec<&'a Attempt>,
    acknowledged: Vec<&'a Attempt>,
    rows: Vec<&'a Row>,
}

impl<'a> Story<'a> {
    fn of(payment: &'a Payment, ledger: &'a [Row]) -> Self {
        Self {
            made: payment.attempts.len(),
            was_refused: payment.attempts.iter().any(Attempt::is_refused),
            arrived: payment.attempts.iter().filter(|attempt| attempt.has(Event::Arrived)).collect(),
            acknowledged: payment.attempts.iter().filter(|attempt| attempt.is_acknowledged()).collect(),
            rows: ledger.iter().filter(|row| row.payment == payment.index).collect(),
        }
    }

    /// Whether the first acknowledgement that the client saw names a repeat.
    fn is_acknowledged_as_repeat(&self) -> bool {
        self.acknowledged.first().and_then(|attempt| attempt.seen()).is_some_and(|answer| answer.repeat)
    }

    /// Whether an acknowledged amount is not in the ledger.
    fn is_mismatched(&self) -> bool {
        self.acknowledged.iter().any(|attempt| self.rows.iter().all(|row| row.amount != attempt.amount))
    }
}

/// Which totals the plan alone decides.
pub(crate) fn certain(draft: &Draft) -> Certain {
    if draft.key_ttl_ms.is_some() {
        return Certain::No;
    }
    let keys_are_looked_at = draft.dedup != Dedup::None && draft.key == KeyPolicy::PerPayment;
    let at_once =
        draft.hedge > 1 || draft.faults.iter().any(|fault| arrives_beside_the_next_attempt(fault, draft.timeout_ms));
    if !keys_are_looked_at {
        return Certain::All;
    }
    let several_memories = draft.dedup == Dedup::Memory && draft.replicas > 1;
    if several_memories {
        return Certain::No;
    }
    if !at_once {
        return Certain::All;
    }
    let two_may_pass = match draft.dedup {
        Dedup::CheckThenInsert | Dedup::ApplyThenKey => true,
        // 409 while the first request is in flight.
        Dedup::Replay => true,
        Dedup::KeyThenApply => draft.on_disconnect == OnDisconnect::Cancel,
        Dedup::None | Dedup::UniqueKey | Dedup::Memory | Dedup::AckThenApply => false,
    };
    // Of two requests with different amounts, the first is booked.
    if two_may_pass || draft.drift == BodyDrift::Amount { Certain::No } else { Certain::AllButRepeats }
}

/// Whether a request that a fault strikes can be at the service together with the next attempt.
pub(crate) fn arrives_beside_the_next_attempt(fault: &FaultSpec, timeout_ms: u64) -> bool {
    let reset = fault.reset.is_some_and(|reset| reset.at == Point::AfterRequest);
    let delay = fault.delay.is_some_and(|delay| {
        delay.lasts.ms() >= timeout_ms && [Point::Connect, Point::BeforeRequest, Point::MidRequest].contains(&delay.at)
    });
    fault.probability > 0.0 && (reset || delay)
}
