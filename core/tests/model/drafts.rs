//! Random drafts, valid as a resource would be, that reach every branch of the model.

use std::ops::Range;

use paylab_core::{
    client::{BodyDrift, ConnectionPolicy, KeyPolicy},
    duration_text::DurationText,
    fault::{
        delay::Delay,
        point::Point,
        reset::Reset,
        spec::{FaultSpec, PaymentRange},
    },
    targets::ours::{Dedup, MissingKey, OnDisconnect},
};
use proptest::{
    collection::vec, option, prelude::*, prop_oneof, sample::select, strategy::Strategy, test_runner::TestRunner,
};

use crate::{
    draft::{Draft, TIMEOUT_MS},
    faults::IN_TIME,
};

/// With unlimited retries an attempt has at least this chance to be acknowledged, so that the payments end soon.
const CHANCE_MIN: f64 = 0.1;
/// Attempts that the faults with a list of attempts can meet.
const LISTED_MAX: i32 = 6;

/// A runner that makes the same drafts in every run of the tests.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
}

/// Random drafts.
pub(crate) fn drafts() -> impl Strategy<Value = Draft> {
    (counts(), client(), service(), vec(fault(), 0..=5)).prop_map(|(counts, client, service, faults)| {
        let (seed, count, share, amount) = counts;
        let (max_attempts, recovery, hedge, key, drift, connection) = client;
        let (dedup, missing_key, replicas, on_disconnect, processing_ms, key_ttl_ms) = service;
        let mut draft = Draft {
            seed,
            count,
            share,
            amount,
            max_attempts,
            recovery,
            hedge,
            concurrency: 8,
            timeout_ms: TIMEOUT_MS,
            key,
            drift,
            connection,
            dedup,
            missing_key,
            replicas,
            on_disconnect,
            processing_ms,
            key_ttl_ms,
            faults,
        };
        make_valid(&mut draft);
        draft
    })
}

/// Changes what the custom resource refuses, and what would take too long.
pub(crate) fn make_valid(draft: &mut Draft) {
    for (index, fault) in draft.faults.iter_mut().enumerate() {
        fault.name = format!("fault-{index}");
    }
    if draft.dedup == Dedup::Replay && draft.key == KeyPolicy::None {
        draft.missing_key = MissingKey::Refuse;
    }
    if draft.dedup != Dedup::Replay {
        draft.key_ttl_ms = None;
    }
    let unlisted = draft.faults.iter().filter(|fault| fault.attempts.is_none());
    let chance: f64 = unlisted.map(|fault| 1.0 - fault.probability).product();
    if draft.max_attempts == 0 && chance < CHANCE_MIN {
        draft.max_attempts = 7;
    }
    if draft.max_attempts == 0 {
        draft.recovery = 0;
    } else {
        draft.max_attempts = draft.max_attempts.max(draft.hedge);
    }
}

type Counts = (u64, u64, Range<u64>, i64);

fn counts() -> impl Strategy<Value = Counts> {
    let share = prop_oneof![4 => 1..=10_u64, 1 => 11..=40_u64].prop_flat_map(|count| {
        let whole = Just((count, 0..count));
        let part = (0..count, 0..=count).prop_map(move |(a, b)| (count, a.min(b)..a.max(b)));
        prop_oneof![3 => whole, 1 => part]
    });
    (0..=i64::MAX.cast_unsigned(), share, 1..=100_000_i64)
        .prop_map(|(seed, (count, share), amount)| (seed, count, share, amount))
}

type Client = (u32, u32, u32, KeyPolicy, BodyDrift, ConnectionPolicy);

fn client() -> impl Strategy<Value = Client> {
    (
        prop_oneof![2 => Just(0_u32), 1 => Just(1), 3 => 2..=7_u32],
        prop_oneof![2 => Just(0_u32), 1 => 1..=3_u32],
        prop_oneof![4 => Just(1_u32), 1 => 2..=4_u32],
        prop_oneof![1 => Just(KeyPolicy::None), 4 => Just(KeyPolicy::PerPayment), 1 => Just(KeyPolicy::PerAttempt)],
        select(vec![BodyDrift::None, BodyDrift::Amount]),
        select(vec![ConnectionPolicy::PerAttempt, ConnectionPolicy::KeepAlive]),
    )
}

type Service = (Dedup, MissingKey, u32, OnDisconnect, u64, Option<u64>);

fn service() -> impl Strategy<Value = Service> {
    let modes = [
        Dedup::None,
        Dedup::UniqueKey,
        // Twice, since many plans of it depend on timing.
        Dedup::Replay,
        Dedup::Replay,
        Dedup::CheckThenInsert,
        Dedup::Memory,
        Dedup::KeyThenApply,
        Dedup::ApplyThenKey,
        Dedup::AckThenApply,
    ];
    (
        select(modes.to_vec()),
        select(vec![MissingKey::Book, MissingKey::Refuse]),
        prop_oneof![4 => Just(1_u32), 1 => Just(2)],
        select(vec![OnDisconnect::Finish, OnDisconnect::Cancel]),
        select(vec![0_u64, 10, 100]),
        option::weighted(0.05, 1..=10_000_u64),
    )
}

fn fault() -> impl Strategy<Value = FaultSpec> {
    let probability = prop_oneof![
        1 => Just(0.0),
        1 => Just(1.0),
        1 => Just(1e-9),
        1 => 0.9..1.0_f64,
        8 => 0.05..0.7_f64,
    ];
    let lasts = prop_oneof![1 => 1..=400_u64, 1 => 2 * TIMEOUT_MS..=30_000];
    let range = (0..12_i64, 1..=30_i64).prop_map(|(from, length)| PaymentRange { from, to: from + length });
    (
        probability,
        select(IN_TIME.to_vec()),
        option::weighted(0.35, lasts),
        option::weighted(0.3, vec(1..=LISTED_MAX, 1..=3)),
        option::weighted(0.25, range),
    )
        .prop_map(|(probability, at, lasts, attempts, payments)| {
            let (reset, delay) = effect(at, lasts);
            FaultSpec { name: String::new(), probability, reset, delay, kill: None, attempts, payments }
        })
}

fn effect(at: Point, lasts: Option<u64>) -> (Option<Reset>, Option<Delay>) {
    match lasts {
        None => (Some(Reset { at }), None),
        Some(ms) => (None, Some(Delay { at, lasts: DurationText::from_ms(ms) })),
    }
}
