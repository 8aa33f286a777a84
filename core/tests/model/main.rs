//! An independent model of what happens to payments, written from the documented semantics alone, and compared with the prediction.
//!
//! The judge and the prediction share the walk through the attempts of a payment, so they could share an error. The model shares
//! nothing with them but the types of a plan: it draws its own coins, keeps lists of events and rows, and counts them at the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod averages;
mod client;
mod coverage;
mod draft;
mod drafts;
mod faults;
mod kills;
mod mutants;
mod service;
mod totals;

use std::{cell::RefCell, ops::Range};

use paylab_core::{
    client::{ATTEMPTS_MAX, BodyDrift, ConnectionPolicy, KeyPolicy},
    fault::{
        effect::Effect,
        point::Point,
        reset::Reset,
        spec::{self, FaultSpec},
    },
    plan::Plan,
    prediction::{Prediction, depends_on_timing, repeats_are_exact},
    targets::ours::{Dedup, MissingKey, OnDisconnect},
};
use paylab_testbed::evidence::lesson;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use crate::{
    client::Model,
    coverage::Coverage,
    draft::{Draft, TIMEOUT_MS},
    drafts::{drafts, runner},
    faults::{IN_TIME, coin, threshold},
    totals::{Certain, certain, totals},
};

/// The plans that are compared.
const PLANS: u32 = 10_000;
/// Each of the things that plans can have is had by at least this many.
const PLANS_EACH_MIN: u64 = 30;

/// A plan whose details drafts replace.
fn base() -> Plan {
    lesson(&json!({}))
}

/// What is predicted for a share, in two parts, as two workers would.
fn predict(plan: &Plan, share: Range<u64>) -> Prediction {
    let middle = share.start.midpoint(share.end);
    Prediction::of(plan, share.start..middle).plus(Prediction::of(plan, middle..share.end))
}

/// What the model says about a draft, with the prediction's repeats where they are not certain.
fn modelled(model: &Model<'_>, predicted: &Prediction, certain: Certain) -> Prediction {
    let modelled = totals(model.draft, &model.run());
    match certain {
        Certain::All => modelled,
        Certain::AllButRepeats => Prediction { repeats: predicted.repeats, ..modelled },
        Certain::No => predicted.clone(),
    }
}

#[test]
fn the_prediction_agrees_with_the_model_on_random_plans() {
    let (base, coverage) = (base(), RefCell::new(Coverage::default()));
    let compared = runner(PLANS).run(&drafts(), |draft| {
        let (plan, certain) = (draft.plan(&base), certain(&draft));
        assert_eq!(spec::check(&draft.faults, "faults"), [], "the draft is valid");
        let predicted = predict(&plan, draft.share.clone());
        let run = Model { draft: &draft, order: IN_TIME }.run();
        let mut expected = totals(&draft, &run);
        coverage.borrow_mut().note(&draft, &run, &expected, certain);
        let exact = match (depends_on_timing(&plan), repeats_are_exact(&plan)) {
            (Some(_), true | false) => Certain::No,
            (None, false) => Certain::AllButRepeats,
            (None, true) => Certain::All,
        };
        if exact != certain {
            return Err(TestCaseError::fail(format!("{exact:?} is said to be exact, and {certain:?} is certain")));
        }
        match certain {
            Certain::All => {}
            Certain::AllButRepeats => expected.repeats = predicted.repeats,
            Certain::No => return Ok(()),
        }
        if predicted == expected { Ok(()) } else { Err(TestCaseError::fail(format!("{predicted:#?}\n{expected:#?}"))) }
    });
    if let Err(error) = compared {
        panic!("{error}");
    }
    let coverage = coverage.into_inner();
    assert_eq!(coverage.rare(PLANS_EACH_MIN), Vec::<String>::new());
    // 8 modes with 3 policies, 21 kinds of faults, 18 totals, 6 answers, 3 certainties, and the other notes.
    assert_eq!(coverage.len(), 24 + 21 + 18 + 6 + 3 + 12);
}

