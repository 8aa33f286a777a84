//! Kills: the same comparison of model and prediction, on random plans whose faults kill the service.

use std::{cell::RefCell, collections::BTreeMap};

use paylab_core::{
    client::{ConnectionPolicy, KeyPolicy},
    duration_text::DurationText,
    fault::{
        kill::Kill,
        point::Point,
        reset::Reset,
        spec::{self, FaultSpec},
    },
    prediction::{depends_on_timing, repeats_are_exact},
    targets::ours::{Dedup, MissingKey},
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    strategy::{Strategy, ValueTree},
    test_runner::TestCaseError,
};

use crate::{
    base,
    client::{Event, Model},
    draft::Draft,
    drafts::{drafts, make_valid, runner},
    faults::IN_TIME,
    modelled, mutants, predict,
    totals::{Certain, arrives_beside_the_next_attempt, certain, totals},
};

/// The plans that are compared.
const PLANS: u32 = 8_000;
/// Each of the things that such plans can have is had by at least this many that are certain.
const PLANS_EACH_MIN: u64 = 20;
/// What a service needs at the most to begin with a booking, and what is left of its time at the least.
const SHORT_MS: u64 = 50;
/// What a service needs at the most to start.
const START_MS: u64 = 1_000;

/// Random drafts in which at least one fault kills.
fn killing_drafts() -> impl Strategy<Value = Draft> {
    let kills = vec(kill(), 1..=3);
    let processing = prop_oneof![1 => Just(0_u64), 1 => Just(149), 3 => Just(150), 3 => Just(700)];
    let timeout = prop_oneof![1 => Just(1_900_u64), 1 => Just(2_600), 6 => Just(10_000)];
    let in_flight = prop_oneof![8 => Just(1_usize), 1 => Just(4)];
    (drafts(), kills, processing, timeout, in_flight, 0..=8_u8).prop_map(
        |(draft, kills, processing_ms, timeout_ms, concurrency, rare)| {
            let mut draft = Draft { processing_ms, timeout_ms, concurrency, replicas: 1, key_ttl_ms: None, ..draft };
            // What depends on timing anyway is rare.
            if rare > 0 {
                draft.hedge = 1;
                draft.faults.retain(|fault| fault.delay.is_none());
                draft.faults.iter_mut().for_each(calm);
            }
            if rare > 1 && draft.dedup == Dedup::AckThenApply {
                draft.dedup = Dedup::ApplyThenKey;
            }
            draft.faults.truncate(2);
            draft.faults.extend(kills);
            make_valid(&mut draft);
            draft
        },
    )
}

/// A reset after which nothing of the request goes on.
fn calm(fault: &mut FaultSpec) {
    if let Some(Reset { at: at @ Point::AfterRequest }) = &mut fault.reset {
        *at = Point::BeforeResponse;
    }
}

fn kill() -> impl Strategy<Value = FaultSpec> {
    let probability = prop_oneof![1 => Just(0.0), 1 => Just(1.0), 8 => 0.05..0.5_f64];
    let after = select(vec![49_u64, 50, 50, 50, 325, 326]);
    let after = prop_oneof![1 => option::of(after.clone()), 1 => after.prop_map(Some)];
    let at = prop_oneof![2 => select(IN_TIME.to_vec()), 1 => Just(Point::AfterRequest)];
    (probability, at, after, option::weighted(0.4, vec(1..=4_i32, 1..=3))).prop_map(
        |(probability, at, after, attempts)| {
            let kill = Kill { at, after: after.map(DurationText::from_ms) };
            FaultSpec {
                name: String::new(),
                probability,
                reset: None,
                delay: None,
                kill: Some(kill),
                attempts,
                payments: None,
            }
        },
    )
}

