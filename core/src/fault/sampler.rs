//! The sampler: decides which attempt meets which fault, by a pure function of (seed, payment, attempt, name of the fault).

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{
    fault::{
        effect::Effect,
        point::Point,
        spec::{FAULTS_MAX, FaultSpec, PaymentRange},
    },
    payment::{AttemptId, PaymentId},
    run_id::RunId,
};

/// 2^64, exactly representable.
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// The coin of one fault for one attempt: the first 8 bytes of SHA-256("{seed}/{i}/{k}/{name}") as a big-endian u64.
#[must_use]
pub fn coin(seed: u64, id: AttemptId, name: &str) -> u64 {
    hash(&prefix(seed, id), name)
}

/// A number in `[0, 1)` from the seed, for what is not a fault, such as the jitter of a pause. It is never the same draw as a
/// fault's coin, because no name of a fault contains a `#`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
pub fn fraction(seed: u64, id: AttemptId, purpose: &str) -> f64 {
    let bits = hash(&prefix(seed, id), &format!("#{purpose}")) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

fn prefix(seed: u64, id: AttemptId) -> String {
    format!("{seed}/{}/{}/", id.payment.0, id.attempt)
}

fn hash(prefix: &str, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(prefix).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |coin, byte| coin << 8 | u64::from(*byte))
}

/// The seed of an experiment that names none: the same for every part of the run, and within the range that a status can hold.
#[must_use]
pub fn seed_of_run(run: &RunId) -> u64 {
    coin(0, AttemptId { payment: PaymentId(0), attempt: 1 }, run.as_str()) >> 1
}

/// The faults of an experiment and the seed that decides which attempts meet them.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSampler {
    seed: u64,
    faults: Vec<Fault>,
    /// No fault strikes a later attempt; `None`: every attempt can be struck.
    last_struck: Option<u32>,
}

/// One fault, checked and ready to be sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its name, from which its coins are made.
    pub name: String,
    /// The probability with which an attempt meets it.
    pub probability: f64,
    /// What it does.
    pub effect: Effect,
    /// The attempts that can meet it; `None`: all.
    pub attempts: Option<Vec<u32>>,
    /// The payments that can meet it; `None`: all.
    pub payments: Option<Range<u64>>,
}

/// What was drawn for one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    coins: [u64; FAULTS_MAX],
    count: usize,
    /// Bit `n` is set when the coin of fault `n` fired.
    pub fired: u16,
    /// The fault that takes effect: of those that fired, the one with the earliest point.
    pub effective: Option<usize>,
}

impl Fault {
    /// The fault of a spec; `None` without an effect.
    fn of(spec: &FaultSpec) -> Option<Self> {
        Some(Self {
            name: spec.name.clone(),
            probability: spec.probability,
            effect: spec.effects().next()?,
            attempts: spec.attempts.as_ref().map(|list| list.iter().map(|k| k.unsigned_abs()).collect()),
            payments: spec.payments.map(|range| range.indices()),
        })
    }

    fn fires(&self, coin: u64, id: AttemptId) -> bool {
        let can_meet = self.attempts.as_ref().is_none_or(|attempts| attempts.contains(&id.attempt))
            && self.payments.as_ref().is_none_or(|payments| payments.contains(&id.payment.0));
        can_meet && (self.probability >= 1.0 || coin < self.threshold())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as documented: the f64 product, truncated"
    )]
    fn threshold(&self) -> u64 {
        (self.probability * TWO_POW_64) as u64
    }
}

impl From<&Fault> for FaultSpec {
    fn from(fault: &Fault) -> Self {
        let Fault { name, probability, effect, attempts, payments } = fault;
        Self {
            attempts: attempts.as_ref().map(|list| list.iter().map(|k| k.cast_signed()).collect()),
            payments: payments.as_ref().map(|range| PaymentRange::of(range.clone())),
            ..Self::new(name, *probability, *effect)
        }
    }
}

impl Draw {
    /// The coins, one for each fault, in the order of the spec.
    #[must_use]
    pub fn coins(&self) -> &[u64] {
        &self.coins[..self.count]
    }

    /// Whether the coin of fault `index` fired.
    #[must_use]
    pub const fn has_fired(&self, index: usize) -> bool {
        self.fired >> index & 1 == 1
    }
}

impl FaultSampler {
    /// A sampler of these faults, which must have passed [`crate::fault::spec::check`].
    #[must_use]
    pub fn new(seed: u64, faults: &[FaultSpec]) -> Self {
        Self { seed, faults: faults.iter().filter_map(Fault::of).take(FAULTS_MAX).collect(), last_struck: None }
    }

    /// The same sampler, whose faults strike no attempt with a larger number than this. Coins are drawn for every attempt.
    #[must_use]
    pub fn striking_until(mut self, last: Option<u32>) -> Self {
        self.last_struck = last;
        self
    }

    /// The same faults with the coins of another seed.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The seed of every coin.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The faults, in the order of the spec.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Draws every fault's coin for an attempt.
    #[must_use]
    pub fn draw(&self, id: AttemptId) -> Draw {
        let prefix = prefix(self.seed, id);
        let mut draw = Draw { coins: [0; FAULTS_MAX], count: self.faults.len(), fired: 0, effective: None };
        for (index, fault) in self.faults.iter().enumerate() {
            let coin = hash(&prefix, &fault.name);
            draw.coins[index] = coin;
            let can_strike = self.last_struck.is_none_or(|last| id.attempt <= last);
            if !can_strike || !fault.fires(coin, id) {
                continue;
            }
            draw.fired |= 1 << index;
            if draw.effective.is_none_or(|earlier| fault.effect.at() < self.faults[earlier].effect.at()) {
                draw.effective = Some(index);
            }
        }
        draw
    }

