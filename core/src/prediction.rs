//! What will happen: every payment of a plan is simulated with its coins, without any network. A measured run equals this
//! prediction, unless [`depends_on_timing`] names why its result depends on timing.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    client::ATTEMPTS_MAX,
    exposures::Exposures,
    fault::{effect::Effect, kill::Death, sampler::Draw},
    money::MinorUnits,
    payment::{AttemptId, PaymentId},
    plan::Plan,
    targets::{
        Overlap,
        durability::kills_depend_on_timing,
        expiry::{KeyAge, key_age, keys_depend_on_timing},
        handling::{Handling, PaymentState, RepeatAnswer, Treatment},
        ours::FAIL_AFTER,
    },
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Belief, Ending, Rejection, Uncertainty},
        record::FaultTally,
    },
};

/// One attempt as it will go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictedAttempt {
    /// The attempt.
    pub id: AttemptId,
    /// The coins, and the fault that takes effect.
    pub draw: Draw,
    /// What the service does.
    pub handling: Handling,
    /// What the client may believe.
    pub outcome: AttemptOutcome,
}

/// The totals of a run, by the coins of its seed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    /// Attempts, which are also connections.
    pub attempts: u64,
    /// Of these, sent to the service whole.
    pub forwarded: u64,
    /// Entries of the ledger.
    pub entries: u64,
    /// What they add up to.
    pub booked_total: MinorUnits,
    /// Payments that the client saw acknowledged.
    pub acknowledged: u64,
    /// Payments with an entry.
    pub booked: u64,
    /// Payments without an entry.
    pub lost: u64,
    /// Payments with two entries or more.
    pub duplicated: u64,
    /// Payments that were booked though the client saw no acknowledgement.
    pub booked_unknown: u64,
    /// Payments acknowledged as repeats, and redeliveries of payments that were acknowledged before.
    pub repeats: u64,
    /// Payments whose acknowledged amount is not in the ledger.
    pub mismatched: u64,
    /// The chances that the path has to break its claim.
    pub exposures: Exposures,
    /// Attempts that time out because a fault orders it.
    pub timeouts: u64,
    /// What each fault does, in the order of the spec.
    pub faults: Vec<FaultTally>,
}

/// Why the result of a plan depends on timing; `None`: the prediction is exact.
#[must_use]
pub fn depends_on_timing(plan: &Plan) -> Option<&'static str> {
    let (timeout, processing) = (plan.client.attempt_timeout, plan.target.processing_time());
    let mut effects = plan.faults().iter().filter(|fault| fault.probability > 0.0).map(|fault| fault.effect);
    let by_faults = effects.find_map(|effect| effect.depends_on_timing(timeout, processing));
    let by_kills = || kills_depend_on_timing(plan);
    let by_keys = || keys_depend_on_timing(plan);
    by_faults.or_else(by_kills).or_else(by_keys).or_else(|| plan.target.depends_on_timing(&plan.client, plan.overlap()))
}

/// Whether it is certain which of a payment's requests is answered as the repeat.
#[must_use]
pub fn repeats_are_exact(plan: &Plan) -> bool {
    let tells_repeats = matches!(plan.target.treatment(&plan.client), Treatment::TellsRepeats(_));
    depends_on_timing(plan).is_none() && !(plan.overlap() == Overlap::Possible && tells_repeats)
}

/// Simulates one payment, attempt by attempt, and returns the client's belief at the end.
pub fn walk(plan: &Plan, payment: PaymentId, mut visit: impl FnMut(&PredictedAttempt)) -> Belief {
    let state = PaymentState::new(plan.target.treatment(&plan.client), plan.target.durability(&plan.client));
    let mut walk = Walk { plan, payment, state, belief: Belief::Untried, made: 0 };
    if !walk.is_ended_by_load(&mut visit) {
        for attempt in plan.client.recovery_after(walk.made) {
            if walk.attempt(attempt, &mut visit).ending().is_some() {
                break;
            }
        }
    }
    let redelivered = plan.client.redelivered_after(plan.seed(), payment);
    if redelivered.is_some() && walk.belief == Belief::Acknowledged {
        if key_age(plan) == KeyAge::Expired {
            walk.state.expire();
        }
        walk.attempt(walk.made + 1, &mut visit);
    }
    walk.belief
}

