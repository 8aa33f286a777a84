//! Gathers the evidence of the other two witnesses, once nothing is in flight any more: the proxy's record and the service's ledger. It
//! must not judge: evidence that is missing or cut is handed on as it is, with the reason, and the judge sees that it is not whole.

use std::time::Duration;

use hyper::Method;
use paylab_core::{
    targets::Target,
    witness::{
        ledger::{Baseline, LedgerTally, ServiceCounters},
        record::RecordTally,
        seal::Flaw,
    },
};
use paylab_part::contract::{COUNTERS_PATH, DRAIN_PATH, RECORD_PATH};
use tokio::{
    net::lookup_host,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

use crate::{
    check::{has_forgotten, missing_from_ledger},
    chronicle::Telling,
    control::{self, ControlError, ControlRequest, SILENCE_MAX, read_lines},
    error::Error,
    load::Load,
    source::LedgerSource,
};

/// How long a part may take to end what is in flight, beside the plan's slowest request.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);
/// How often evidence is asked for that could not be read.
const TRIES: u32 = 3;
/// The pause before evidence is asked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The shortest and the longest pause between two readings of the ledger.
const SETTLE_PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// The second reading of a longer ledger compares only what the service has counted.
const LINES_READ_TWICE_MAX: u64 = 100_000;

/// The proxy's record and the service's ledger, added up for the load's share.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) record: RecordTally,
    pub(crate) ledger: LedgerTally,
}

/// How the load went, as far as that says how long its ledger may take to settle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    /// The time that the load has taken.
    pub(crate) took: Duration,
    /// So many payments were acknowledged, so that a ledger that shows fewer may only be late.
    pub(crate) acknowledged: u64,
    /// How late the ledger of the user's own service has shown a payment.
    pub(crate) lag: Duration,
}

/// How long it is worth to wait for evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as the plan's slowest request can take.
    Full,
    /// A short time, because somebody has told the load to stop.
    Short,
}

/// What the ledger holds before the load.
///
/// # Errors
/// The ledger cannot be read, or it holds entries of this run.
pub(crate) async fn baseline(load: &Load) -> Result<Baseline, Error> {
    let mut ledger = LedgerTally::new(&load.plan, &load.run, load.share(), Baseline::default());
    let source = LedgerSource::of(load);
    let begun = Instant::now();
    while let Err(cause) = source.read(&mut ledger).await {
        // A Service's name may not resolve for a moment after its pods are ready.
        if !cause.is_unreached() || begun.elapsed() >= load.patience {
            return Err(Error::Ledger { address: load.service.clone(), cause });
        }
        debug!(error = %cause, service = load.service, "the payment service cannot be reached yet");
        ledger = LedgerTally::new(&load.plan, &load.run, load.share(), Baseline::default());
        sleep(RETRY_PAUSE).await;
    }
    if ledger.entries > 0 {
        return Err(Error::LedgerUsed { run: load.run.clone(), entries: ledger.entries });
    }
    Ok(ledger.as_baseline())
}

/// Drains the proxy, then the service, then reads both. A ledger that may still change is not read at all.
pub(crate) async fn gather(
    load: &Load,
    baseline: Baseline,
    patience: Patience,
    course: Course,
    telling: Telling,
) -> Evidence {
    let gathering = Gathering { load, baseline, patience, telling };
    let (mut record, mut ledger) = (gathering.new_record(), gathering.new_ledger());
    if let Err(error) = gathering.drain(&load.control).await {
        let cause = format!("the proxy could not be drained: {error}");
        warn!(control = load.control, "neither record nor ledger is read: {cause}");
        record.stream.reject(Flaw::Unread, cause.clone());
        ledger.stream.reject(Flaw::Unread, cause);
        return Evidence { record, ledger };
    }
    record = gathering.read_record().await;
    match gathering.drain_service().await {
        Ok(()) => ledger = gathering.read_whole_ledger(course).await,
        Err(error) => {
            let cause = format!("the payment service could not be drained: {error}");
            warn!(service = load.service, "the ledger is not read: {cause}");
            ledger.stream.reject(Flaw::Unread, cause);
        }
    }
    Evidence { record, ledger }
}

/// What every step of gathering needs.
#[derive(Debug, Clone, Copy)]
struct Gathering<'a> {
    load: &'a Load,
    baseline: Baseline,
    patience: Patience,
    telling: Telling,
}