/// Which totals the plan alone decides, by what semantics.md says of kills.
fn certain_with_kills(draft: &Draft) -> Certain {
    let active = || draft.faults.iter().filter(|fault| fault.probability > 0.0);
    let is_late = |fault: &FaultSpec| {
        let lasts = fault.delay.filter(|delay| delay.at != Point::AfterResponse).map(|delay| delay.lasts.ms());
        lasts.is_some_and(|ms| (ms + draft.processing_ms) * 2 > draft.timeout_ms && ms < 2 * draft.timeout_ms)
    };
    let is_slow = draft.processing_ms > 0 && 2 * draft.processing_ms >= draft.timeout_ms;
    if is_slow || active().any(is_late) {
        return Certain::No;
    }
    let kills: Vec<Kill> = active().filter_map(|fault| fault.kill).collect();
    if kills.is_empty() {
        return certain(draft);
    }
    let after_ms = |kill: &Kill| kill.after.map_or(0, DurationText::ms);
    let somebody_else_is_there = draft.concurrency > 1
        || draft.hedge > 1
        || draft.faults.iter().any(|fault| arrives_beside_the_next_attempt(fault, draft.timeout_ms));
    let may_give_up = kills.iter().any(|kill| draft.timeout_ms < 2 * (after_ms(kill) + START_MS));
    let is_counted_later = draft.dedup == Dedup::AckThenApply;
    // Of payments that are asked for again at the end, others have made the service forget the keys.
    let forgets = draft.dedup == Dedup::Memory && draft.key != KeyPolicy::None && draft.recovery > 0;
    let has_two_steps =
        matches!(draft.dedup, Dedup::KeyThenApply | Dedup::ApplyThenKey) && draft.key != KeyPolicy::None;
    let falls_beside = kills.iter().filter(|kill| kill.at == Point::AfterRequest).any(|kill| {
        let in_time = draft.processing_ms >= 2 * after_ms(kill) + SHORT_MS;
        !in_time || (has_two_steps && after_ms(kill) < SHORT_MS)
    });
    let is_open = somebody_else_is_there || may_give_up || is_counted_later || forgets || falls_beside;
    if is_open { Certain::No } else { certain(draft) }
}

/// How many certain plans had something.
#[derive(Default)]
struct Reached(BTreeMap<String, u64>);

impl Reached {
    fn note(&mut self, what: String, is_reached: bool) {
        *self.0.entry(what).or_default() += u64::from(is_reached);
    }
}

#[test]
fn the_prediction_of_kills_agrees_with_the_model_on_random_plans() {
    let (base, reached) = (base(), RefCell::new(Reached::default()));
    let compared = runner(PLANS).run(&killing_drafts(), |draft| {
        let (plan, certain) = (draft.plan(&base), certain_with_kills(&draft));
        assert_eq!(spec::check(&draft.faults, "faults"), [], "the draft is valid");
        let exact = match (depends_on_timing(&plan), repeats_are_exact(&plan)) {
            (Some(_), true | false) => Certain::No,
            (None, false) => Certain::AllButRepeats,
            (None, true) => Certain::All,
        };
        let mut reached = reached.borrow_mut();
        reached.note(format!("{certain:?} is certain"), true);
        if exact != certain {
            return Err(TestCaseError::fail(format!("{exact:?} is said to be exact, and {certain:?} is certain")));
        }
        if certain == Certain::No {
            return Ok(());
        }
        let predicted = predict(&plan, draft.share.clone());
        let model = Model { draft: &draft, order: IN_TIME };
        let run = model.run();
        let attempts = || run.payments.iter().flat_map(|payment| &payment.attempts);
        for (index, fault) in draft.faults.iter().enumerate() {
            let Some(kill) = fault.kill else { continue };
            let has_struck = attempts().any(|attempt| attempt.has(Event::Struck(index)));
            reached.note(format!("{:?} killed at {:?}", draft.dedup, kill.at), has_struck);
        }
        let counted = totals(&draft, &run);
        let is_lost = |payment: &crate::client::Payment| {
            let is_acknowledged = payment.attempts.iter().any(crate::client::Attempt::is_acknowledged);
            is_acknowledged && run.ledger.iter().all(|row| row.payment != payment.index)
        };
        reached.note(format!("{:?} twice", draft.dedup), counted.duplicated > 0);
        reached.note(format!("{:?} acknowledged and lost", draft.dedup), run.payments.iter().any(is_lost));
        let expected = modelled(&model, &predicted, certain);
        if predicted == expected { Ok(()) } else { Err(TestCaseError::fail(format!("{predicted:#?}\n{expected:#?}"))) }
    });
    if let Err(error) = compared {
        panic!("{error}");
    }
    let reached = reached.into_inner().0;
    let missing: Vec<_> = expected_to_be_reached()
        .into_iter()
        .filter(|what| reached.get(what).is_none_or(|plans| *plans < PLANS_EACH_MIN))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "{reached:#?}");
    let lost = reached.iter().filter(|(what, plans)| what.ends_with("acknowledged and lost") && **plans > 0);
    assert_eq!(lost.map(|(what, _)| what.as_str()).collect::<Vec<_>>(), ["KeyThenApply acknowledged and lost"]);
    let uncertain = reached.iter().filter(|(what, plans)| what.starts_with("AckThenApply killed") && **plans > 0);
    assert_eq!(uncertain.count(), 0, "{reached:#?}");
}

/// What many of the plans that are certain must have.
fn expected_to_be_reached() -> Vec<String> {
    let mut expected: Vec<_> = [Certain::All, Certain::No].map(|certain| format!("{certain:?} is certain")).into();
    for dedup in Dedup::ALL.into_iter().filter(|dedup| *dedup != Dedup::AckThenApply) {
        expected.extend(IN_TIME.map(|at| format!("{dedup:?} killed at {at:?}")));
        expected.push(format!("{dedup:?} twice"));
    }
    expected.push("KeyThenApply acknowledged and lost".to_owned());
    expected
}

