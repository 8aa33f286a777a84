//! Lies of the service: what it books, what it answers, and how it shows its ledger.

use paylab_core::{
    fault::point::Point,
    judge::{
        anomaly::Anomaly::{
            AcknowledgedButLost, AnsweredButLost, Duplicated, Lost, Mismatched, Phantom, RefusedRepeat,
            RejectedButBooked, SelfDuplicated, Stuck, UnstableReplay,
        },
        doubt::Doubt::{LedgerFlawed, RecordFlawed, RequestsDiffer, TooFewExposures},
    },
    outcome::Reason::{Broken, ClaimHeld, Doubted},
    payment::PaymentId,
    witness::{
        attempt::{AttemptOutcome, Ending, Rejection, Uncertainty},
        ledger::Baseline,
    },
};
use serde_json::json;

use crate::{
    Lie,
    plans::{
        ONCE, RECOVERED, TWICE, at_least, drifting, drifting_once, drifting_thrice, given_up, hedging, naive, once,
        recovering, safe, thrice,
    },
    story::Story,
};

const REFUSED: AttemptOutcome = AttemptOutcome::Rejected(Rejection::Refused);
const BUSY: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Retryable);
const RESET: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Reset);

/// The client asks on and on about one payment, and is told to try again.
fn stick(story: &mut Story, status: u16) {
    story.answer(ONCE, status);
    story.remember_of(ONCE, &[BUSY], Ending::Stuck);
}

/// The service refuses the repeat of a payment.
fn refuse_repeat(story: &mut Story, status: u16) {
    story.requests_of(TWICE).last().expect("a repeat").status = Some(status);
    story.remember_of(TWICE, &[RESET, REFUSED], Ending::Refused);
}

/// The ledger held three entries of another run before the load.
fn begin_late(story: &mut Story) {
    for (id, payment) in (0..).zip([0, 1, 2]) {
        let mut old = story.evidence.entry(payment, 100);
        old.id = id - 2;
        old.reference = Some(format!("run-0.{payment}"));
        story.evidence.entries.insert(usize::try_from(id).expect("small"), old);
    }
    story.evidence.baseline = Baseline { last_id: Some(0), entries: 3, booked: 3, requests: 0, total_minor: 300 };
}

