//! What is expected over all seeds.

use std::time::{Duration, Instant};

use serde_json::json;

use paylab_core::{
    fault::{
        effect::Effect,
        point::Point,
        reset::Reset,
        sampler::FaultSampler,
        spec::{FAULTS_MAX, FaultSpec},
    },
    plan::Plan,
    theory::{Distributions, Estimate, Theory},
};
use paylab_testbed::evidence::lesson;

fn theory(most: i32) -> Theory {
    Theory::of(&lesson(&json!({"client": {"retry": {"maxAttempts": most}}}))).unwrap()
}

fn shown(estimate: Estimate) -> String {
    format!("{:.1} {}..{}", estimate.mean, estimate.low, estimate.high)
}

#[test]
fn unlimited_retries_have_the_documented_numbers() {
    let Theory { attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats } = theory(0);
    let all = [attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats].map(shown);
    expect_test::expect![[r#"
        2040.8 1952..2133
        1428.6 1381..1478
        1000.0 1000..1000
        0.0 0..0
        300.0 272..329
        0.0 0..0
        0.0 0..0"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn one_try_and_three_tries_have_the_documented_numbers() {
    let one = theory(1);
    let all = [one.attempts, one.entries, one.acknowledged, one.lost, one.duplicated, one.booked_unknown].map(shown);
    expect_test::expect![[r#"
        1000.0 1000..1000
        700.0 671..728
        490.0 459..521
        300.0 272..329
        0.0 0..0
        210.0 185..236"#]]
    .assert_eq(&all.join("\n"));
    let three = theory(3);
    let means = [three.attempts, three.lost, three.booked_unknown, three.duplicated]
        .map(|estimate| format!("{:.1}", estimate.mean));
    assert_eq!(means, ["1770.1", "27.0", "105.7", "235.2"]);
}

#[test]
fn a_dedup_that_holds_books_each_payment_once_and_repeats_are_acknowledged() {
    let changes = json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
    let theory = Theory::of(&lesson(&changes)).unwrap();
    let all = [theory.entries, theory.duplicated, theory.repeats].map(shown);
    assert_eq!(all, ["1000.0 1000..1000", "0.0 0..0", "300.0 272..329"]);
}

#[test]
fn recovery_acknowledges_all_and_pays_again_what_had_been_booked() {
    let [one, three] = [1, 3].map(|most| {
        let client =
            json!({"retry": {"maxAttempts": most}, "recovery": {"attempts": 2}, "idempotencyKey": "PerPayment"});
        ["None", "UniqueKey"].map(|dedup| {
            let theory = Theory::of(&lesson(&json!({"client": client, "service": {"dedup": dedup}}))).unwrap();
            let Theory { attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats } = theory;
            [attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats]
                .map(|estimate| format!("{:.1}", estimate.mean))
        })
    });
    // attempts, entries, acknowledged, lost, duplicated, booked unknown, repeats
    assert_eq!(one[0], ["1510.0", "1210.0", "1000.0", "0.0", "210.0", "0.0", "0.0"]);
    assert_eq!(one[1], ["1510.0", "1000.0", "1000.0", "0.0", "0.0", "0.0", "210.0"]);
    assert_eq!(three[0], ["1902.8", "1371.7", "1000.0", "0.0", "291.9", "0.0", "0.0"]);
    assert_eq!(three[1], ["1902.8", "1000.0", "1000.0", "0.0", "0.0", "0.0", "291.9"]);
}

#[test]
fn there_is_no_theory_where_there_is_no_closed_form() {
    for changes in [
        json!({"client": {"hedge": 2}}),
        json!({"client": {"bodyDrift": "Amount"}}),
        json!({"faults": [{"name": "first", "probability": 1.0, "reset": {"at": "Connect"}, "attempts": [1]}]}),
    ] {
        assert_eq!(Theory::of(&lesson(&changes)), None, "{changes}");
    }
}

#[test]
fn without_faults_everything_is_certain() {
    let theory = Theory::of(&lesson(&json!({"faults": []}))).unwrap();
    assert_eq!(
        [theory.attempts, theory.entries, theory.lost].map(shown),
        ["1000.0 1000..1000", "1000.0 1000..1000", "0.0 0..0"]
    );
}

/// The lesson with other faults, which lose the request, the response, the request and so on, all with one probability.
fn with_faults(base: &Plan, probability: f64, faults: &[Point]) -> Plan {
    let fault = |(index, at): (usize, &Point)| {
        FaultSpec::new(format!("fault-{index}"), probability, Effect::Reset(Reset { at: *at }))
    };
    let faults: Vec<_> = faults.iter().enumerate().map(fault).collect();
    Plan { sampler: FaultSampler::new(base.seed(), &faults), ..base.clone() }
}

/// Plans with extreme probabilities, counts and bounds of attempts.
fn extreme_plans() -> Vec<Plan> {
    let bases = [json!({}), json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}})];
    let faults = [
        vec![Point::BeforeRequest],
        vec![Point::BeforeResponse],
        vec![Point::BeforeRequest, Point::BeforeResponse],
        [Point::MidRequest, Point::MidResponse].repeat(FAULTS_MAX / 2),
    ];
    let mut plans = Vec::new();
    for base in bases.map(|changes| lesson(&changes)) {
        for probability in [0.0, 1e-9, 0.3, 0.999, 0.9999, 0.999_999, 1.0 - 1e-12, 1.0] {
            for faults in &faults {
                let plan = with_faults(&base, probability, faults);
                for most in [Some(1), Some(2), Some(3), Some(1000), None] {
                    for count in [1, 1000, 100_000_000] {
                        let mut plan = Plan { count, ..plan.clone() };
                        plan.client.max_attempts = most;
                        plans.push(plan);
                    }
                }
            }
        }
    }
    plans
}

#[test]
fn extreme_plans_have_finite_and_ordered_estimates_within_a_short_time() {
    let (plans, begun) = (extreme_plans(), Instant::now());
    for plan in &plans {
        let theory = Theory::of(plan).unwrap();
        let Theory { attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats } = theory;
        for estimate in [attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats] {
            let (low, high) = (estimate.low as f64, estimate.high as f64);
            assert!(low <= high && low - 1.0 <= estimate.mean && estimate.mean <= high + 1.0, "{plan:?}: {theory:?}");
        }
        for part in [acknowledged, lost, duplicated, booked_unknown, repeats] {
            assert!(part.high <= plan.count, "{plan:?}: {theory:?}");
        }
        assert!(attempts.low >= plan.count && entries.high <= attempts.high, "{plan:?}: {theory:?}");
    }
    // In a debug build it takes about a second; the rest is for slow machines.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?} for {} plans", begun.elapsed(), plans.len());
}

#[test]
fn unlimited_retries_are_bounded_where_success_is_rare() {
    let mut plan = with_faults(&lesson(&json!({})), 1.0 - 1e-12, &[Point::BeforeRequest]);
    plan.count = 10;
    let theory = Theory::of(&plan).unwrap();
    let all = [theory.attempts, theory.entries, theory.acknowledged, theory.lost].map(shown);
    assert_eq!(all, ["100000.0 99996..100000", "0.0 0..0", "0.0 0..0", "10.0 10..10"]);
}

#[test]
fn intervals_of_few_payments_are_those_of_the_distribution() {
    let mut plan = with_faults(&lesson(&json!({})), 0.5, &[Point::BeforeRequest]);
    plan.count = 1;
    // P(attempts <= k) = 1 - 2^-k: 97.5 % lie within 6.
    let one = Theory::of(&plan).unwrap();
    assert_eq!([one.attempts, one.entries].map(shown), ["2.0 1..6", "1.0 1..1"]);
    plan.count = 4;
    plan.client.max_attempts = Some(1);
    // 1, 4, 6, 4, 1 of 16: more than 2.5 % have none, more than 2.5 % all.
    assert_eq!(shown(Theory::of(&plan).unwrap().lost), "2.0 0..4");
    // Binomial(20, 0.9): 1.1 % have 14 or less, 4.3 % have 15 or less; 12.2 % have 20.
    let mut plan = with_faults(&lesson(&json!({})), 0.9, &[Point::BeforeRequest]);
    plan.count = 20;
    plan.client.max_attempts = Some(1);
    assert_eq!(
        [Theory::of(&plan).unwrap().lost, Theory::of(&plan).unwrap().entries].map(shown),
        ["18.0 15..20", "2.0 0..5"]
    );
}

#[test]
fn distributions_have_the_means_of_the_theory() {
    let safe = json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}});
    let recovery = json!({"client": {"retry": {"maxAttempts": 2}, "recovery": {"attempts": 1}}});
    let once = json!({"client": {"retry": {"maxAttempts": 1}}});
    for changes in [json!({}), safe, recovery, once] {
        let plan = lesson(&changes);
        let (theory, spread) = (Theory::of(&plan).unwrap(), Distributions::of(&plan).unwrap());
        for (payments, estimate) in [(spread.attempts, theory.attempts), (spread.entries, theory.entries)] {
            let mean: f64 = (0..).zip(&payments).map(|(number, payments)| f64::from(number) * payments).sum();
            let all: f64 = payments.iter().sum();
            assert!((all - 1000.0).abs() < 1e-6, "{changes}: {all}");
            assert!((mean - estimate.mean).abs() < 1e-3, "{changes}: {mean} and {}", estimate.mean);
        }
    }
}
