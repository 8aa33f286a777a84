//! The load: a payment client that retries, notes what it may believe of each payment, and at the end gives the evidence of all three
//! witnesses (its own history, the proxy's record, the service's ledger) to the judge.
//!
//! | module | what is there |
//! |---|---|
//! | [`check`] | the proof of a contract, before the load |
//! | [`sending`] | the retry loop, which makes the history |
//! | `wire` | one attempt on a socket |
//! | `shape` | how a request is encoded and what a response means, one file for each kind |
//! | `chronicle` | what happened, for people: all payments counted, some of them told attempt by attempt |
//! | `evidence` | draining, then reading record and ledger |
//! | `source` | where the ledger comes from, one file for each kind |
//! | `control` | requests to the control side of the other parts, and the lease of the rules |
//!
//! This crate must not know how the proxy breaks connections or how the service books, and it opens sockets only to those two. It needs
//! Unix.

pub mod check;
mod chronicle;
mod control;
mod error;
mod evidence;
mod job;
mod load;
pub mod options;
pub mod sending;
mod shape;
mod source;
mod wire;

use std::time::Duration;

use futures::future::LocalBoxFuture;
use paylab_core::{
    chronicle::Chronicle,
    judge::{
        doubt::{Doubt, DoubtNote},
        judge,
        report::{PaymentTotals, Report},
    },
    prediction::Prediction,
    witness::{
        attempt::Belief,
        history::{History, Stop},
    },
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    check::Proof,
    chronicle::Ended,
    evidence::{Course, Evidence, Patience},
    sending::trace::{Trace, Tracing},
};
pub use crate::{
    chronicle::Telling,
    control::ControlError,
    error::Error,
    job::{Reported, run},
    load::Load,
    sending::{Latency, Progress},
};

/// Puts the rules at the proxy, sends the payments, waits until nothing is in flight, and judges the evidence of the three witnesses.
///
/// A load that stops early and evidence that is missing are in the report, not in the error.
///
/// # Errors
/// The plan has no such worker, the proxy cannot be found or takes no rules, or the load cannot be started.
// Boxed: it is then compiled once, with this crate, and not with every binary and test that calls it.
pub fn execute<'a>(
    load: &'a Load,
    progress: &'a Progress,
    shutdown: &'a CancellationToken,
) -> LocalBoxFuture<'a, Result<Report, Error>> {
    Box::pin(async move { Ok(execute_telling(load, progress, shutdown, Telling::Verdict).await?.0) })
}

/// The same, and writes the chronicle of the run if it is asked for.
///
/// # Errors
/// As [`execute`].
pub fn execute_telling<'a>(
    load: &'a Load,
    progress: &'a Progress,
    shutdown: &'a CancellationToken,
    telling: Telling,
) -> LocalBoxFuture<'a, Result<(Report, Chronicle), Error>> {
    Box::pin(async move {
        let judged = execute_judging(load, progress, shutdown, telling).await?;
        let chronicle = judged.chronicle(load).await;
        Ok((judged.report, chronicle))
    })
}

/// A share that was judged, with what its chronicle is written from.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) report: Report,
    /// `None`: nothing was sent, or nobody asks for a chronicle.
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    history: History,
    trace: Trace,
    evidence: Evidence,
    telling: Telling,
}

impl Judged {
    const fn without_chronicle(report: Report) -> Self {
        Self { report, told: None }
    }

    /// Writes the chronicle of the share, if it was asked for.
    pub(crate) async fn chronicle(&self, load: &Load) -> Chronicle {
        match &self.told {
            None => Chronicle::default(),
            Some(Told { history, trace, evidence, telling }) => {
                chronicle::write(Ended { load, history, trace, evidence, telling: *telling }).await
            }
        }
    }
}

/// Sends and judges a share. Its chronicle can be written afterwards, so that the report is safe before it is begun.
pub(crate) fn execute_judging<'a>(
    load: &'a Load,
    progress: &'a Progress,
    shutdown: &'a CancellationToken,
    telling: Telling,
) -> LocalBoxFuture<'a, Result<Judged, Error>> {
    Box::pin(async move {
        let workers = load.plan.client.workers;
        if load.worker >= workers {
            return Err(Error::Worker { worker: load.worker, workers });
        }
        let unproven = |doubt, detail| Judged::without_chronicle(unproven(load, doubt, detail));
        let lag = match &load.contract {
            None => Duration::ZERO,
            Some(contract) => match shutdown.run_until_cancelled(check::prove(load, contract)).await.transpose()? {
                Some(Proof::Holds { lag }) => lag,
                Some(Proof::Fails(doubt, detail)) => return Ok(unproven(doubt, detail)),
                None => return Ok(unproven(Doubt::LoadStopped, Stop::Signal.text().to_owned())),
            },
        };
        let _lease = control::lease::put_rules(load).await?;
        let baseline = evidence::baseline(load).await?;
        let begun = Instant::now();
        let tracing = match telling {
            Telling::Verdict => Tracing::Off,
            Telling::Chronicle | Telling::Excerpt => Tracing::UpTo(telling.attempts_timed()),
        };
        let (history, trace) = sending::deliver_traced(load, progress, shutdown, tracing).await?;
        if let Some(stop) = history.stopped {
            info!(reason = stop.text(), "load stopped early");
        }
        let patience = if history.stopped == Some(Stop::Signal) { Patience::Short } else { Patience::Full };
        let acknowledged = history.rows().filter(|(_, row)| row.belief == Belief::Acknowledged).count() as u64;
        let course = Course { took: begun.elapsed(), acknowledged, lag };
        let evidence = evidence::gather(load, baseline, patience, course, telling).await;
        let mut report = judge(&load.plan, &history, &evidence.record, &evidence.ledger);
        if history.stopped.is_none() {
            report.prediction = predict(load).await;
        }
        let told = Told { history, trace, evidence, telling };
        Ok(Judged { report, told: (telling != Telling::Verdict).then_some(told) })
    })
}

/// The report of a load that was not sent, because nothing would be proved by it.
fn unproven(load: &Load, doubt: Doubt, detail: String) -> Report {
    let share = load.share();
    let payments = PaymentTotals { intended: share.end - share.start, ..PaymentTotals::default() };
    let (run_id, seed) = (load.run.to_string(), load.plan.seed());
    let mut report = Report { run_id, seed, payments, ..Report::default() };
    report.doubt(doubt, DoubtNote { count: 1, first: None, detail: Some(detail) });
    report
}

/// Predicts the load's share. For millions of payments that takes seconds, in which the lease must be renewed.
async fn predict(load: &Load) -> Option<Prediction> {
    let (plan, share) = (load.plan.clone(), load.share());
    tokio::task::spawn_blocking(move || Prediction::of(&plan, share)).await.ok()
}
