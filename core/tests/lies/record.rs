//! Lies of the proxy: what it has done, what it says it has done, and how it shows its record.

use paylab_core::{
    fault::point::Point,
    judge::{
        anomaly::Anomaly::{Duplicated, Lost},
        doubt::Doubt::{
            AttemptsDiffer, CoinsDiffer, ConnectionsDiffer, FaultSilent, FaultsFailed, Lapsed, OtherSender,
            RecordFlawed, Strangers, TooFewExposures, UnintendedResets, Unrecorded,
        },
    },
    outcome::Reason::{Broken, Doubted},
    witness::{
        attempt::Ending,
        record::{Coin, End, RecordFooter, RecordLine},
    },
};

use crate::{
    Lie,
    plans::{ONCE, TWICE, at_least, deaf, demanding, given_up, naive, once, refusing, replicated, safe, slow, twofold},
    story::Story,
};

fn first_of(story: &mut Story, payment: u64) -> &mut RecordLine {
    story.requests_of(payment).next().expect("it was sent")
}

fn footer(story: &mut Story) -> &mut RecordFooter {
    &mut story.evidence.record_footer
}

/// The record and the load agree that there was never a second attempt.
fn hide_second_attempts(story: &mut Story) {
    story.evidence.requests.retain(|request| request.attempt == 1);
    let requests = story.evidence.requests.len() as u64;
    (story.evidence.record_footer.connections, story.evidence.service_requests) = (requests, requests);
    let mut courses = story.courses();
    for (outcomes, ending) in courses.iter_mut().filter(|(outcomes, _)| outcomes.len() > 1) {
        outcomes.truncate(1);
        *ending = Ending::GaveUp;
    }
    story.remember(&courses);
}