/// One payment that is simulated.
struct Walk<'a> {
    plan: &'a Plan,
    payment: PaymentId,
    state: PaymentState,
    belief: Belief,
    made: u32,
}

impl Walk<'_> {
    /// The attempts of the load. False: the payment was neither acknowledged nor refused.
    fn is_ended_by_load(&mut self, visit: &mut impl FnMut(&PredictedAttempt)) -> bool {
        let client = &self.plan.client;
        let (mut unanswered, mut was_set_aside) = (0, false);
        while client.may_try_after(self.made) && self.made < ATTEMPTS_MAX {
            let most = client.max_attempts.unwrap_or(ATTEMPTS_MAX);
            let copies = client.hedge.min(most - self.made);
            let mut ended = false;
            let made = self.made;
            for attempt in made + 1..=made + copies {
                let outcome = self.attempt(attempt, visit);
                ended |= outcome.ending().is_some();
                // A fault hides no whole answer of "try again".
                unanswered += u32::from(outcome == AttemptOutcome::Unknown(Uncertainty::Retryable));
            }
            if ended {
                return true;
            }
            // A payment that is not answered so often is set aside, and asked for once more.
            if unanswered >= client.stuck_after {
                if was_set_aside {
                    return false;
                }
                (unanswered, was_set_aside) = (client.stuck_after.saturating_sub(1), true);
            }
        }
        false
    }

    fn attempt(&mut self, attempt: u32, visit: &mut impl FnMut(&PredictedAttempt)) -> AttemptOutcome {
        let id = AttemptId { payment: self.payment, attempt };
        let attempt = predict(self.plan, &mut self.state, id);
        self.made = self.made.max(id.attempt);
        self.belief = self.belief.after(attempt.outcome);
        visit(&attempt);
        attempt.outcome
    }
}

/// What happens to one attempt, given what the service knows about its payment.
fn predict(plan: &Plan, state: &mut PaymentState, id: AttemptId) -> PredictedAttempt {
    let draw = plan.sampler.draw(id);
    let effect = plan.sampler.effective(&draw).map(|fault| fault.effect);
    let handling = handle(state, effect, plan.amount_of(id.attempt));
    let hidden = effect.and_then(|effect| effect.hides_response(plan.client.attempt_timeout));
    let outcome = match (hidden, handling) {
        (Some(uncertainty), _) => AttemptOutcome::Unknown(uncertainty),
        (None, Handling::NotReceived | Handling::Interrupted) => AttemptOutcome::Unknown(Uncertainty::Reset),
        (None, Handling::Booked(_)) if plan.target.fail_after().happens(plan.seed(), id, FAIL_AFTER) => {
            AttemptOutcome::Unknown(Uncertainty::Retryable)
        }
        (None, Handling::Booked(_) | Handling::Repeat(RepeatAnswer::LikeNew)) => {
            AttemptOutcome::Acknowledged(Acknowledgement::New)
        }
        (None, Handling::Repeat(RepeatAnswer::Marked)) => AttemptOutcome::Acknowledged(Acknowledgement::Repeat),
        (None, Handling::Refused(_)) => AttemptOutcome::Rejected(Rejection::Refused),
    };
    PredictedAttempt { id, draw, handling, outcome }
}

/// What the service does with a request that meets an effect.
fn handle(state: &mut PaymentState, effect: Option<Effect>, amount: MinorUnits) -> Handling {
    match effect {
        Some(Effect::Kill(kill)) => match kill.death() {
            Death::BeforeArrival => {
                state.restart();
                Handling::NotReceived
            }
            Death::InProcessing => state.receive_dying(amount),
            Death::AfterAnswer => {
                let handling = state.receive(amount);
                state.restart();
                handling
            }
        },
        Some(effect) if !effect.request_arrives() => Handling::NotReceived,
        Some(Effect::Reset(_) | Effect::Delay(_)) | None => state.receive(amount),
    }
}