#[test]
fn each_mutant_of_the_model_disagrees_with_the_prediction() {
    let base = base();
    let mut runner = runner(0);
    let predicted = |draft: Draft| (predict(&draft.plan(&base), draft.share.clone()), draft);
    let plans: Vec<_> = (0..mutants::PLANS).map(|_| predicted(mutants::draw(&mut runner))).collect();
    for (name, mutate) in mutants::ALL {
        let disagreeing = plans.iter().filter(|(predicted, draft)| {
            let mutant = mutate(draft);
            let model = Model { draft: &mutant.draft, order: mutant.order };
            modelled(&model, predicted, certain(draft)) != *predicted
        });
        let noticed = disagreeing.take(mutants::DISAGREEING_MIN).count();
        assert_eq!(noticed, mutants::DISAGREEING_MIN, "hardly anything shows that {name}");
    }
}

#[test]
fn coins_and_thresholds_have_the_documented_values() {
    assert_eq!(coin(42, 0, 1, "request-lost"), 0xd8fa_fe09_5225_fec5);
    assert_eq!(coin(42, 0, 1, "response-lost"), 0xe61b_b72a_5131_89e0);
    assert_eq!(threshold(0.3), 0x4ccc_cccc_cccc_cc00);
    assert_eq!([0.0, 5e-324, 0.5, 1.0 - f64::EPSILON / 2.0].map(threshold), [0, 0, 1 << 63, (1 << 64) - (1 << 11)]);
}

/// The lesson with seed 42 and a key for each payment.
fn lesson_draft(max_attempts: u32, dedup: Dedup) -> Draft {
    let fault = |name: &str, at| FaultSpec::new(name, 0.3, Effect::Reset(Reset { at }));
    Draft {
        seed: 42,
        count: 1000,
        share: 0..1000,
        amount: 100,
        max_attempts,
        recovery: 0,
        hedge: 1,
        concurrency: 8,
        timeout_ms: TIMEOUT_MS,
        key: KeyPolicy::PerPayment,
        drift: BodyDrift::None,
        connection: ConnectionPolicy::PerAttempt,
        dedup,
        missing_key: MissingKey::Book,
        replicas: 1,
        on_disconnect: OnDisconnect::Finish,
        processing_ms: 0,
        key_ttl_ms: None,
        faults: vec![fault("request-lost", Point::BeforeRequest), fault("response-lost", Point::BeforeResponse)],
    }
}

#[test]
fn the_model_has_the_documented_totals_of_the_lesson() {
    for (most, expected) in [
        (1, [1000, 695, 695, 469, 305, 0, 226, 0]),
        (3, [1799, 1244, 971, 850, 29, 243, 121, 198]),
        (0, [2079, 1455, 1000, 1000, 0, 329, 0, 329]),
    ] {
        let [none, unique] = [Dedup::None, Dedup::UniqueKey].map(|dedup| {
            let draft = lesson_draft(most, dedup);
            totals(&draft, &Model { draft: &draft, order: IN_TIME }.run())
        });
        let found = [
            none.attempts,
            none.entries,
            unique.entries,
            none.acknowledged,
            none.lost,
            none.duplicated,
            none.booked_unknown,
            unique.repeats,
        ];
        assert_eq!(found, expected, "at most {most}");
    }
}

#[test]
fn unlimited_retries_end_after_the_bound_of_attempts() {
    let mut draft = lesson_draft(0, Dedup::None);
    draft.count = 2;
    draft.share = 0..2;
    draft.faults[0].probability = 1.0 - 1e-12;
    let predicted = Prediction::of(&draft.plan(&base()), 0..2);
    assert_eq!(totals(&draft, &Model { draft: &draft, order: IN_TIME }.run()), predicted);
    assert_eq!((predicted.attempts, predicted.lost), (2 * u64::from(ATTEMPTS_MAX), 2));
}
