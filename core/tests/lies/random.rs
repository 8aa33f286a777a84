//! Ten thousand random lies about small runs. Whatever is told: a ledger that breaks the claim is never `Upheld`, and a ledger that
//! keeps it is never `Violated` because of what record, footers or counters say.
//!
//! Whether a ledger breaks the claim is counted here again, without the judge.

use std::cell::Cell;

use paylab_core::{
    claim::{Claim, Verdict},
    plan::Plan,
    witness::attempt::{Belief, Ending},
};
use paylab_testbed::evidence::lesson;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::{
    fabrications::{Fabrication, Lie},
    story::{Course, Story},
};

const LIES: u32 = 10_000;

/// The specs of small runs, all combinations that can be.
fn specs() -> Vec<Value> {
    let services = [
        json!({"dedup": "None"}),
        json!({"dedup": "UniqueKey"}),
        json!({"dedup": "UniqueKey", "replicas": 2, "database": {"secretKeyRef": {"name": "pg", "key": "url"}}}),
        json!({"dedup": "Replay"}),
        json!({"dedup": "AckThenApply"}),
        json!({"dedup": "UniqueKey", "missingKey": "Refuse"}),
    ];
    let clients = [
        json!({"retry": {"maxAttempts": 0}}),
        json!({"retry": {"maxAttempts": 1}}),
        json!({"retry": {"maxAttempts": 3}}),
        json!({"retry": {"maxAttempts": 2}, "recovery": {"attempts": 2}}),
        json!({"retry": {"maxAttempts": 4}, "hedge": 2}),
    ];
    let points = [["BeforeRequest", "BeforeResponse"], ["MidRequest", "AfterResponse"], ["Connect", "MidResponse"]];
    let mut specs = Vec::new();
    for (seed, (service, client)) in
        services.iter().flat_map(|it| clients.iter().map(move |client| (it, client))).enumerate()
    {
        let key = if service["missingKey"] == "Refuse" { "None" } else { "PerPayment" };
        for claim in ["AtMostOnce", "AtLeastOnce", "ExactlyOnce"] {
            let faults = points[seed % points.len()]
                .map(|at| json!({"name": at.to_lowercase(), "probability": 0.3, "reset": {"at": at}}));
            let mut client = client.clone();
            client["idempotencyKey"] = json!(key);
            specs.push(json!({"claim": claim, "service": service, "client": client, "faults": faults, "seed": seed,
                              "payments": {"count": 12}, "minExposures": 0}));
        }
    }
    specs
}

/// Whether what was booked breaks the claim, by what the client believes of each payment.
fn breaks_claim(plan: &Plan, story: &Story, courses: &[Course]) -> bool {
    let mut booked = vec![0_u32; courses.len()];
    for entry in &story.evidence.entries {
        let parties = (&entry.src, &entry.dest) == (&plan.from, &plan.to);
        let payment = entry.reference.as_deref().and_then(|reference| story.evidence.run.payment_of(reference));
        let slot = payment.and_then(|payment| booked.get_mut(usize::try_from(payment.0).ok()?));
        let Some(slot) = slot.filter(|_| parties && entry.amount_minor == plan.amount.0) else { return true };
        *slot += 1;
    }
    let at_most = matches!(plan.claim, Claim::AtMostOnce | Claim::ExactlyOnce);
    let at_least = matches!(plan.claim, Claim::AtLeastOnce | Claim::ExactlyOnce);
    booked.iter().zip(courses).any(|(entries, (outcomes, ending))| {
        let belief = outcomes.iter().fold(Belief::Untried, |belief, outcome| belief.after(*outcome));
        let is_refused = *ending == Ending::Refused && belief != Belief::Acknowledged;
        match (entries, belief) {
            (0, Belief::Acknowledged) | (1.., Belief::Rejected | Belief::Untried) => true,
            (0, Belief::Untried | Belief::Rejected | Belief::Unknown) => at_least && !is_refused,
            (1.., Belief::Unknown) => at_most && *entries > 1 || at_least && (is_refused || *ending == Ending::Stuck),
            (1.., Belief::Acknowledged) => at_most && *entries > 1,
        }
    })
}

/// How often each property was put to the test.
#[derive(Debug, Default)]
struct Exercised {
    broken: Cell<u32>,
    convicted: Cell<u32>,
    kept: Cell<u32>,
    doubted: Cell<u32>,
}

fn count(counter: &Cell<u32>, times: impl Into<u32>) {
    counter.set(counter.get() + times.into());
}

#[test]
fn no_random_lie_upholds_a_broken_claim_or_convicts_an_honest_path() {
    let honest: Vec<_> = specs().into_iter().map(|spec| (Story::of(lesson(&spec)), spec)).collect();
    let lies = prop::collection::vec((select(Lie::all()), any::<prop::sample::Index>(), any::<u8>()), 1..=3);
    let cases = (0..honest.len(), lies);
    let exercised = Exercised::default();
    let config = Config { cases: LIES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[15; 32]);
    let held = TestRunner::new_with_rng(config, rng).run(&cases, |(index, mut lies)| {
        let (story, spec) = &honest[index];
        let plan = &story.evidence.plan;
        let mut told = Fabrication { story: story.clone(), courses: story.courses() };
        let was_broken = breaks_claim(plan, story, &told.courses);
        lies.sort_by_key(|(lie, _, _)| lie.order());
        lies.iter().for_each(|(lie, place, value)| told.tell(*lie, *place, *value));
        let is_broken = breaks_claim(plan, &told.story, &told.courses);
        let outcome = told.story.conclude();
        let words = || format!("{lies:?} about {spec}: {} {:?}", outcome.reason, outcome.report);
        if is_broken {
            count(&exercised.broken, 1_u32);
            count(&exercised.convicted, outcome.verdict == Verdict::Violated);
            prop_assert!(outcome.verdict != Verdict::Upheld, "{}", words());
        }
        if !was_broken && lies.iter().all(|(lie, _, _)| lie.is_about_the_instrument()) {
            count(&exercised.kept, 1_u32);
            count(&exercised.doubted, outcome.verdict == Verdict::Inconclusive);
            prop_assert!(outcome.verdict != Verdict::Violated, "{}", words());
        }
        Ok(())
    });
    if let Err(error) = held {
        panic!("{error}");
    }
    let Exercised { broken, convicted, kept, doubted } = exercised;
    let counts = [broken, convicted, kept, doubted].map(|counter| counter.get());
    assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
}