pub(crate) static LIES: &[Lie] = &[
    // Requests.
    ("a request is hidden", safe, |it| drop(it.evidence.requests.remove(5)), Doubted(AttemptsDiffer)),
    ("all requests are hidden", safe, |it| it.evidence.requests.clear(), Doubted(AttemptsDiffer)),
    (
        "a request is there twice",
        safe,
        |it| it.evidence.requests.insert(5, it.evidence.requests[5].clone()),
        Doubted(OtherSender),
    ),
    ("a request is told of another payment", safe, |it| first_of(it, ONCE).payment = TWICE, Doubted(OtherSender)),
    ("a request is told of no payment", safe, |it| first_of(it, ONCE).attributed = false, Doubted(AttemptsDiffer)),
    (
        "two payments swap their requests",
        safe,
        |it| {
            it.requests_of(ONCE).for_each(|request| request.payment = u64::MAX);
            it.requests_of(TWICE).for_each(|request| request.payment = ONCE);
            it.requests_of(u64::MAX).for_each(|request| request.payment = TWICE);
        },
        Doubted(OtherSender),
    ),
    ("a request is told with another number", safe, |it| first_of(it, TWICE).attempt = 9, Doubted(CoinsDiffer)),
    (
        "a request that arrived is told to be lost",
        safe,
        |it| first_of(it, ONCE).forwarded_whole = false,
        Doubted(CoinsDiffer),
    ),
    // The random lies have found this one: nothing else counts the requests of replicas.
    (
        "a request that arrived is told to be lost, and replicas do not count",
        replicated,
        |it| first_of(it, ONCE).forwarded_whole = false,
        Doubted(CoinsDiffer),
    ),
    (
        "a lost request is told to have arrived",
        safe,
        |it| {
            let lost = it.first_struck(Point::BeforeRequest);
            first_of(it, lost).forwarded_whole = true;
        },
        Doubted(CoinsDiffer),
    ),
    // Fates.
    ("another coin", safe, |it| first_of(it, ONCE).coins[0] = Coin(0), Doubted(CoinsDiffer)),
    ("no coins", safe, |it| first_of(it, ONCE).coins.clear(), Doubted(CoinsDiffer)),
    ("one coin too many", safe, |it| first_of(it, ONCE).coins.push(Coin(1)), Doubted(CoinsDiffer)),
    ("the fault is not told", safe, |it| first_of(it, TWICE).fault = None, Doubted(CoinsDiffer)),
    ("another fault", safe, |it| first_of(it, TWICE).fault = Some("request-lost".to_owned()), Doubted(CoinsDiffer)),
    ("another point", safe, |it| first_of(it, TWICE).at = Some(Point::AfterResponse), Doubted(CoinsDiffer)),
    (
        "a fault that nobody ordered",
        safe,
        |it| first_of(it, ONCE).fault = Some("mine".to_owned()),
        Doubted(CoinsDiffer),
    ),
    ("the reset failed", safe, |it| first_of(it, TWICE).rst_client_ok = Some(false), Doubted(FaultsFailed)),
    ("the reset was not tried", safe, |it| first_of(it, TWICE).rst_client_ok = None, Doubted(FaultsFailed)),
    ("the fault is still intended", safe, |it| first_of(it, TWICE).end = End::Intended, Doubted(FaultsFailed)),
    (
        "the answer was relayed in spite of the fault",
        safe,
        |it| first_of(it, TWICE).end = End::Relayed,
        Doubted(FaultsFailed),
    ),
    (
        "not held for the whole time",
        slow,
        |it| *it.evidence.requests.iter_mut().find_map(|request| request.held_us.as_mut()).expect("one is held") -= 1,
        Doubted(FaultsFailed),
    ),
    (
        "not held at all",
        slow,
        |it| it.evidence.requests.iter_mut().for_each(|request| request.held_us = None),
        Doubted(FaultsFailed),
    ),
    ("a fault that never had its chance", twofold, hide_second_attempts, Doubted(FaultSilent)),
    // Counts.
    ("rules that had lapsed", safe, |it| footer(it).lapsed = 3, Doubted(Lapsed)),
    ("requests that could not be written down", safe, |it| footer(it).unrecorded = 1, Doubted(Unrecorded)),
    ("requests of strangers", safe, |it| footer(it).unattributed = 2, Doubted(Strangers)),
    ("resets that nobody ordered", safe, |it| footer(it).unintended_resets = 1, Doubted(UnintendedResets)),
    ("fewer connections than attempts", safe, |it| footer(it).connections -= 1, Doubted(ConnectionsDiffer)),
    ("more connections than attempts", safe, |it| footer(it).connections += 1, Doubted(ConnectionsDiffer)),
    (
        "the service left, and the proxy does not count it",
        safe,
        |it| first_of(it, ONCE).end = End::ServiceGone,
        Doubted(UnintendedResets),
    ),
    // How the record is shown.
    ("the record of another run", safe, |it| footer(it).run_id = Some("run-2".to_owned()), Doubted(RecordFlawed)),
    ("the record of no run", safe, |it| footer(it).run_id = None, Doubted(RecordFlawed)),
    ("cut before the footer", safe, |it| it.bend_record(|lines| drop(lines.pop())), Doubted(RecordFlawed)),
    ("cut in the middle", safe, |it| it.bend_record(|lines| lines.truncate(90)), Doubted(RecordFlawed)),
    ("nothing at all", safe, |it| it.bend_record(Vec::clear), Doubted(RecordFlawed)),
    ("a line is missing", safe, |it| it.bend_record(|lines| drop(lines.remove(5))), Doubted(RecordFlawed)),
    ("a line comes twice", safe, |it| it.bend_record(|lines| lines.insert(5, lines[5].clone())), Doubted(RecordFlawed)),
    ("two lines are swapped", safe, |it| it.bend_record(|lines| lines.swap(5, 6)), Doubted(RecordFlawed)),
    ("a line after the footer", safe, |it| it.bend_record(|lines| lines.push(lines[0].clone())), Doubted(RecordFlawed)),
    ("two footers", safe, |it| it.bend_record(|lines| lines.extend(lines.last().cloned())), Doubted(RecordFlawed)),
    ("no JSON", safe, |it| it.bend_record(|lines| lines.insert(5, b"?\n".to_vec())), Doubted(RecordFlawed)),
    // A claim that is broken, or was never put to the test.
    ("duplicates under rules that had lapsed", naive, |it| footer(it).lapsed = 3, Broken(Duplicated)),
    ("losses, and a connection too many", given_up, |it| footer(it).connections += 1, Broken(Lost)),
    ("too few repeats", demanding, |_| {}, Doubted(TooFewExposures)),
    ("nothing arrived", deaf, |_| {}, Doubted(TooFewExposures)),
    ("nothing but refusals", refusing, |_| {}, Doubted(TooFewExposures)),
    ("at most once, and a request is hidden", once, |it| drop(it.evidence.requests.remove(5)), Doubted(AttemptsDiffer)),
    ("at least once, and another coin", at_least, |it| first_of(it, ONCE).coins[0] = Coin(0), Doubted(CoinsDiffer)),
];
