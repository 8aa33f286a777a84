//! A ledger that shows a total and no entry: what it can prove, and what it cannot.

use paylab_core::{
    claim::Verdict,
    judge::{anomaly::Anomaly, doubt::Doubt, report::LedgerSum},
    outcome::Reason,
    payment::PaymentId,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Ending, Rejection},
        history::History,
    },
};
use paylab_testbed::evidence::{Evidence, total_lesson};
use serde_json::json;

#[test]
fn a_total_upholds_or_breaks_the_claim_by_the_cent() {
    let mut evidence = Evidence::of(total_lesson(&json!({})));
    for (before, after, verdict, reason) in [
        (0, 100_000, Verdict::Upheld, Reason::ClaimHeld),
        (12_345, 112_345, Verdict::Upheld, Reason::ClaimHeld),
        (0, 145_500, Verdict::Violated, Reason::Broken(Anomaly::Surplus)),
        (0, 100_001, Verdict::Violated, Reason::Broken(Anomaly::Surplus)),
        (0, 99_999, Verdict::Violated, Reason::Broken(Anomaly::Shortfall)),
        (12_345, 100_000, Verdict::Violated, Reason::Broken(Anomaly::Shortfall)),
    ] {
        evidence.baseline.total_minor = before;
        let outcome = evidence.conclude_from_total(after);
        assert_eq!((outcome.verdict, outcome.reason), (verdict, reason), "{before} {after}");
        let total = outcome.report.total.unwrap();
        assert_eq!(total, LedgerSum { before_minor: before, after_minor: after, due_minor: 100_000, refused: 0 });
        assert_eq!((total.booked_minor(), total.excess_minor()), (after - before, after - before - 100_000));
        assert_eq!(outcome.report.booked_minor(), Some(after - before));
        // Of single payments nothing is known.
        assert_eq!((outcome.observed, outcome.report.entries(), outcome.report.lost()), (None, None, None));
        assert_eq!(outcome.exposures, Some(outcome.report.prediction.unwrap().exposures.repeats));
    }
}

#[test]
fn what_was_refused_for_good_is_not_due_and_what_was_given_up_is() {
    let mut evidence = Evidence::of(total_lesson(&json!({})));
    evidence.history = History::new(0..1000);
    let refused = PaymentId(7);
    for payment in (0..1000).map(PaymentId) {
        let (outcome, ending) = if payment == refused {
            (AttemptOutcome::Rejected(Rejection::Refused), Ending::Refused)
        } else {
            (AttemptOutcome::Acknowledged(Acknowledgement::New), Ending::Acknowledged)
        };
        evidence.history.note(payment, 1, outcome);
        evidence.history.end(payment, ending);
    }
    let total = evidence.conclude_from_total(99_900).report.total.unwrap();
    assert_eq!((total.due_minor, total.refused, total.excess_minor()), (99_900, 1, 0));
    // It was refused and booked all the same.
    assert_eq!(evidence.conclude_from_total(100_000).report.count(Anomaly::Surplus), 1);
    evidence.history.end(refused, Ending::GaveUp);
    let total = evidence.conclude_from_total(99_900).report.total.unwrap();
    assert_eq!((total.due_minor, total.refused, total.excess_minor()), (100_000, 0, -100));
}

#[test]
fn a_total_proves_nothing_where_others_may_have_paid_or_nothing_was_repeated() {
    let mut evidence = Evidence::of(total_lesson(&json!({})));
    evidence.record_footer.unattributed = 1;
    let surplus = evidence.conclude_from_total(145_500);
    assert_eq!((surplus.verdict, surplus.reason), (Verdict::Inconclusive, Reason::Doubted(Doubt::Strangers)));
    assert_eq!(
        evidence.conclude_from_total(100).reason,
        Reason::Broken(Anomaly::Shortfall),
        "strangers take no money away"
    );

    let untested = Evidence::of(total_lesson(&json!({"faults": []}))).conclude_from_total(100_000);
    assert_eq!((untested.verdict, untested.reason), (Verdict::Inconclusive, Reason::Doubted(Doubt::TooFewExposures)));

    let evidence = Evidence::of(total_lesson(&json!({})));
    let unread = evidence.conclude_from(&evidence.record(), &[]);
    assert_eq!((unread.verdict, unread.reason), (Verdict::Inconclusive, Reason::Doubted(Doubt::LedgerFlawed)));
    assert_eq!((unread.report.total, unread.report.booked_minor(), unread.exposures), (None, None, None));
}