    /// The fault that takes effect on an attempt.
    #[must_use]
    pub fn effective(&self, draw: &Draw) -> Option<&Fault> {
        draw.effective.map(|index| &self.faults[index])
    }

    /// The point at which a fault takes effect on an attempt.
    #[must_use]
    pub fn point(&self, draw: &Draw) -> Option<Point> {
        self.effective(draw).map(|fault| fault.effect.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::reset::Reset;

    fn fault(name: &str, probability: f64, at: Point) -> FaultSpec {
        FaultSpec::new(name, probability, Effect::Reset(Reset { at }))
    }

    const fn id(payment: u64, attempt: u32) -> AttemptId {
        AttemptId { payment: PaymentId(payment), attempt }
    }

    #[test]
    fn a_fault_fires_below_its_threshold_and_not_at_it() {
        let sampler = FaultSampler::new(42, &[fault("x", 0.3, Point::Connect)]);
        let fault = &sampler.faults()[0];
        let fires =
            [fault.threshold() - 1, fault.threshold(), fault.threshold() + 1].map(|coin| fault.fires(coin, id(0, 1)));
        assert_eq!(fires, [true, false, false]);
    }

    #[test]
    fn of_two_faults_at_one_point_the_first_takes_effect() {
        let both = [fault("x", 1.0, Point::BeforeRequest), fault("y", 1.0, Point::BeforeRequest)];
        assert_eq!(FaultSampler::new(42, &both).draw(id(0, 1)).effective, Some(0));
    }

    #[test]
    fn the_seed_of_a_run_is_its_own_and_fits_a_status() {
        let seeds =
            ["run-1", "run-2", "5bd3c1ca-7e0f-4d0b-8a63-4f2f6f0a9d11"].map(|run| seed_of_run(&run.parse().unwrap()));
        let halves = ["run-1", "run-2", "5bd3c1ca-7e0f-4d0b-8a63-4f2f6f0a9d11"].map(|run| coin(0, id(0, 1), run) / 2);
        assert_eq!(seeds, halves);
        assert!(seeds.iter().all(|seed| i64::try_from(*seed).is_ok()) && seeds[0] != seeds[1]);
    }

    #[test]
    fn coins_have_the_documented_values() {
        assert_eq!(coin(42, id(0, 1), "request-lost"), 0xd8fa_fe09_5225_fec5);
        assert_eq!(coin(42, id(0, 1), "response-lost"), 0xe61b_b72a_5131_89e0);
        let sampler = FaultSampler::new(42, &[fault("x", 0.3, Point::Connect)]);
        assert_eq!(sampler.faults()[0].threshold(), 0x4ccc_cccc_cccc_cc00);
    }

    #[test]
    fn the_earliest_point_takes_effect_whatever_the_order_of_the_spec() {
        let late = fault("late", 1.0, Point::BeforeResponse);
        let early = fault("early", 1.0, Point::BeforeRequest);
        for faults in [[late.clone(), early.clone()], [early, late]] {
            let sampler = FaultSampler::new(1, &faults);
            let draw = sampler.draw(id(3, 1));
            assert_eq!((sampler.point(&draw), draw.fired), (Some(Point::BeforeRequest), 0b11));
        }
    }

    #[test]
    fn a_fault_meets_only_the_attempts_and_payments_it_names_but_its_coin_is_always_drawn() {
        let mut only = fault("only", 1.0, Point::Connect);
        only.attempts = Some(vec![2]);
        only.payments = Some(PaymentRange { from: 5, to: 7 });
        let sampler = FaultSampler::new(9, &[only]);
        let fired: Vec<_> =
            [id(5, 2), id(6, 2), id(7, 2), id(4, 2), id(5, 1)].map(|id| sampler.draw(id).has_fired(0)).into();
        assert_eq!(fired, [true, true, false, false, false]);
        assert_eq!(sampler.draw(id(5, 1)).coins(), [coin(9, id(5, 1), "only")]);
    }

    #[test]
    fn after_its_last_attempt_a_fault_strikes_no_more_but_its_coin_is_drawn() {
        let sampler = FaultSampler::new(7, &[fault("always", 1.0, Point::Connect)]).striking_until(Some(2));
        let fired: Vec<_> = [1, 2, 3].map(|attempt| sampler.draw(id(0, attempt)).has_fired(0)).into();
        assert_eq!(fired, [true, true, false]);
        assert_eq!(sampler.draw(id(0, 3)).coins(), [coin(7, id(0, 3), "always")]);
    }

    #[test]
    fn probability_zero_never_fires_and_one_always_does() {
        let sampler =
            FaultSampler::new(7, &[fault("never", 0.0, Point::Connect), fault("always", 1.0, Point::AfterResponse)]);
        assert!((0..1000).all(|i| sampler.draw(id(i, 1)).fired == 0b10));
    }

    #[test]
    fn fractions_are_spread_between_zero_and_one() {
        let sum: f64 =
            (0..1000).map(|i| fraction(42, id(i, 1), "jitter")).inspect(|f| assert!((0.0..1.0).contains(f))).sum();
        assert!((450.0..550.0).contains(&sum), "{sum}");
    }
}