pub(crate) static LIES: &[Lie] = &[
    // What is booked.
    ("an acknowledged payment is dropped", safe, |it| it.unbook(ONCE), Broken(AcknowledgedButLost)),
    ("all payments are dropped", safe, |it| it.evidence.entries.clear(), Broken(AcknowledgedButLost)),
    ("208, and nothing was ever booked", safe, |it| it.unbook(TWICE), Broken(AcknowledgedButLost)),
    ("a recovered payment is dropped", recovering, |it| it.unbook(RECOVERED), Broken(AcknowledgedButLost)),
    (
        "a 200 that was lost on its way, and nothing booked",
        once,
        |it| it.unbook(it.first_struck(Point::BeforeResponse)),
        Broken(AnsweredButLost),
    ),
    (
        "a refusal that the client has read, of which the record says 200",
        safe,
        |it| {
            it.remember_of(ONCE, &[REFUSED], Ending::Refused);
            it.unbook(ONCE);
        },
        ClaimHeld,
    ),
    ("one request is booked twice", safe, |it| it.book(ONCE), Broken(SelfDuplicated)),
    ("one request is booked twice at least once", at_least, |it| it.book(ONCE), Broken(SelfDuplicated)),
    ("a repeat is booked again", safe, |it| it.book(TWICE), Broken(Duplicated)),
    ("a repeat is booked again at most once", thrice, |it| it.book(TWICE), Broken(Duplicated)),
    ("the repeats are booked, as they may be", at_least, |_| {}, ClaimHeld),
    ("both copies are booked", hedging, |it| it.book(TWICE), Broken(Duplicated)),
    (
        "two copies are booked three times",
        hedging,
        |it| {
            it.book(TWICE);
            it.book(TWICE);
        },
        Broken(SelfDuplicated),
    ),
    ("another amount", safe, |it| it.entry_of(ONCE).amount_minor = 101, Broken(Mismatched)),
    ("a negative amount", safe, |it| it.entry_of(ONCE).amount_minor = -100, Broken(Mismatched)),
    ("another payee", safe, |it| it.entry_of(ONCE).dest = "mallory".to_owned(), Broken(Mismatched)),
    ("another payer", at_least, |it| it.entry_of(ONCE).src = "mallory".to_owned(), Broken(Mismatched)),
    (
        "the money goes the other way",
        safe,
        |it| {
            let entry = it.entry_of(ONCE);
            std::mem::swap(&mut entry.src, &mut entry.dest);
        },
        Broken(Mismatched),
    ),
    (
        "two equal payments swap their references, which changes nothing",
        safe,
        |it| {
            let [one, other] = [ONCE, ONCE + 1].map(|payment| it.evidence.run.reference(PaymentId(payment)));
            it.entry_of(ONCE).reference = Some("moved".to_owned());
            it.entry_of(ONCE + 1).reference = Some(one);
            let moved = it.evidence.entries.iter_mut().find(|entry| entry.reference.as_deref() == Some("moved"));
            moved.expect("it was moved").reference = Some(other);
        },
        ClaimHeld,
    ),
    (
        "an entry is booked under another payment",
        safe,
        |it| it.entry_of(ONCE).reference = Some(it.evidence.run.reference(PaymentId(TWICE))),
        Broken(AcknowledgedButLost),
    ),
    ("an entry of another run", safe, |it| it.book_as(Some("run-2.5")), Broken(Phantom)),
    ("an entry of a run whose name begins alike", safe, |it| it.book_as(Some("run-10.5")), Broken(Phantom)),
    ("an entry of a payment beyond the last", at_least, |it| it.book_as(Some("run-1.200")), Broken(Phantom)),
    ("an entry without a payment", safe, |it| it.book_as(Some("run-1")), Broken(Phantom)),
    ("an entry without a reference", thrice, |it| it.book_as(None), Broken(Phantom)),
    ("three entries of another run from before the load", safe, begin_late, ClaimHeld),
    (
        "the same, and one more from the time of the load",
        safe,
        |it| {
            begin_late(it);
            it.book_as(Some("run-0.9"));
        },
        Broken(Phantom),
    ),
    (
        "a payment is booked whose request never arrived",
        once,
        |it| it.book(it.first_struck(Point::BeforeRequest)),
        Broken(SelfDuplicated),
    ),
    (
        "a payment is booked that was never sent",
        safe,
        |it| {
            it.evidence.requests.retain(|request| request.payment != ONCE);
            it.evidence.record_footer.connections -= 1;
            it.evidence.service_requests -= 1;
            it.remember_of(ONCE, &[], Ending::Unended);
        },
        Broken(Phantom),
    ),
    // What is answered.
    (
        "400, and booked",
        safe,
        |it| {
            it.answer(ONCE, 400);
            it.remember_of(ONCE, &[REFUSED], Ending::Refused);
        },
        Broken(RejectedButBooked),
    ),
    ("422 to the repeat of a booked payment", safe, |it| refuse_repeat(it, 422), Broken(RefusedRepeat)),
    ("422 to a repeat at least once", at_least, |it| refuse_repeat(it, 422), Broken(RefusedRepeat)),
    ("422 to a repeat at most once, which demands no answer", thrice, |it| refuse_repeat(it, 422), ClaimHeld),
    (
        "400 to both attempts, and nothing booked: the repeat that is missing is no chance to break the claim",
        safe,
        |it| {
            it.unbook(TWICE);
            refuse_repeat(it, 400);
            it.answer(TWICE, 400);
        },
        Doubted(TooFewExposures),
    ),
    ("409 for ever, and booked", safe, |it| stick(it, 409), Broken(Stuck)),
    (
        "409 for ever, and not booked",
        safe,
        |it| {
            it.unbook(ONCE);
            stick(it, 409);
        },
        Broken(Stuck),
    ),
    (
        "503 for ever, and not booked at least once",
        at_least,
        |it| {
            it.unbook(ONCE);
            stick(it, 503);
        },
        Broken(Stuck),
    ),
    ("409 for ever at most once, which demands no answer", thrice, |it| stick(it, 409), ClaimHeld),
    (
        "500 to a request that was booked, and its repeat is acknowledged",
        safe,
        |it| it.requests_of(TWICE).next().expect("it was sent").status = Some(500),
        ClaimHeld,
    ),
    (
        "500 to a request that was booked, and the client gives up",
        once,
        |it| {
            it.answer(ONCE, 500);
            it.remember_of(ONCE, &[BUSY], Ending::GaveUp);
        },
        ClaimHeld,
    ),
    (
        "one name, then another",
        safe,
        |it| ["tr_1", "tr_2"].iter().for_each(|name| it.evidence.history.identify(PaymentId(TWICE), name)),
        Broken(UnstableReplay),
    ),
    (
        "one name, then another at least once, which allows it",
        at_least,
        |it| ["tr_1", "tr_2"].iter().for_each(|name| it.evidence.history.identify(PaymentId(TWICE), name)),
        ClaimHeld,
    ),
    // Amounts that drift.
    ("an amount far above what any attempt asked for", drifting_once, huge_unanswered, Broken(Mismatched)),
    ("a cent above what the only attempt asked for", drifting_once, cent_above, Broken(Mismatched)),
    (
        "an amount below all that was asked for",
        drifting_thrice,
        |it| it.entry_of(TWICE).amount_minor = 99,
        Broken(Mismatched),
    ),
    ("the amount of another attempt than the acknowledged one", drifting, |_| {}, Broken(Mismatched)),
    // How the ledger is shown.
    ("another sum", safe, |it| it.bend_ledger_footer(|footer| footer["total_minor"] = json!(1)), Doubted(LedgerFlawed)),
    (
        "another number of lines",
        safe,
        |it| it.bend_ledger_footer(|footer| footer["lines"] = json!(1)),
        Doubted(LedgerFlawed),
    ),
    ("another hash", safe, |it| it.bend_ledger_footer(|footer| footer["sha256"] = json!("00")), Doubted(LedgerFlawed)),
    (
        "requests in flight after the drain",
        safe,
        |it| it.bend_ledger_footer(|footer| footer["counters"]["in_flight"] = json!(7)),
        Doubted(LedgerFlawed),
    ),
    ("one entry more than was counted", safe, |it| it.evidence.uncounted_entries = 1, Doubted(LedgerFlawed)),
    (
        "five entries fewer than were counted",
        safe,
        |it| it.bend_ledger_footer(|footer| footer["counters"]["booked"] = json!(205)),
        Doubted(LedgerFlawed),
    ),
    (
        "the count of bookings begins anew",
        safe,
        |it| {
            begin_late(it);
            it.evidence.uncounted_entries = 3;
        },
        Doubted(LedgerFlawed),
    ),
    ("an entry is kept elsewhere", safe, Story::hide_last_entry, Broken(AcknowledgedButLost)),
    (
        "entries elsewhere that nobody has counted",
        safe,
        |it| it.bend_ledger_footer(|footer| footer["elsewhere"] = json!({"entries": 2, "amount_minor": 0})),
        Doubted(LedgerFlawed),
    ),
    (
        "money elsewhere",
        safe,
        |it| it.bend_ledger_footer(|footer| footer["elsewhere"] = json!({"entries": 0, "amount_minor": 100})),
        Doubted(LedgerFlawed),
    ),
    ("cut before the footer", safe, |it| it.bend_ledger(|lines| drop(lines.pop())), Doubted(LedgerFlawed)),
    ("cut in the middle", safe, |it| it.bend_ledger(|lines| lines.truncate(90)), Doubted(LedgerFlawed)),
    ("nothing at all", safe, |it| it.bend_ledger(Vec::clear), Doubted(LedgerFlawed)),
    ("a line is missing", safe, |it| it.bend_ledger(|lines| drop(lines.remove(5))), Doubted(LedgerFlawed)),
    ("a line comes twice", safe, |it| it.bend_ledger(|lines| lines.insert(5, lines[5].clone())), Doubted(LedgerFlawed)),
    ("two lines are swapped", safe, |it| it.bend_ledger(|lines| lines.swap(5, 6)), Doubted(LedgerFlawed)),
    ("a line after the footer", safe, |it| it.bend_ledger(|lines| lines.push(lines[0].clone())), Doubted(LedgerFlawed)),
    ("two footers", safe, |it| it.bend_ledger(|lines| lines.extend(lines.last().cloned())), Doubted(LedgerFlawed)),
    ("no JSON", safe, |it| it.bend_ledger(|lines| lines.insert(5, b"?\n".to_vec())), Doubted(LedgerFlawed)),
    (
        "an entry without an amount",
        safe,
        |it| it.bend_ledger(|lines| lines[5] = b"{\"entry\":{\"id\":6}}\n".to_vec()),
        Doubted(LedgerFlawed),
    ),
    ("numbers that do not ascend", safe, |it| it.evidence.entries[5].id = 3, Doubted(LedgerFlawed)),
    ("the number of another entry", safe, |it| it.evidence.entries[5].id = 5, Doubted(LedgerFlawed)),
    ("fewer requests than were forwarded", safe, |it| it.evidence.service_requests -= 1, Doubted(RequestsDiffer)),
    ("more requests than were forwarded", safe, |it| it.evidence.service_requests += 1, Doubted(RequestsDiffer)),
    ("the count of requests begins anew", safe, |it| it.evidence.service_requests = 0, Doubted(RequestsDiffer)),
    // A broken claim beside evidence that does not suffice.
    (
        "losses in a ledger that is cut",
        safe,
        |it| {
            it.unbook(ONCE);
            it.bend_ledger(|lines| drop(lines.pop()));
        },
        Doubted(LedgerFlawed),
    ),
    (
        "duplicates beside a record that is cut",
        naive,
        |it| it.bend_record(|lines| drop(lines.pop())),
        Doubted(RecordFlawed),
    ),
    (
        "losses beside a record that is cut",
        safe,
        |it| {
            it.unbook(ONCE);
            it.bend_record(|lines| drop(lines.pop()));
        },
        Broken(AcknowledgedButLost),
    ),
    ("losses beside rules that had lapsed", given_up, |it| it.evidence.record_footer.lapsed = 3, Broken(Lost)),
];

/// A payment whose only answer was lost is booked with a hundred times what was asked for.
fn huge_unanswered(story: &mut Story) {
    story.entry_of(story.first_struck(Point::BeforeResponse)).amount_minor = 100_000_100;
}

/// The same, with a cent more.
fn cent_above(story: &mut Story) {
    story.entry_of(story.first_struck(Point::BeforeResponse)).amount_minor = 101;
}