/// Errors about kills, by their names.
const MUTANTS: [mutants::Mutation; 9] = [
    ("a death at AfterResponse hides the response", |draft| moved(draft, Point::AfterResponse, Point::MidResponse)),
    ("a death at BeforeResponse takes the booking with it", |draft| {
        moved(draft, Point::BeforeResponse, Point::MidRequest)
    }),
    ("a request arrives that meets a death at MidRequest", |draft| {
        moved(draft, Point::MidRequest, Point::BeforeResponse)
    }),
    ("a booking that was begun is finished", |draft| moved(draft, Point::AfterRequest, Point::BeforeResponse)),
    ("a booking that was begun has not arrived", |draft| moved(draft, Point::AfterRequest, Point::BeforeRequest)),
    ("Memory remembers its keys", |draft| mutants::other_mode(draft, Dedup::Memory, Dedup::CheckThenInsert)),
    ("KeyThenApply commits key and entry together", |draft| {
        mutants::other_mode(draft, Dedup::KeyThenApply, Dedup::CheckThenInsert)
    }),
    ("ApplyThenKey commits entry and key together", |draft| {
        mutants::other_mode(draft, Dedup::ApplyThenKey, Dedup::CheckThenInsert)
    }),
    ("a kill is a reset", |draft| {
        mutants::each_fault(draft, |fault| {
            if let Some(kill) = fault.kill.take() {
                fault.reset = Some(Reset { at: kill.at });
            }
        })
    }),
];

fn moved(draft: &Draft, from: Point, to: Point) -> mutants::Mutant {
    mutants::each_fault(draft, |fault| {
        if let Some(kill) = &mut fault.kill
            && kill.at == from
        {
            kill.at = to;
        }
    })
}

#[test]
fn each_mutant_of_the_model_of_kills_disagrees_with_the_prediction() {
    let base = base();
    let mut runner = runner(0);
    let plans: Vec<_> = (0..mutants::PLANS)
        .map(|_| killing_drafts().new_tree(&mut runner).unwrap().current())
        .filter(|draft| certain_with_kills(draft) != Certain::No)
        .map(|draft| (predict(&draft.plan(&base), draft.share.clone()), draft))
        .collect();
    for (name, mutate) in MUTANTS {
        let disagreeing = plans.iter().filter(|(predicted, draft)| {
            let mutant = mutate(draft);
            let model = Model { draft: &mutant.draft, order: mutant.order };
            modelled(&model, predicted, certain_with_kills(draft)) != *predicted
        });
        let noticed = disagreeing.take(mutants::DISAGREEING_MIN).count();
        assert_eq!(noticed, mutants::DISAGREEING_MIN, "hardly anything shows that {name}");
    }
}

/// A lesson's client, whose first attempt of every payment meets a death.
fn dying(dedup: Dedup, at: Point) -> Draft {
    let kill = Kill { at, after: Some(DurationText::from_ms(SHORT_MS)) };
    let fault = FaultSpec {
        name: "killed".to_owned(),
        probability: 1.0,
        reset: None,
        delay: None,
        kill: Some(kill),
        attempts: Some(vec![1]),
        payments: None,
    };
    Draft {
        count: 10,
        share: 0..10,
        concurrency: 1,
        timeout_ms: 10_000,
        processing_ms: 150,
        connection: ConnectionPolicy::PerAttempt,
        missing_key: MissingKey::Book,
        faults: vec![fault],
        ..crate::lesson_draft(0, dedup)
    }
}

#[test]
fn the_model_has_the_documented_table_of_kills() {
    let modes = [
        Dedup::None,
        Dedup::UniqueKey,
        Dedup::Replay,
        Dedup::CheckThenInsert,
        Dedup::Memory,
        Dedup::KeyThenApply,
        Dedup::ApplyThenKey,
    ];
    let twice_and_lost = |at| {
        modes.map(|dedup| {
            let draft = dying(dedup, at);
            let counted = totals(&draft, &Model { draft: &draft, order: IN_TIME }.run());
            assert_eq!(counted.acknowledged, 10, "{dedup:?} {at:?}");
            (counted.duplicated, counted.lost)
        })
    };
    let held = (0, 0);
    assert_eq!(twice_and_lost(Point::BeforeResponse), [(10, 0), held, held, held, (10, 0), held, held]);
    assert_eq!(twice_and_lost(Point::AfterRequest), [held, held, held, held, held, (0, 10), (10, 0)]);
    assert_eq!(twice_and_lost(Point::AfterResponse), [held; 7]);
}
