//! Why a payment breaks a claim, told with its own attempts: which request is guilty.

use std::collections::BTreeSet;

use paylab_core::{
    chronicle::{fate::AttemptFate, story::PaymentStory},
    judge::anomaly::Anomaly,
    money::MinorUnits,
    plan::Plan,
    witness::attempt::{AttemptOutcome, Belief},
};

use crate::{
    counting::{counted, entries},
    sequence,
};

/// The attempts without which the payment would not be wrong.
pub(crate) fn attempts(story: &PaymentStory) -> BTreeSet<u32> {
    let bookings = story.bookings();
    match story.anomalies.first() {
        // A total says nothing of one payment.
        None | Some(Anomaly::Shortfall | Anomaly::Surplus) => BTreeSet::new(),
        Some(Anomaly::Duplicated | Anomaly::SelfDuplicated) => bookings.keys().copied().collect(),
        Some(Anomaly::AcknowledgedButLost | Anomaly::AnsweredButLost) => {
            let answered = story.attempts.iter().filter(|attempt| {
                let status = attempt.proxy.as_ref().and_then(|line| line.status);
                attempt.arrived() && status.is_some_and(|status| (200..300).contains(&status))
            });
            answered.map(|attempt| attempt.attempt).collect()
        }
        Some(Anomaly::UnstableReplay | Anomaly::Mismatched) => {
            let acknowledged = story.attempts.iter().filter(|attempt| {
                attempt.client.is_some_and(|client| matches!(client.outcome, AttemptOutcome::Acknowledged(_)))
            });
            acknowledged.map(|attempt| attempt.attempt).collect()
        }
        Some(
            Anomaly::RejectedButBooked
            | Anomaly::Phantom
            | Anomaly::RefusedRepeat
            | Anomaly::Stuck
            | Anomaly::Lost
            | Anomaly::Refused,
        ) => story.attempts.last().map(|attempt| attempt.attempt).into_iter().collect(),
    }
}

/// Why the payment is wrong, in a few sentences; for a payment that is right, how it was put to the test.
pub(crate) fn tell(story: &PaymentStory, plan: &Plan) -> String {
    match story.anomalies.first() {
        Some(Anomaly::Duplicated | Anomaly::SelfDuplicated) => duplicated(story),
        Some(Anomaly::Lost) => lost(story),
        Some(Anomaly::AcknowledgedButLost) => {
            "The client was told that it is paid, and the ledger has no entry for it.".to_owned()
        }
        Some(Anomaly::AnsweredButLost) => {
            "The service answered that it is paid, the client never heard of it, and the ledger has no entry."
                .to_owned()
        }
        Some(Anomaly::RejectedButBooked) => {
            format!("Every attempt was refused, and the ledger has {} all the same.", entries(story.booked()))
        }
        Some(Anomaly::Phantom) => "The ledger has an entry of it, and no attempt was made.".to_owned(),
        Some(Anomaly::Mismatched) => mismatched(story, plan),
        Some(Anomaly::UnstableReplay) => {
            "Two acknowledgements call this payment by two names, as if there were two.".to_owned()
        }
        Some(Anomaly::RefusedRepeat) => {
            "It is in the ledger, and the repeat was refused for good: the client was told no about money that moved."
                .to_owned()
        }
        Some(Anomaly::Stuck) => format!(
            "The client asked {} and was never told what became of it; the ledger has {}.",
            times(story.attempts.len()),
            entries(story.booked())
        ),
        Some(Anomaly::Refused) => "The service refused it, and nothing was booked: both sides know.".to_owned(),
        None | Some(Anomaly::Shortfall | Anomaly::Surplus) => right(story),
    }
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn duplicated(story: &PaymentStory) -> String {
    let bookings: Vec<_> = story.bookings().into_iter().collect();
    let ([(first, entry), ..], Some((again, second))) = (bookings.as_slice(), bookings.get(1)) else {
        return format!(
            "The ledger has {} for it. Which request has booked which is not known, because the answers do not tell repeats apart.",
            entries(story.booked())
        );
    };
    let attempt = story.attempts.iter().find(|attempt| attempt.attempt == *first);
    let why = match attempt.and_then(|attempt| attempt.fate()) {
        Some(AttemptFate::AnswerLost) => "and its answer was lost",
        Some(AttemptFate::AnswerCut) => "and its answer was cut off",
        Some(AttemptFate::ResetAfterAnswer) => "and its connection was reset",
        Some(AttemptFate::Held) => "but it was held so long that the client gave up",
        Some(AttemptFate::Killed) => "and then the service was killed",
        Some(AttemptFate::Collateral) => "and the service was killed for another attempt",
        Some(AttemptFate::Broken) => "and the service broke the connection",
        Some(
            AttemptFate::RequestLost
            | AttemptFate::RequestCut
            | AttemptFate::ClientLeft
            | AttemptFate::Unended
            | AttemptFate::Passed,
        )
        | None => "and the client did not take its answer for the end",
    };
    let more = match bookings.len() - 2 {
        0 => String::new(),
        more => {
            format!(" {} followed.", if more == 1 { "1 more entry".to_owned() } else { format!("{more} more entries") })
        }
    };
    format!(
        "The service booked attempt {first} (entry {}), {why}. The client could not know, so it asked again, and the service booked attempt {again} too (entry {}).{more}",
        entry.id, second.id
    )
}

fn lost(story: &PaymentStory) -> String {
    let arrived = story.attempts.iter().filter(|attempt| attempt.arrived()).count();
    let made = counted(story.attempts.len() as u64, "attempt");
    match (story.attempts.as_slice(), arrived) {
        ([only], 0) => {
            let fate = only.fate().map_or("lost", sequence::fate);
            format!("Its only attempt never arrived ({fate}), and the client gave up. The ledger has no entry.")
        }
        (_, 0) => format!("None of its {made} arrived, and the client gave up. The ledger has no entry."),
        (_, arrived) => format!(
            "{arrived} of its {made} arrived, none was booked, and the client gave up. The ledger has no entry."
        ),
    }
}

fn mismatched(story: &PaymentStory, plan: &Plan) -> String {
    let amounts: Vec<_> =
        story.entries.iter().flatten().map(|entry| MinorUnits(entry.amount_minor).to_string()).collect();
    format!(
        "The ledger says {} {}, which is not what was acknowledged, or its accounts are not those that were asked for.",
        if amounts.is_empty() { "nothing".to_owned() } else { amounts.join(" and ") },
        plan.currency
    )
}

fn right(story: &PaymentStory) -> String {
    let arrived = story.attempts.iter().filter(|attempt| attempt.arrived()).count();
    let knows = match story.belief {
        Belief::Acknowledged => "and the client knows",
        Belief::Untried | Belief::Rejected | Belief::Unknown => "and the client does not know",
    };
    match (story.booked(), arrived) {
        (0, _) => "It was not booked, which breaks no claim.".to_owned(),
        (1, 0 | 1) => format!("It was booked once, {knows}."),
        (1, arrived) => format!("Its request arrived {}; it was booked once, {knows}.", times(arrived)),
        (booked, _) => format!("It has {}, which breaks no claim.", entries(booked)),
    }
}
