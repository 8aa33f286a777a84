//! The real proxy and the real load against services that lie on purpose: each has one right verdict and one right class, and each
//! load ends in bounded time.

use std::time::Duration;

use paylab_core::{claim::Verdict, outcome::Outcome, plan::Plan};
use serde_json::{Value, json};

use crate::support::{
    plan,
    proxied::{execute, proxied, proxy},
    scripted::{self, Asked, Books, Reply, Script, response},
};

/// Twenty payments, whose first answer is lost for some.
fn spec(claim: &str, retry: Value) -> Plan {
    let mut retry = retry;
    (retry["attemptTimeout"], retry["stuckAfter"]) = (json!("300ms"), json!(3));
    retry["backoff"] = json!({"base": "1ms", "cap": "10ms"});
    let fault = json!({"name": "lost", "probability": 0.4, "reset": {"at": "BeforeResponse"}, "attempts": [1]});
    plan(json!({"claim": claim, "payments": {"count": 20}, "minExposures": 1, "faults": [fault],
        "client": {"idempotencyKey": "PerPayment", "retry": retry, "concurrency": 10}, "service": {"dedup": "UniqueKey"}}))
}

fn unlimited() -> Plan {
    spec("ExactlyOnce", json!({}))
}

/// Runs a plan against a service that follows a script.
fn run(plan: &Plan, pay: fn(&Asked, &mut Books) -> Reply, show: fn(&mut Books)) -> Outcome {
    let service = scripted::start(Script { pay, show });
    execute(&proxied(plan, service, proxy(service))).unwrap()
}

const fn as_it_is(_: &mut Books) {}

fn assert_is(outcome: &Outcome, verdict: Verdict, reason: &str) {
    assert_eq!((outcome.verdict, outcome.reason.to_string().as_str()), (verdict, reason), "{:?}", outcome.report);
}

fn convicts(reason: &str, pay: fn(&Asked, &mut Books) -> Reply) {
    assert_is(&run(&unlimited(), pay, as_it_is), Verdict::Violated, reason);
}

fn upholds(pay: fn(&Asked, &mut Books) -> Reply, show: fn(&mut Books)) {
    assert_is(&run(&unlimited(), pay, show), Verdict::Upheld, "ClaimHeld");
}

fn doubts(reason: &str, pay: fn(&Asked, &mut Books) -> Reply, show: fn(&mut Books)) {
    assert_is(&run(&unlimited(), pay, show), Verdict::Inconclusive, reason);
}

fn honest(asked: &Asked, books: &mut Books) -> Reply {
    books.book_once(asked)
}

/// Books as an honest service does, and answers this instead.
fn booked_and(asked: &Asked, books: &mut Books, reply: Reply) -> Reply {
    let _ = books.book_once(asked);
    reply
}

#[test]
fn an_honest_service_is_upheld_whatever_its_answers_look_like() {
    upholds(honest, as_it_is);
    // A head of 20 KB.
    upholds(
        |asked, books| {
            let field = format!(
                "HTTP/1.1 200 x\r\nX-Long: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "x".repeat(20_000)
            );
            booked_and(asked, books, Reply::Raw(field.into_bytes()))
        },
        as_it_is,
    );
    // 503 to what was booked, and the repeat is acknowledged.
    upholds(
        |asked, books| {
            let reply = books.book_once(asked);
            if asked.before == 0 { Reply::Status(503, "") } else { reply }
        },
        as_it_is,
    );
}

#[test]
fn answers_that_come_late_or_cut_or_twice_are_repeated_and_what_was_booked_decides() {
    // The client has given up when the answer comes.
    upholds(|asked, books| first_answer(asked, books, late()), as_it_is);
    convicts("Duplicated", |asked, books| first_answer_and_twice(asked, books, late()));
    // A body that is shorter than its length says: no fault ordered that, so it takes the place of those that did.
    doubts("FaultsFailed", |asked, books| first_answer(asked, books, cut()), as_it_is);
    convicts("Duplicated", |asked, books| first_answer_and_twice(asked, books, cut()));
    // The first of two answers is the answer to the request.
    upholds(|asked, books| booked_and(asked, books, twice([200, 400])), as_it_is);
    convicts("RejectedButBooked", |asked, books| booked_and(asked, books, twice([400, 200])));
    convicts("AcknowledgedButLost", |_, _| twice([200, 500]));
    // What comes before the final answer is none.
    upholds(
        |asked, books| {
            let early = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n".to_vec();
            booked_and(asked, books, Reply::Raw([early, response(200, b"")].concat()))
        },
        as_it_is,
    );
}

fn late() -> Reply {
    Reply::Late(Duration::from_millis(600), response(200, b""))
}

fn cut() -> Reply {
    Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc".to_vec())
}

fn twice(statuses: [u16; 2]) -> Reply {
    Reply::Raw(statuses.map(|status| response(status, b"")).concat())
}

