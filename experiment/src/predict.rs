//! What will happen: the coins of a plan walked payment by payment, without any network. A measured run equals this,
//! unless [`depends_on`] names why its result depends on timing.

use std::ops::Range;

use crate::{
    fate::Draw,
    history::{ATTEMPTS_MAX, Answer, Belief, Doubt, Outcome, Rejection},
    money::MinorUnits,
    payment::{AttemptId, PaymentId},
    plan::Plan,
    record::FaultTally,
    spec::{BodyDrift, Dedup, KeyPolicy, MissingKey, OnDisconnect, Point},
};

/// What a correct service of this plan does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Each one is booked: nothing tells a repeat.
    BooksEvery,
    /// The first of a payment is booked.
    TellsRepeats,
    /// None is booked, because none has a key.
    RefusesKeyless,
}

/// One attempt as it will go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Which one.
    pub id: AttemptId,
    /// What the dice say.
    pub draw: Draw,
    /// Where it is reset, if it is.
    pub point: Option<Point>,
    /// What the service does.
    pub effect: Effect,
    /// What the client may believe.
    pub outcome: Outcome,
}

/// What one request does at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does not get there whole.
    Unseen,
    /// It is booked, as this payment's entry number `n`, from 1.
    Booked(u32),
    /// It is told from a new payment; nothing is booked.
    Repeat,
    /// It is refused with this status; nothing is booked.
    Refused(u16),
}

/// The totals of a run, by the coins of its seed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prediction {
    /// Attempts, which are also connections.
    pub attempts: u64,
    /// Of these, sent to the service whole.
    pub forwarded: u64,
    /// Entries of the ledger.
    pub entries: u64,
    /// What they add up to.
    pub booked_total: MinorUnits,
    /// Payments the client saw acknowledged.
    pub acknowledged: u64,
    /// Payments with an entry.
    pub booked: u64,
    /// Payments without.
    pub lost: u64,
    /// Payments with two entries or more.
    pub duplicated: u64,
    /// Payments booked though the client saw no acknowledgement.
    pub booked_unknown: u64,
    /// Payments acknowledged as repeats.
    pub repeats: u64,
    /// Payments whose acknowledged amount is not in the ledger.
    pub mismatched: u64,
    /// Requests that reached the service after the payment's first one had.
    pub exposures: u64,
    /// Each fault's part in it, in the order of the spec.
    pub faults: Vec<FaultTally>,
}

/// What a correct service of this plan does with requests.
#[must_use]
pub fn treatment(plan: &Plan) -> Treatment {
    let looks_at_keys = plan.service.dedup != Dedup::None;
    match (looks_at_keys, plan.client.key, plan.service.missing_key) {
        (false, _, _) | (true, KeyPolicy::PerAttempt, _) | (true, KeyPolicy::None, MissingKey::Book) => {
            Treatment::BooksEvery
        }
        (true, KeyPolicy::PerPayment, _) => Treatment::TellsRepeats,
        (true, KeyPolicy::None, MissingKey::Refuse) => Treatment::RefusesKeyless,
    }
}

/// Why the result of a plan depends on timing; `None`: the prediction is exact.
#[must_use]
pub fn depends_on(plan: &Plan) -> Option<&'static str> {
    let late = plan.has_fault_at(Point::AfterRequest);
    let at_once = late || plan.client.hedge > 1;
    let slow = plan.service.processing_time.saturating_mul(2) >= plan.client.attempt_timeout;
    let drifts = plan.client.body_drift == BodyDrift::Amount;
    let tells = treatment(plan) == Treatment::TellsRepeats;
    if plan.service.key_ttl.is_some() {
        return Some("when keys expire (service.keyTtl)");
    }
    if slow && !plan.service.processing_time.is_zero() {
        return Some("which attempts time out (service.processingTime is near client.retry.attemptTimeout)");
    }
    if !tells {
        return None;
    }
    match plan.service.dedup {
        Dedup::CheckThenInsert | Dedup::ApplyThenKey if at_once => Some("which of two requests at once is faster"),
        Dedup::Replay if at_once => Some("whether a repeat meets its first request in flight (409)"),
        Dedup::Memory if plan.service.replicas > 1 => Some("which replica answers"),
        Dedup::KeyThenApply if at_once && plan.service.on_disconnect == OnDisconnect::Cancel => {
            Some("when a cancelled request is dropped")
        }
        _ if at_once && drifts => Some("which of two amounts is booked first"),
        Dedup::None
        | Dedup::UniqueKey
        | Dedup::Replay
        | Dedup::CheckThenInsert
        | Dedup::Memory
        | Dedup::KeyThenApply
        | Dedup::ApplyThenKey
        | Dedup::AckThenApply => None,
    }
}

