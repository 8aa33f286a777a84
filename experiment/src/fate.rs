//! Coins and fates: what the faults do to an attempt, a pure function of (seed, payment, attempt, fault).

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{
    payment::AttemptId,
    spec::{FAULTS_MAX, Fault, Point},
};

/// 2^64, exactly representable.
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// The coin of one fault for one attempt: big-endian u64 of the first 8 bytes of SHA-256("{seed}/{i}/{k}/{name}").
#[must_use]
pub fn coin(seed: u64, id: AttemptId, name: &str) -> u64 {
    toss(&prefix(seed, id), name)
}

/// A number in `[0, 1)` from the seed, for things that are not faults, such as the jitter of a pause. No fault's name can hold a `#`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
pub fn fraction(seed: u64, id: AttemptId, purpose: &str) -> f64 {
    let bits = toss(&prefix(seed, id), &format!("#{purpose}")) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

fn prefix(seed: u64, id: AttemptId) -> String {
    format!("{seed}/{}/{}/", id.payment.0, id.attempt)
}

fn toss(prefix: &str, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(prefix).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |coin, byte| coin << 8 | u64::from(*byte))
}

/// The faults of an experiment, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Dice {
    seed: u64,
    dies: Vec<Die>,
}

/// One fault, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Die {
    /// The fault's name, part of the dice.
    pub name: String,
    /// As written in the spec.
    pub probability: f64,
    /// Where it resets.
    pub point: Point,
    /// The attempts it may meet; `None`: all.
    pub attempts: Option<Vec<u32>>,
    /// The payments it may meet; `None`: all.
    pub payments: Option<Range<u64>>,
}

/// What the dice said for one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    coins: [u64; FAULTS_MAX],
    count: usize,
    /// Bit `n` is set when the coin of fault `n` fired.
    pub fired: u16,
    /// The fault that takes effect: of those that fired, the one with the earliest point.
    pub effective: Option<usize>,
}

impl Die {
    fn fires(&self, coin: u64, id: AttemptId) -> bool {
        let meets = self.attempts.as_ref().is_none_or(|attempts| attempts.contains(&id.attempt))
            && self.payments.as_ref().is_none_or(|payments| payments.contains(&id.payment.0));
        meets && (self.probability >= 1.0 || coin < self.threshold())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the contract: the f64 product, truncated"
    )]
    fn threshold(&self) -> u64 {
        (self.probability * TWO_POW_64) as u64
    }
}

impl Draw {
    /// The coins, one for each fault, in the order of the spec.
    #[must_use]
    pub fn coins(&self) -> &[u64] {
        &self.coins[..self.count]
    }

    /// Whether fault `index` fired.
    #[must_use]
    pub const fn has_fired(&self, index: usize) -> bool {
        self.fired >> index & 1 == 1
    }
}

impl Dice {
    /// Dice for these faults. The faults must have passed [`crate::plan::check_faults`]; those past [`FAULTS_MAX`] are not drawn.
    #[must_use]
    pub fn new(seed: u64, faults: &[Fault]) -> Self {
        let dies = faults.iter().take(FAULTS_MAX).map(|fault| Die {
            name: fault.name.clone(),
            probability: fault.probability,
            point: fault.reset.at,
            attempts: fault.attempts.as_ref().map(|list| list.iter().map(|k| k.unsigned_abs()).collect()),
            payments: fault.payments.map(|range| range.from.unsigned_abs()..range.to.unsigned_abs()),
        });
        Self { seed, dies: dies.collect() }
    }

    /// The seed of every coin.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The faults, in the order of the spec.
    #[must_use]
    pub fn dies(&self) -> &[Die] {
        &self.dies
    }

    /// Draws every fault's coin for an attempt.
    #[must_use]
    pub fn draw(&self, id: AttemptId) -> Draw {
        let prefix = prefix(self.seed, id);
        let mut draw = Draw { coins: [0; FAULTS_MAX], count: self.dies.len(), fired: 0, effective: None };
        for (index, die) in self.dies.iter().enumerate() {
            let coin = toss(&prefix, &die.name);
            draw.coins[index] = coin;
            if !die.fires(coin, id) {
                continue;
            }
            draw.fired |= 1 << index;
            if draw.effective.is_none_or(|earlier| die.point < self.dies[earlier].point) {
                draw.effective = Some(index);
            }
        }
        draw
    }

    /// The point at which an attempt is reset, if it is.
    #[must_use]
    pub fn point(&self, draw: &Draw) -> Option<Point> {
        draw.effective.map(|index| self.dies[index].point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{payment::PaymentId, spec::Reset};

    fn fault(name: &str, probability: f64, at: Point) -> Fault {
        Fault { name: name.into(), probability, reset: Reset { at }, attempts: None, payments: None }
    }

    const fn id(payment: u64, attempt: u32) -> AttemptId {
        AttemptId { payment: PaymentId(payment), attempt }
    }

    #[test]
    fn coins_have_the_values_of_the_contract() {
        assert_eq!(coin(42, id(0, 1), "request-lost"), 0xd8fa_fe09_5225_fec5);
        assert_eq!(coin(42, id(0, 1), "response-lost"), 0xe61b_b72a_5131_89e0);
        let dice = Dice::new(42, &[fault("x", 0.3, Point::Connect)]);
        assert_eq!(dice.dies()[0].threshold(), 0x4ccc_cccc_cccc_cc00);
    }

    #[test]
    fn the_earliest_point_takes_effect_whatever_the_order_of_the_spec() {
        let late = fault("late", 1.0, Point::BeforeResponse);
        let early = fault("early", 1.0, Point::BeforeRequest);
        for faults in [[late.clone(), early.clone()], [early, late]] {
            let dice = Dice::new(1, &faults);
            let draw = dice.draw(id(3, 1));
            assert_eq!((dice.point(&draw), draw.fired), (Some(Point::BeforeRequest), 0b11));
        }
    }

    #[test]
    fn a_fault_meets_only_the_attempts_and_payments_it_names_but_its_coin_is_always_drawn() {
        let mut only = fault("only", 1.0, Point::Connect);
        only.attempts = Some(vec![2]);
        only.payments = Some(crate::spec::PaymentRange { from: 5, to: 7 });
        let dice = Dice::new(9, &[only]);
        let fired: Vec<_> =
            [id(5, 2), id(6, 2), id(7, 2), id(4, 2), id(5, 1)].map(|id| dice.draw(id).has_fired(0)).into();
        assert_eq!(fired, [true, true, false, false, false]);
        assert_eq!(dice.draw(id(5, 1)).coins(), [coin(9, id(5, 1), "only")]);
    }

    #[test]
    fn probability_zero_never_fires_and_one_always_does() {
        let dice = Dice::new(7, &[fault("never", 0.0, Point::Connect), fault("always", 1.0, Point::AfterResponse)]);
        assert!((0..1000).all(|i| dice.draw(id(i, 1)).fired == 0b10));
    }

    #[test]
    fn fractions_stay_between_nothing_and_one() {
        let sum: f64 =
            (0..1000).map(|i| fraction(42, id(i, 1), "jitter")).inspect(|f| assert!((0.0..1.0).contains(f))).sum();
        assert!((450.0..550.0).contains(&sum), "{sum}");
    }
}
