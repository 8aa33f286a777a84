//! The sentences of verdicts, doubts and findings.

use serde_json::json;

use paylab_core::judge::doubt::{Doubt, DoubtNote};
use paylab_present::sentence;
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson, total_lesson};

fn verdict(changes: &serde_json::Value) -> String {
    sentence::verdict(&Evidence::of(lesson(changes)).conclude())
}

#[test]
fn each_claim_is_judged_by_its_own_measure() {
    let all = [
        verdict(&json!({"claim": "AtMostOnce", "client": {"retry": {"maxAttempts": 1}}})),
        verdict(&json!({"claim": "AtLeastOnce"})),
        verdict(&json!({"claim": "AtMostOnce"})),
        verdict(&json!({"claim": "AtLeastOnce", "client": {"retry": {"maxAttempts": 1}}})),
    ];
    expect_test::expect![[r#"
        UPHELD AtMostOnce: none of 1000 payments was booked more than once; 305 were not booked (-305.00 EUR); 695 requests that arrived exposed the claim (bug rate < 0.44 % per request, 95 %).
        UPHELD AtLeastOnce: 1000 of 1000 payments were booked, 329 more than once; 624 attempts that did not arrive exposed the claim (bug rate < 0.48 % per attempt, 95 %).
        VIOLATED AtMostOnce: 329 of 1000 payments were booked more than once (+455.00 EUR); none lost; first: payment 1.
        VIOLATED AtLeastOnce: 305 of 1000 payments were given up and never booked (-305.00 EUR); first: payment 1."#]].assert_eq(&all.join("\n"));
}

#[test]
fn nothing_is_upheld_that_was_never_put_to_the_test() {
    let all = [
        verdict(&json!({"faults": []})),
        verdict(&json!({"claim": "AtLeastOnce", "faults": []})),
        verdict(
            &json!({"payments": {"count": 3}, "minExposures": 100, "client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "UniqueKey"}}),
        ),
    ];
    expect_test::expect![[r#"
        INCONCLUSIVE: the path had too few chances to break its claim: 0 repeats of a booked payment, at least 1 required (spec.minExposures); nothing is claimed.
        INCONCLUSIVE: the path had too few chances to break its claim: 0 attempts that did not arrive, at least 1 required (spec.minExposures); nothing is claimed.
        INCONCLUSIVE: the path had too few chances to break its claim: 2 repeats of a booked payment, at least 100 required (spec.minExposures); nothing is claimed."#]].assert_eq(&all.join("\n"));
}

#[test]
fn a_total_is_judged_to_the_cent_and_proves_no_rate() {
    let evidence = Evidence::of(total_lesson(&json!({})));
    let all = [100_000, 145_500, 69_500].map(|total| sentence::verdict(&evidence.conclude_from_total(total)));
    expect_test::expect![[r#"
        UPHELD ExactTotal: the ledger's total rose by 1000.00 EUR, which is each of 1000 payments once; 455 repeats exposed the claim; nothing is known of single payments.
        VIOLATED ExactTotal: the ledger's total rose by 1455.00 EUR and not by 1000.00 EUR (+455.00 EUR).
        VIOLATED ExactTotal: the ledger's total rose by 695.00 EUR and not by 1000.00 EUR (-305.00 EUR)."#]].assert_eq(&all.join("\n"));
}

#[test]
fn the_lesson_has_the_expected_sentences() {
    assert_eq!(
        sentence::verdict(&Evidence::of(safe_lesson()).conclude()),
        "UPHELD ExactlyOnce: 1000 of 1000 payments booked exactly once; 455 repeats exposed the claim (bug rate < 0.66 % per repeat, 95 %)."
    );
    assert_eq!(
        verdict(&json!({})),
        "VIOLATED ExactlyOnce: 329 of 1000 payments were booked more than once (+455.00 EUR); none lost; first: payment 1."
    );
}

#[test]
fn every_doubt_has_its_words() {
    let note = DoubtNote { count: 3, first: Some(7), detail: Some("details".to_owned()) };
    let words: Vec<_> = Doubt::ALL.into_iter().map(|doubt| sentence::doubt(doubt, &note)).collect();
    expect_test::expect![[r#"
        the lab changed while the load ran, first payment 7: details
        3 of the workers left no whole report, first payment 7: details
        the contract of the service (spec.target) does not hold, first payment 7: details
        the ledger does not show a payment that was made twice on purpose, first payment 7: details
        the load ended early, first payment 7: details
        3 payments were not tried to their end, first payment 7: details
        the answers about 3 payments were not understood, first payment 7: details
        the client found no free port or file descriptor 3 times, first payment 7: details
        the ledger is not whole, first payment 7: details
        the proxy's record is not whole, first payment 7: details
        the proxy could not record 3 requests (is its disk full?), first payment 7: details
        somebody else has sent requests of 3 payments of this run, first payment 7: details
        the proxy's record lacks attempts of 3 payments, first payment 7: details
        3 requests were not treated as the seed says, first payment 7: details
        3 faults were ordered and not carried out, first payment 7: details
        3 requests passed without faults, because the lease of the proxy's rules had expired, first payment 7: details
        3 requests were sent through the proxy that this load has not made, first payment 7: details
        3 connections were reset that no fault ordered to be reset, first payment 7: details
        the service has not counted the requests that were forwarded to it, first payment 7: details
        the numbers of connections and attempts differ, first payment 7: details
        3 faults never took effect, first payment 7: details
        the path had too few chances to break its claim, first payment 7: details
        the bug rate could not be bounded as --until-bound asks, first payment 7: details"#]]
    .assert_eq(&words.join("\n"));
}

#[test]
fn a_bug_rate_below_zero_is_never_printed() {
    let printed: Vec<_> = [1, 100, 10_000, 1_000_000, 1_000_000_000, 1_000_000_000_000_000, u64::MAX]
        .map(|exposures| sentence::percent(paylab_core::outcome::exposure::bug_rate_bound(exposures)))
        .into();
    let expected = ["95.00", "2.96", "0.030", "0.00030", "0.00000030", "0.00000000000030", "0.000000000000000017"];
    assert_eq!(printed, expected);
    assert!(printed.iter().all(|text| text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))), "{printed:?}");
}