/// Books once, and answers the first request of a payment with this.
fn first_answer(asked: &Asked, books: &mut Books, reply: Reply) -> Reply {
    let honest = books.book_once(asked);
    if asked.before == 0 { reply } else { honest }
}

/// Books every request, and answers the first one with this.
fn first_answer_and_twice(asked: &Asked, books: &mut Books, reply: Reply) -> Reply {
    let honest = booked_twice(asked, books);
    if asked.before == 0 { reply } else { honest }
}

#[test]
fn acknowledgements_without_a_booking_are_violations() {
    convicts("AcknowledgedButLost", |_, _| Reply::Status(208, ""));
    convicts("AcknowledgedButLost", |_, _| Reply::Status(200, ""));
    // Only the repeat is acknowledged, and only those of which it was lost are dropped.
    convicts("AcknowledgedButLost", |asked, books| {
        if asked.before == 0 {
            booked_and(asked, books, Reply::Status(200, ""))
        } else {
            books.entries.clear();
            books.counters.booked = 0;
            Reply::Status(208, "")
        }
    });
}

#[test]
fn bookings_beyond_what_was_asked_for_are_violations() {
    convicts("SelfDuplicated", |asked, books| {
        books.book(&asked.reference);
        booked_twice(asked, books)
    });
    convicts("Duplicated", booked_twice);
    convicts("Phantom", |asked, books| {
        if asked.before == 0 {
            books.book("somebody-else.1");
        }
        books.book_once(asked)
    });
    convicts("Mismatched", |asked, books| {
        let reply = books.book_once(asked);
        books.entries.last_mut().unwrap().amount_minor = 101;
        reply
    });
}

/// Every request is booked.
fn booked_twice(asked: &Asked, books: &mut Books) -> Reply {
    books.book(&asked.reference);
    Reply::Status(200, "")
}

#[test]
fn payments_that_are_never_settled_are_stuck_in_bounded_time() {
    convicts("Stuck", |_, _| Reply::Status(409, ""));
    convicts("Stuck", |asked, books| booked_and(asked, books, Reply::Status(409, "")));
    convicts("Stuck", |_, _| Reply::Status(503, ""));
    convicts("Stuck", |asked, books| booked_and(asked, books, Reply::Silence));
}

#[test]
fn refusals_of_what_was_booked_are_violations() {
    convicts("RejectedButBooked", |asked, books| booked_and(asked, books, Reply::Status(400, "")));
    convicts("RefusedRepeat", |asked, books| {
        let reply = books.book_once(asked);
        if asked.before == 0 { reply } else { Reply::Status(422, "") }
    });
}

#[test]
fn refusals_for_good_are_one_class_whatever_the_bound_of_attempts() {
    for retry in [json!({}), json!({"maxAttempts": 3})] {
        let outcome = run(&spec("ExactlyOnce", retry), |_, _| Reply::Status(400, "no such account"), as_it_is);
        assert_is(&outcome, Verdict::Inconclusive, "TooFewExposures");
        let sentence = paylab_present::sentence::verdict(&outcome);
        assert!(sentence.contains("400") && sentence.contains("no such account"), "{sentence}");
    }
}

#[test]
fn answers_that_are_not_understood_are_a_doubt() {
    doubts("AnswersNotUnderstood", |asked, books| booked_and(asked, books, Reply::Status(204, "")), as_it_is);
    doubts("AnswersNotUnderstood", |asked, books| booked_and(asked, books, Reply::Raw(response(302, b""))), as_it_is);
}

#[test]
fn counters_and_ledgers_that_do_not_fit_are_a_doubt() {
    doubts("LedgerFlawed", honest, |books| books.counters.booked += 5 * u64::from(!books.entries.is_empty()));
    doubts("RequestsDiffer", honest, |books| books.counters.requests = 1);
    // Restarted in mid-run: every count begins anew.
    doubts("LedgerFlawed", honest, |books| books.counters = paylab_core::witness::ledger::ServiceCounters::default());
    // Something is booked between the two readings after the drain; what is read in the end decides.
    let outcome = run(&unlimited(), honest, |books| {
        if books.readings == 3 {
            books.book("liars.0");
        }
    });
    assert_is(&outcome, Verdict::Violated, "Duplicated");
}

#[test]
fn entries_of_an_earlier_run_convict_nobody_and_those_of_this_run_end_the_load() {
    upholds(honest, |books| {
        if books.readings == 1 {
            books.book("earlier.1");
            books.book("earlier.2");
        }
    });
    let service = scripted::start(Script { pay: honest, show: as_it_is });
    let load = proxied(&unlimited(), service, proxy(service));
    assert_is(&execute(&load).unwrap(), Verdict::Upheld, "ClaimHeld");
    let again = execute(&load).unwrap_err().to_string();
    assert!(again.contains("already holds 20 entries of run liars"), "{again}");
}
