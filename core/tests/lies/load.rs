//! Lies of the load, and of others who send: what the client says it has done, and who else has paid.

use paylab_core::{
    judge::{
        anomaly::Anomaly::AcknowledgedButLost,
        doubt::Doubt::{
            AnswersNotUnderstood, AttemptsDiffer, LoadIncomplete, LoadStopped, OtherSender, PortShortage,
            RequestsDiffer, Strangers,
        },
    },
    outcome::Reason::{Broken, ClaimHeld, Doubted},
    payment::PaymentId,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Ending, Rejection, Uncertainty},
        history::Stop,
    },
};

use crate::{
    Lie,
    plans::{ONCE, TWICE, at_least, once, safe, thrice},
    story::Story,
};

const ACKNOWLEDGED: AttemptOutcome = AttemptOutcome::Acknowledged(Acknowledgement::New);
const GARBLED: AttemptOutcome = AttemptOutcome::Unknown(Uncertainty::Garbled);

/// A second load with the same run id sends every first request again, and a naive service books it.
fn run_twice(story: &mut Story) {
    (0..story.evidence.plan.count).for_each(|payment| {
        story.send_again(payment);
        story.book(payment);
    });
}

/// Somebody pays behind the proxy.
fn pay_behind(story: &mut Story) {
    story.evidence.service_requests += 1;
    story.book(ONCE);
}

/// Somebody pays through the proxy, without the header that says which payment it is.
fn pay_as_stranger(story: &mut Story) {
    story.evidence.record_footer.unattributed += 1;
    story.evidence.record_footer.connections += 1;
    pay_behind(story);
}

pub(crate) static LIES: &[Lie] = &[
    // Who else has paid.
    ("a second load with the same run id", safe, run_twice, Doubted(OtherSender)),
    ("a second load with the same run id at least once", at_least, run_twice, Doubted(OtherSender)),
    (
        "a second sender repeats one payment, which is booked",
        safe,
        |it| {
            it.send_again(ONCE);
            it.book(ONCE);
        },
        Doubted(OtherSender),
    ),
    ("a second sender repeats one payment, which is not booked", safe, |it| it.send_again(ONCE), Doubted(OtherSender)),
    ("a sender behind the proxy", safe, pay_behind, Doubted(RequestsDiffer)),
    ("a sender behind the proxy at most once", once, pay_behind, Doubted(RequestsDiffer)),
    ("a stranger through the proxy", safe, pay_as_stranger, Doubted(Strangers)),
    (
        "a stranger's own payment through the proxy",
        thrice,
        |it| {
            it.evidence.record_footer.unattributed += 1;
            it.evidence.record_footer.connections += 1;
            it.evidence.service_requests += 1;
            it.book_as(None);
        },
        Doubted(Strangers),
    ),
    // What the load says.
    (
        "one attempt more than the record has",
        safe,
        |it| it.evidence.history.note(PaymentId(TWICE), 3, ACKNOWLEDGED),
        Doubted(AttemptsDiffer),
    ),
    (
        "one attempt fewer than the record has",
        safe,
        |it| it.remember_of(TWICE, &[ACKNOWLEDGED], Ending::Acknowledged),
        Doubted(OtherSender),
    ),
    (
        "a payment is not ended",
        safe,
        |it| it.evidence.history.end(PaymentId(ONCE), Ending::Unended),
        Doubted(LoadIncomplete),
    ),
    (
        "the answers are no HTTP",
        safe,
        |it| it.remember_of(ONCE, &[GARBLED], Ending::NotUnderstood),
        Doubted(AnswersNotUnderstood),
    ),
    ("the load was told to stop", safe, |it| it.evidence.history.stopped = Some(Stop::Signal), Doubted(LoadStopped)),
    (
        "the load met its deadline",
        at_least,
        |it| it.evidence.history.stopped = Some(Stop::Deadline),
        Doubted(LoadStopped),
    ),
    (
        "the load was answered nothing but errors",
        once,
        |it| it.evidence.history.stopped = Some(Stop::NoLife),
        Doubted(LoadStopped),
    ),
    (
        "the load was told to stop, and a payment is lost",
        safe,
        |it| {
            it.evidence.history.stopped = Some(Stop::Signal);
            it.unbook(ONCE);
        },
        Broken(AcknowledgedButLost),
    ),
    (
        "the machine had no port left",
        safe,
        |it| it.evidence.history.attempts.count(AttemptOutcome::Rejected(Rejection::NoPort)),
        Doubted(PortShortage),
    ),
    (
        "the proxy was not there at first",
        safe,
        |it| it.evidence.history.attempts.count(AttemptOutcome::Rejected(Rejection::Unreached)),
        ClaimHeld,
    ),
];