impl Gathering<'_> {
    fn new_record(&self) -> RecordTally {
        let tally = RecordTally::new(&self.load.plan, &self.load.run, self.load.share());
        match self.telling {
            Telling::Verdict => tally,
            Telling::Chronicle | Telling::Excerpt => tally.noting_fates(),
        }
    }

    fn new_ledger(&self) -> LedgerTally {
        LedgerTally::new(&self.load.plan, &self.load.run, self.load.share(), self.baseline)
    }

    /// How long a part may take to end what is in flight.
    fn drain_time(&self) -> Duration {
        match self.patience {
            Patience::Full => DRAIN_MARGIN.saturating_add(self.load.plan.slowest_request()),
            Patience::Short => DRAIN_MARGIN,
        }
    }

    const fn tries(&self) -> u32 {
        match self.patience {
            Patience::Full => TRIES,
            Patience::Short => 1,
        }
    }

    async fn read_record(&self) -> RecordTally {
        let share = self.load.share();
        let path = format!("{RECORD_PATH}?from={}&to={}", share.start, share.end);
        let read = async || {
            let mut record = self.new_record();
            let read = read_lines(&self.load.control, &path, |line| record.take(line)).await;
            (record, read)
        };
        let (mut record, read) = self.read_again("the proxy's record", read).await;
        if let Err(error) = read {
            record.stream.reject(Flaw::Unread, error.to_string());
        }
        record
    }

    async fn read_ledger(&self) -> LedgerTally {
        let read = async || {
            let mut ledger = self.new_ledger();
            let read = LedgerSource::of(self.load).read(&mut ledger).await;
            (ledger, read)
        };
        let (mut ledger, read) = self.read_again("the ledger", read).await;
        if let Err(error) = read {
            ledger.stream.reject(Flaw::Unread, error.to_string());
        }
        ledger
    }

    /// Reads until it succeeds, each time from the beginning, or until it has been tried often enough.
    async fn read_again<T>(
        &self,
        what: &str,
        mut read: impl AsyncFnMut() -> (T, Result<(), ControlError>),
    ) -> (T, Result<(), ControlError>) {
        let mut tried = 0;
        loop {
            let (tally, result) = read().await;
            tried += 1;
            match result {
                Err(error) if tried < self.tries() => warn!(%error, tried, "{what} could not be read to its end"),
                result => return (tally, result),
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Reads the settled ledger, and asks the user's own service for proof that nothing of it was left out.
    async fn read_whole_ledger(&self, course: Course) -> LedgerTally {
        let mut ledger = self.read_settled_ledger(course).await;
        if let Some(contract) = self.load.contract.as_ref().filter(|_| self.patience == Patience::Full) {
            match missing_from_ledger(self.load, contract, course.lag).await {
                Ok(None) => {}
                Ok(Some(problem)) => ledger.stream.reject(Flaw::Unread, problem),
                Err(error) => ledger.stream.reject(Flaw::Unread, error.to_string()),
            }
        }
        ledger
    }

    /// Reads the ledger until it is the same twice and nothing is in flight, in bounded time.
    async fn read_settled_ledger(&self, course: Course) -> LedgerTally {
        let (pause, at_most) = self.settling(course);
        let until = Instant::now() + at_most;
        let mut ledger = self.read_ledger().await;
        if self.patience == Patience::Short {
            return ledger;
        }
        let mut was_forgotten = false;
        // Bounded by `until`.
        loop {
            sleep(pause).await;
            let Some(counters) = ledger.stream.footer().map(|footer| footer.counters) else { break };
            if self.counts_suffice(&ledger) && self.read_counters().await.is_ok_and(|now| now == counters) {
                break;
            }
            let again = self.read_ledger().await;
            // Of several workers, each reads while others may still pay, so that only the lines of its own share are settled.
            let is_alone = self.load.plan.client.workers == 1;
            let same_counters = again.stream.footer().is_some_and(|footer| footer.counters == counters);
            let total = |tally: &LedgerTally| tally.stream.footer().map(|footer| footer.total_minor);
            let same_lines = again.stream.seal() == ledger.stream.seal() && total(&again) == total(&ledger);
            let is_same = same_lines && (same_counters || !is_alone);
            ledger = again;
            let is_over = Instant::now() >= until;
            let is_quiet = is_same && (counters.in_flight == 0 || !is_alone);
            if is_quiet && (is_over || !self.is_late(&ledger, course)) {
                break;
            }
            // What a death has wiped out comes late never. That it is gone is said by `missing_from_ledger`.
            let is_forgotten = is_quiet && self.has_forgotten().await;
            if is_forgotten && was_forgotten {
                break;
            }
            was_forgotten = is_forgotten;
            if is_over {
                let cause = "its entries or its counters changed from one reading to the next".to_owned();
                ledger.stream.reject(Flaw::Unsettled, cause);
                break;
            }
        }
        ledger
    }

    /// Whether the service was killed, and its ledger does not show any more what it has shown before the load.
    async fn has_forgotten(&self) -> bool {
        match &self.load.contract {
            Some(contract) if self.load.plan.kills().next().is_some() => has_forgotten(self.load, contract).await,
            Some(_) | None => false,
        }
    }

    /// The pause between two readings, and how long the ledger may take to settle. A ledger that was late once may be so again.
    fn settling(&self, course: Course) -> (Duration, Duration) {
        if let Some(contract) = &self.load.contract {
            let pause = contract.settle.quiet.duration().max(course.lag * 2);
            return (pause, contract.settle.within.duration());
        }
        let [shortest, longest] = SETTLE_PAUSE;
        ((course.took / 5).clamp(shortest, longest), self.drain_time())
    }

    /// Whether a ledger that nobody drains may still get entries of payments that were acknowledged.
    fn is_late(&self, ledger: &LedgerTally, course: Course) -> bool {
        let plan = &self.load.plan;
        if plan.target.shows_total_only() {
            let risen = ledger.as_baseline().total_minor.saturating_sub(self.baseline.total_minor);
            let acknowledged = i64::try_from(course.acknowledged).unwrap_or(i64::MAX);
            return risen < plan.amount.0.saturating_mul(acknowledged);
        }
        self.load.contract.is_some() && ledger.booked_payments() < course.acknowledged
    }

    /// Whether equal counters prove that a ledger has not changed, and reading it again would take long.
    fn counts_suffice(&self, ledger: &LedgerTally) -> bool {
        let lines = ledger.stream.seal().lines;
        let in_flight = ledger.stream.footer().map_or(0, |footer| footer.counters.in_flight);
        lines > LINES_READ_TWICE_MAX && in_flight == 0 && self.load.plan.counts_all_requests()
    }

    async fn read_counters(&self) -> Result<ServiceCounters, ControlError> {
        let mut body = Vec::new();
        let request = ControlRequest {
            method: Method::GET,
            address: &self.load.service,
            path: COUNTERS_PATH,
            body: String::new(),
            silence_max: SILENCE_MAX,
        };
        control::send(request, |piece| body.extend_from_slice(piece)).await?;
        serde_json::from_slice(&body).map_err(|_| ControlError::Garbled)
    }

    /// Drains every pod of the service, where its name leads to several; they share one ledger.
    async fn drain_service(&self) -> Result<(), ControlError> {
        let Target::Ours(service) = &self.load.plan.target else { return Ok(()) };
        if service.replicas == 1 {
            return self.drain(&self.load.service).await;
        }
        for replica in lookup_host(&self.load.service).await.map_err(ControlError::Broken)? {
            self.drain(&replica.to_string()).await?;
        }
        for replica in &self.load.replicas {
            self.drain(replica).await?;
        }
        Ok(())
    }

    /// Drains a part. One that cannot be reached is asked again; one that says that it is still busy is not.
    async fn drain(&self, address: &str) -> Result<(), ControlError> {
        let timeout = self.drain_time();
        let path = format!("{DRAIN_PATH}?timeout_ms={}", timeout.as_millis());
        let silence_max = SILENCE_MAX.saturating_add(timeout);
        let mut tried = 0;
        loop {
            let request =
                ControlRequest { method: Method::GET, address, path: &path, body: String::new(), silence_max };
            let drained = control::send(request, |_| ()).await;
            tried += 1;
            match drained {
                Err(ControlError::Broken(_) | ControlError::Cut) if tried < self.tries() => sleep(RETRY_PAUSE).await,
                drained => return drained,
            }
        }
    }
}
