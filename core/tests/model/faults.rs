//! The fate of an attempt: which faults fire, and which of these takes effect.

use paylab_core::fault::{point::Point, spec::FaultSpec};
use sha2::{Digest, Sha256};

/// The points in the order of time, from the table of semantics.md.
pub(crate) const IN_TIME: [Point; 7] = [
    Point::Connect,
    Point::BeforeRequest,
    Point::MidRequest,
    Point::AfterRequest,
    Point::BeforeResponse,
    Point::MidResponse,
    Point::AfterResponse,
];

/// The first 8 bytes of the SHA-256 of `{seed}/{i}/{k}/{name}`, the most significant byte first.
pub(crate) fn coin(seed: u64, payment: u64, attempt: u32, name: &str) -> u64 {
    let digest = Sha256::digest(format!("{seed}/{payment}/{attempt}/{name}"));
    digest.iter().take(8).fold(0, |number, byte| number * 256 + u64::from(*byte))
}

/// `probability * 2^64`, truncated, in whole numbers from the bits of the probability, which is below 1.
pub(crate) fn threshold(probability: f64) -> u128 {
    let bits = probability.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap();
    let fraction = u128::from(bits & ((1 << 52) - 1));
    // The probability is `significand * 2^power`.
    let (significand, power) = if exponent == 0 { (fraction, -1074) } else { (fraction + (1 << 52), exponent - 1075) };
    let doublings = power + 64;
    let halvings = u32::try_from(-doublings).unwrap_or(0);
    let doublings = u32::try_from(doublings).unwrap_or(0);
    (significand << doublings).checked_shr(halvings).unwrap_or(0)
}

/// Whether a fault fires on an attempt.
pub(crate) fn fires(fault: &FaultSpec, seed: u64, payment: u64, attempt: u32) -> bool {
    let meets_attempt = match &fault.attempts {
        None => true,
        Some(numbers) => numbers.iter().any(|number| i64::from(*number) == i64::from(attempt)),
    };
    let meets_payment = match fault.payments {
        None => true,
        Some(range) => range.from <= payment.cast_signed() && payment.cast_signed() < range.to,
    };
    let heads = fault.probability >= 1.0
        || u128::from(coin(seed, payment, attempt, &fault.name)) < threshold(fault.probability);
    meets_attempt && meets_payment && heads
}

/// The point of a fault, which has one effect.
pub(crate) fn point(fault: &FaultSpec) -> Point {
    match (fault.reset, fault.delay, fault.kill) {
        (Some(reset), None, None) => reset.at,
        (None, Some(delay), None) => delay.at,
        (None, None, Some(kill)) => kill.at,
        _ => panic!("{fault:?} must have one effect"),
    }
}

/// Of the faults that fired, the one that takes effect: the earliest in `order`, and of several at one point the first of the file.
pub(crate) fn takes_effect(faults: &[FaultSpec], fired: &[usize], order: [Point; 7]) -> Option<usize> {
    order.iter().find_map(|at| fired.iter().copied().find(|index| point(&faults[*index]) == *at))
}
