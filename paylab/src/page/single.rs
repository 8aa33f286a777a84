//! One payment, attempt by attempt. The client's side is what it has seen; what the proxy's record says of it is read afterwards, because
//! the client cannot know it: that is the lesson.

use hyper::Method;
use paylab_core::{
    fault::{point::Point, spec::FaultSpec},
    payment::{AttemptId, PaymentId},
    plan::Plan,
    run_id::RunId,
};
use paylab_part::contract::{ATTEMPT_HEADER, KEY_HEADER, PAYMENTS_PATH, REFERENCE_HEADER, Rules};
use serde::Serialize;
use serde_json::json;

use super::{
    experiment::Key,
    parts::{Asked, PartError, Parts, Recorded, ask},
};

/// A payment that is tried until it is acknowledged is given up after so many attempts.
const ATTEMPTS_MAX: u32 = 200;
/// The rules outlive the payment by at most this long.
const LEASE_MS: u64 = 60_000;

/// What happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Story {
    pub(super) payment: u64,
    pub(super) attempts: Vec<Attempt>,
    /// What the client believes.
    pub(super) is_acknowledged: bool,
    /// By how much the ledger's total has risen.
    pub(super) risen_minor: i64,
}

/// What happened to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    pub(super) fate: Fate,
    /// What the service answered.
    pub(super) status: Option<u16>,
}

/// What became of an attempt on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Fate {
    RequestLost,
    AnswerLost,
    Answered,
    /// It broke, and no fault says so.
    Broken,
}

/// Pays one payment.
///
/// # Errors
/// A part cannot be reached.
pub(super) async fn pay(parts: &Parts, plan: &Plan, run: &RunId, payment: u64, key: Key) -> Result<Story, PartError> {
    let rules = Rules {
        run_id: run.to_string(),
        seed: plan.seed(),
        faults: plan.faults().iter().map(FaultSpec::from).collect(),
        last_struck: plan.client.last_struck(),
        lease_ms: LEASE_MS,
    };
    parts.put_rules(&rules).await?;
    let before = parts.total_minor().await?;
    let mut statuses = Vec::new();
    for number in 1..=plan.client.max_attempts.unwrap_or(ATTEMPTS_MAX) {
        let id = AttemptId { payment: PaymentId(payment), attempt: number };
        let seen = ask(attempt(parts, plan, run, id, key)).await.ok().map(|answer| answer.status);
        statuses.push(seen);
        // What is refused for good is not asked again.
        if seen.is_some_and(|status| status < 500 && status != 409) {
            break;
        }
    }
    let recorded = parts.recorded(payment).await?;
    let attempts = (1..).zip(&statuses).map(|(number, seen)| told(number, *seen, &recorded)).collect();
    let is_acknowledged = statuses.last().copied().flatten().is_some_and(|status| (200..300).contains(&status));
    Ok(Story { payment, attempts, is_acknowledged, risen_minor: parts.total_minor().await? - before })
}

fn attempt<'a>(parts: &Parts, plan: &Plan, run: &RunId, id: AttemptId, key: Key) -> Asked<'a> {
    let reference = run.reference(id.payment);
    let mut headers = vec![(ATTEMPT_HEADER, id.to_string())];
    if key == Key::PerPayment {
        headers.push((KEY_HEADER, reference.clone()));
    }
    headers.push((REFERENCE_HEADER, reference));
    let amount = plan.amount_of(id.attempt).to_string();
    let body = json!({"src": plan.from, "dest": plan.to, "amount": amount}).to_string();
    Asked { method: Method::POST, address: parts.experiments, path: PAYMENTS_PATH, headers, body }
}

/// What the client has seen of an attempt, and what the record says of it.
fn told(number: u32, seen: Option<u16>, recorded: &[Recorded]) -> Attempt {
    let recorded = recorded.iter().find(|line| line.attempt == number);
    let fate = match (seen, recorded.and_then(|line| line.at)) {
        (Some(_), _) => Fate::Answered,
        (None, Some(Point::BeforeRequest)) => Fate::RequestLost,
        (None, Some(Point::BeforeResponse)) => Fate::AnswerLost,
        (None, _) => Fate::Broken,
    };
    Attempt { fate, status: seen.or_else(|| recorded.and_then(|line| line.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_cannot_tell_apart_the_record_can() {
        let recorded = [
            Recorded { attempt: 1, at: Some(Point::BeforeRequest), status: None },
            Recorded { attempt: 2, at: Some(Point::BeforeResponse), status: Some(200) },
            Recorded { attempt: 3, at: None, status: Some(208) },
        ];
        let fates =
            [(1, None), (2, None), (3, Some(208)), (4, None)].map(|(number, seen)| told(number, seen, &recorded));
        let expected = [
            (Fate::RequestLost, None),
            (Fate::AnswerLost, Some(200)),
            (Fate::Answered, Some(208)),
            (Fate::Broken, None),
        ];
        assert_eq!(fates, expected.map(|(fate, status)| Attempt { fate, status }));
    }
}