impl Prediction {
    /// Simulates the payments of a share. Exact when [`depends_on_timing`] is `None`; else it is the result when no two requests
    /// of a payment race.
    #[must_use]
    pub fn of(plan: &Plan, share: Range<u64>) -> Self {
        let mut totals = Self { faults: vec![FaultTally::default(); plan.faults().len()], ..Self::default() };
        for payment in share {
            totals.add(plan, PaymentId(payment));
        }
        totals
    }

    fn add(&mut self, plan: &Plan, payment: PaymentId) {
        let (mut attempts, mut forwarded, mut entries, mut repeats, mut first) = (0, 0, 0, 0, None);
        let mut was_refused = false;
        let (mut acknowledged_amount, mut amounts) = (None, Vec::new());
        let belief = walk(plan, payment, |attempt| {
            attempts += 1;
            was_refused |= attempt.outcome.ending() == Some(Ending::Refused);
            self.count_faults(&attempt.draw);
            self.timeouts += u64::from(attempt.outcome == AttemptOutcome::Unknown(Uncertainty::Timeout));
            forwarded += u64::from(attempt.handling != Handling::NotReceived);
            if let Handling::Booked(_) = attempt.handling {
                entries += 1;
                amounts.push(plan.amount_of(attempt.id.attempt));
            }
            // Of several copies at once, one acknowledgement counts.
            let counts = first.is_none() || plan.client.hedge == 1;
            repeats += u64::from(counts && attempt.outcome == AttemptOutcome::Acknowledged(Acknowledgement::Repeat));
            if let (AttemptOutcome::Acknowledged(_), None) = (attempt.outcome, first) {
                first = Some(());
                acknowledged_amount = Some(plan.amount_of(attempt.id.attempt));
            }
        });
        self.attempts += attempts;
        self.forwarded += forwarded;
        if entries > 0 || !was_refused {
            self.exposures = self.exposures.plus(Exposures::of_payment(attempts, forwarded, entries));
        }
        self.entries += entries;
        self.booked_total.0 = amounts.iter().fold(self.booked_total.0, |sum, amount| sum.saturating_add(amount.0));
        self.acknowledged += u64::from(belief == Belief::Acknowledged);
        self.booked += u64::from(entries > 0);
        self.lost += u64::from(entries == 0);
        self.duplicated += u64::from(entries > 1);
        self.booked_unknown += u64::from(entries > 0 && belief != Belief::Acknowledged);
        self.repeats += repeats;
        self.mismatched += u64::from(acknowledged_amount.is_some_and(|amount| !amounts.contains(&amount)));
    }

    /// The prediction for this share and another one.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        let Self {
            attempts,
            forwarded,
            entries,
            booked_total,
            acknowledged,
            booked,
            lost,
            duplicated,
            booked_unknown,
            repeats,
            mismatched,
            exposures,
            timeouts,
            faults,
        } = other;
        self.attempts += attempts;
        self.forwarded += forwarded;
        self.entries += entries;
        self.booked_total.0 = self.booked_total.0.saturating_add(booked_total.0);
        self.acknowledged += acknowledged;
        self.booked += booked;
        self.lost += lost;
        self.duplicated += duplicated;
        self.booked_unknown += booked_unknown;
        self.repeats += repeats;
        self.mismatched += mismatched;
        self.exposures = self.exposures.plus(exposures);
        self.timeouts += timeouts;
        self.faults = FaultTally::sums(self.faults, faults);
        self
    }

    fn count_faults(&mut self, draw: &Draw) {
        for (index, fault) in self.faults.iter_mut().enumerate() {
            fault.drawn += 1;
            fault.fired += u64::from(draw.has_fired(index));
            fault.effective += u64::from(draw.effective == Some(index));
        }
    }
}