/// Whether it is certain which of a payment's requests is answered as the repeat.
#[must_use]
pub fn repeats_are_exact(plan: &Plan) -> bool {
    let at_once = plan.client.hedge > 1 || plan.has_fault_at(Point::AfterRequest);
    depends_on(plan).is_none() && !(at_once && treatment(plan) == Treatment::TellsRepeats)
}

/// Walks one payment, attempt by attempt, and returns the client's belief at the end.
pub fn walk(plan: &Plan, payment: PaymentId, mut see: impl FnMut(&Step)) -> Belief {
    let mut service = ServiceModel::default();
    let mut belief = Belief::Untried;
    let mut made = 0;
    while plan.client.may_try_after(made) && made < ATTEMPTS_MAX {
        let most = plan.client.max_attempts.unwrap_or(ATTEMPTS_MAX);
        let copies = plan.client.hedge.min(most - made);
        let mut ended = false;
        for attempt in made + 1..=made + copies {
            let step = service.step(plan, AttemptId { payment, attempt });
            belief = belief.after(step.outcome);
            ended |= step.outcome.is_final();
            see(&step);
        }
        made += copies;
        if ended {
            break;
        }
    }
    belief
}

/// What a service knows of one payment.
#[derive(Default)]
struct ServiceModel {
    entries: u32,
    first_amount: MinorUnits,
}

impl ServiceModel {
    fn step(&mut self, plan: &Plan, id: AttemptId) -> Step {
        let draw = plan.dice.draw(id);
        let point = plan.dice.point(&draw);
        let effect = if point.is_none_or(Point::arrives) {
            self.receive(plan, plan.amount_of(id.attempt))
        } else {
            Effect::Unseen
        };
        let outcome = match effect {
            _ if !point.is_none_or(Point::answers) => Outcome::Unknown(Doubt::Reset),
            Effect::Unseen => Outcome::Unknown(Doubt::Reset),
            Effect::Booked(_) => Outcome::Acknowledged(Answer::New),
            // 202 says "accepted", whatever becomes of it.
            Effect::Repeat if plan.service.dedup == Dedup::AckThenApply => Outcome::Acknowledged(Answer::New),
            Effect::Repeat => Outcome::Acknowledged(Answer::Repeat),
            Effect::Refused(_) => Outcome::Rejected(Rejection::Refused),
        };
        Step { id, draw, point, effect, outcome }
    }

    fn receive(&mut self, plan: &Plan, amount: MinorUnits) -> Effect {
        match treatment(plan) {
            Treatment::RefusesKeyless => Effect::Refused(400),
            Treatment::TellsRepeats if self.entries == 0 => self.book(amount),
            Treatment::TellsRepeats if plan.service.dedup == Dedup::Replay && amount != self.first_amount => {
                Effect::Refused(422)
            }
            Treatment::TellsRepeats => Effect::Repeat,
            Treatment::BooksEvery => self.book(amount),
        }
    }

    fn book(&mut self, amount: MinorUnits) -> Effect {
        if self.entries == 0 {
            self.first_amount = amount;
        }
        self.entries += 1;
        Effect::Booked(self.entries)
    }
}

impl Prediction {
    /// Walks the payments of a share. Exact when [`depends_on`] is `None`; else what a service would do that is never raced.
    #[must_use]
    pub fn of(plan: &Plan, share: Range<u64>) -> Self {
        let mut totals = Self { faults: vec![FaultTally::default(); plan.faults.len()], ..Self::default() };
        for payment in share {
            totals.add(plan, PaymentId(payment));
        }
        totals
    }

    fn add(&mut self, plan: &Plan, payment: PaymentId) {
        let (mut forwarded, mut entries, mut repeat) = (0, 0, None);
        let (mut acknowledged_amount, mut amounts) = (None, Vec::new());
        let belief = walk(plan, payment, |step| {
            self.attempts += 1;
            self.count_faults(&step.draw);
            forwarded += u64::from(step.effect != Effect::Unseen);
            if let Effect::Booked(_) = step.effect {
                entries += 1;
                amounts.push(plan.amount_of(step.id.attempt));
            }
            if let (Outcome::Acknowledged(answer), None) = (step.outcome, repeat) {
                repeat = Some(answer == Answer::Repeat);
                acknowledged_amount = Some(plan.amount_of(step.id.attempt));
            }
        });
        self.forwarded += forwarded;
        self.exposures += forwarded.saturating_sub(1);
        self.entries += entries;
        self.booked_total.0 += amounts.iter().map(|amount| amount.0).sum::<i64>();
        self.acknowledged += u64::from(belief == Belief::Acknowledged);
        self.booked += u64::from(entries > 0);
        self.lost += u64::from(entries == 0);
        self.duplicated += u64::from(entries > 1);
        self.booked_unknown += u64::from(entries > 0 && belief != Belief::Acknowledged);
        self.repeats += u64::from(repeat == Some(true));
        self.mismatched += u64::from(acknowledged_amount.is_some_and(|amount| !amounts.contains(&amount)));
    }

    fn count_faults(&mut self, draw: &Draw) {
        for (index, fault) in self.faults.iter_mut().enumerate() {
            fault.drawn += 1;
            fault.fired += u64::from(draw.has_fired(index));
            fault.effective += u64::from(draw.effective == Some(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stories::lesson;

    fn predict(plan: &Plan) -> Prediction {
        Prediction::of(plan, 0..plan.count)
    }

    #[test]
    fn the_lesson_ends_as_the_contract_says() {
        let keyed = |most: i32| json!({"client": {"retry": {"maxAttempts": most}, "idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
        // attempts, entries without and with dedup, acknowledged, lost, duplicated, gave up but booked, 208
        for (most, expected) in [
            (1, [1000, 695, 695, 469, 305, 0, 226, 0]),
            (3, [1799, 1244, 971, 850, 29, 243, 121, 198]),
            (0, [2079, 1455, 1000, 1000, 0, 329, 0, 329]),
        ] {
            let blind = predict(&lesson(&json!({"client": {"retry": {"maxAttempts": most}}})));
            let safe = predict(&lesson(&keyed(most)));
            let totals = [
                blind.attempts,
                blind.entries,
                safe.entries,
                blind.acknowledged,
                blind.lost,
                blind.duplicated,
                blind.booked_unknown,
                safe.repeats,
            ];
            assert_eq!(totals, expected, "at most {most}");
            assert_eq!((safe.duplicated, blind.repeats), (0, 0));
        }
    }

    #[test]
    fn faults_are_drawn_fired_and_met_by_the_earliest() {
        let blind = predict(&lesson(&json!({})));
        let tally = |fired, effective| FaultTally { drawn: 2079, fired, effective };
        assert_eq!(blind.faults, [tally(624, 624), tally(645, 455)]);
        assert_eq!((blind.exposures, blind.booked_total), (455, MinorUnits(145_500)));
    }

    #[test]
    fn one_payment_is_walked_step_by_step() {
        let mut steps = Vec::new();
        let belief = walk(&lesson(&json!({})), PaymentId(3), |step| {
            steps.push(format!("{} {:?} {:?}", step.id, step.point, step.effect));
        });
        expect_test::expect![[r#"
            3/1 Some(BeforeRequest) Unseen
            3/2 Some(BeforeRequest) Unseen
            3/3 Some(BeforeRequest) Unseen
            3/4 Some(BeforeResponse) Booked(1)
            3/5 None Booked(2)"#]]
        .assert_eq(&steps.join("\n"));
        assert_eq!(belief, Belief::Acknowledged);
    }

    #[test]
    fn a_key_of_each_attempt_protects_nothing_and_a_required_key_that_is_missing_books_nothing() {
        let unique = json!({"dedup": "UniqueKey", "missingKey": "Refuse"});
        let fresh = predict(&lesson(&json!({"client": {"idempotencyKey": "PerAttempt"}, "service": unique})));
        assert_eq!((fresh.entries, fresh.duplicated), (1455, 329));
        let keyless = predict(&lesson(&json!({"service": unique})));
        assert_eq!((keyless.entries, keyless.lost, keyless.acknowledged), (0, 1000, 0));
    }

    #[test]
    fn drifting_bodies_are_dropped_silently_by_a_unique_key_and_refused_by_replay() {
        let drifting = |dedup: &str| {
            let client = json!({"idempotencyKey": "PerPayment", "bodyDrift": "Amount"});
            predict(&lesson(&json!({"client": client, "service": {"dedup": dedup}})))
        };
        let (unique, replay) = (drifting("UniqueKey"), drifting("Replay"));
        assert_eq!((unique.mismatched, unique.duplicated), (329, 0));
        assert_eq!((replay.mismatched, replay.duplicated, replay.acknowledged), (0, 0, 671));
    }

    #[test]
    fn hedged_copies_are_booked_each_unless_a_key_tells_them() {
        let hedged = |dedup: &str| {
            let client = json!({"hedge": 3, "idempotencyKey": "PerPayment"});
            lesson(&json!({"client": client, "service": {"dedup": dedup}}))
        };
        let (none, unique) = (hedged("None"), hedged("UniqueKey"));
        assert_eq!(predict(&none).attempts % 3, 0);
        assert_eq!(predict(&none).entries, predict(&none).forwarded);
        assert_eq!((predict(&unique).entries, predict(&unique).duplicated), (1000, 0));
        assert!(repeats_are_exact(&none) && !repeats_are_exact(&unique));
        assert_eq!(depends_on(&hedged("CheckThenInsert")), Some("which of two requests at once is faster"));
    }
}
