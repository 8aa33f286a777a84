//! The retry loop: payments in the order of the share, each tried as the plan says, every outcome noted in the history.
//! It must not know of the ledger, the record or the verdict.
//! A try that never left this machine (nothing listened, no port was left) is no attempt: the proxy has not seen it, so the faults of
//! that attempt number are still to come. It is counted in the totals, and the *same* attempt number is tried again, so that the
//! payment's row holds exactly the attempts that the proxy can have recorded.
//!
//! A payment that the service keeps asking to try again is set aside (`aside`), so that it does not hold up the others, and is asked
//! once more at the end. With `client.recovery`, a second pass follows over all that was not acknowledged.

mod aside;
mod life;
mod pace;
mod progress;
mod redelivery;
pub(crate) mod trace;

use std::cell::{Cell, OnceCell, RefCell};
use std::{net::SocketAddr, thread, time::Duration};

use futures::future::join_all;
use paylab_core::{
    client::{ATTEMPTS_MAX, ConnectionPolicy, Recovery},
    fault::point::Point,
    payment::{AttemptId, PaymentId},
    plan::Plan,
    witness::{
        attempt::{AttemptOutcome, Belief, Ending, Rejection},
        history::{History, Stop},
    },
};
use tokio::{
    net::lookup_host,
    runtime,
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub use self::progress::{Latency, Progress};
use self::{
    aside::{SetAside, UnderWay},
    life::SignsOfLife,
    pace::spacing,
    redelivery::Redeliveries,
    trace::{Trace, Tracing},
};
use crate::{
    error::Error,
    load::Load,
    shape::{Rule, Shape},
    wire::{Answer, Attempted, KeptConnection, Reuse, Wire, fields_of},
};

/// The load stops when for this long every try failed to leave this machine.
pub const UNREACHED_FOR_MAX: Duration = Duration::from_secs(10);
/// The first pause after a try that never left this machine, whatever the plan's backoff; each further pause is twice as long.
const UNREACHED_PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause after a try that never left this machine.
const UNREACHED_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Sends the payments of the load's share and returns what the client believes of each. Ends early, with the reason in the history,
/// when the plan's deadline passes, `shutdown` is cancelled, nothing answers, or a payment reaches the bound of attempts.
///
/// In an open loop (`rate`) a payment begins at its intended time, or, when `concurrency` payments are in flight, as soon as one of
/// them has ended; how late that is counts in the latency.
///
/// The load runs on a thread and a runtime of its own, so that nothing else delays it; dropping the future stops it.
///
/// # Errors
/// The proxy's name cannot be resolved, or the thread cannot be started.
pub async fn deliver(load: &Load, progress: &Progress, shutdown: &CancellationToken) -> Result<History, Error> {
    Ok(deliver_traced(load, progress, shutdown, Tracing::Off).await?.0)
}

/// The same, and notes the times of attempts if they are asked for.
pub(crate) async fn deliver_traced(
    load: &Load,
    progress: &Progress,
    shutdown: &CancellationToken,
    tracing: Tracing,
) -> Result<(History, Trace), Error> {
    let proxy = resolve(&load.proxy).await?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let delivery = Delivery::new(load.clone(), progress.clone(), proxy, tracing);
    let shutdown = shutdown.child_token();
    let _stop_when_dropped = shutdown.clone().drop_guard();
    let (done, history) = oneshot::channel();
    let work = move || {
        let history = runtime.block_on(delivery.run(&shutdown));
        // The receiver is gone when the future was dropped.
        let _ = done.send(history);
    };
    thread::Builder::new().name("load".into()).spawn(work).map_err(Error::Start)?;
    history.await.map_err(|_| Error::Crashed)
}

/// The first IPv4 address of a `HOST:PORT`, or else its first address: `localhost` has both, and on one machine the parts listen on IPv4.
pub(crate) async fn resolve(proxy: &str) -> Result<SocketAddr, Error> {
    let unresolved = |cause| Error::Address { address: proxy.to_owned(), cause };
    let addresses: Vec<_> = lookup_host(proxy).await.map_err(unresolved)?.collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.copied().ok_or_else(|| unresolved(std::io::ErrorKind::NotFound.into()))
}

/// A load that runs. One thread owns it; no borrow is held across an await.
struct Delivery {
    load: Load,
    shape: Shape,
    wire: Wire,
    progress: Progress,
    /// The times of attempts, if they are asked for.
    trace: Option<RefCell<Trace>>,
    begun: Instant,
    /// The first payment that no sender has begun.
    next: Cell<u64>,
    share_end: u64,
    stopped: OnceCell<Stop>,
    history: RefCell<History>,
    /// Since when every try has failed to leave this machine.
    unreached_since: Cell<Option<Instant>>,
    /// Since when the service has answered nothing but errors.
    life: Cell<SignsOfLife>,
    /// Payments that are asked about once more at the end.
    aside: RefCell<SetAside>,
    /// Payments that are asked for once more.
    redeliveries: RefCell<Redeliveries>,
    /// The first payment that the second pass has not looked at.
    next_recovered: Cell<u64>,
}

/// The load stops before this payment has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopped;

impl Delivery {
    fn new(load: Load, progress: Progress, proxy: SocketAddr, tracing: Tracing) -> Self {
        let share = load.share();
        progress.begin(share.end - share.start);
        Self {
            shape: Shape::new(&load),
            wire: Wire { proxy, timeout: load.plan.client.attempt_timeout, stop: CancellationToken::new() },
            progress,
            trace: match tracing {
                Tracing::Off => None,
                Tracing::UpTo(most) => Some(RefCell::new(Trace::new(share.start, most))),
            },
            begun: Instant::now(),
            next: Cell::new(share.start),
            share_end: share.end,
            stopped: OnceCell::new(),
            history: RefCell::new(History::new(share.clone())),
            unreached_since: Cell::new(None),
            life: Cell::default(),
            aside: RefCell::default(),
            redeliveries: RefCell::default(),
            next_recovered: Cell::new(share.start),
            load,
        }
    }

    async fn run(self, shutdown: &CancellationToken) -> (History, Trace) {
        let concurrency = self.plan().client.concurrency.max(1);
        let work = async {
            join_all((0..concurrency).map(|_| self.send_payments())).await;
            if let Some(recovery) = self.plan().client.recovery {
                join_all((0..concurrency).map(|_| self.recover_payments(recovery))).await;
            }
            join_all((0..concurrency).map(|_| self.redeliver_rest())).await;
        };
        let alarm = async {
            let reason = tokio::select! {
                () = shutdown.cancelled() => Stop::Signal,
                () = sleep_until(self.begun + self.plan().deadline) => Stop::Deadline,
            };
            self.stop_for(reason);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = work => {}
            () = alarm => {}
        }
        let mut history = self.history.into_inner();
        history.stopped = self.stopped.into_inner();
        if history.stopped == Some(Stop::NoLife) {
            // These would have been asked about once more, and the service has answered nothing but errors since.
            let timeout = self.load.plan.client.attempt_timeout;
            let waited = self.aside.into_inner().into_iter().filter(|aside| aside.since.elapsed() >= timeout);
            waited.for_each(|aside| history.end(aside.payment, Ending::Stuck));
        }
        (history, self.trace.map(RefCell::into_inner).unwrap_or_default())
    }

    /// One of `concurrency` senders: one payment after the other until none is left, then those that were set aside.
    async fn send_payments(&self) {
        let copies = 0..self.plan().client.hedge.max(1);
        let mut connections: Vec<_> = copies.map(|_| KeptConnection::default()).collect();
        // An error says that the load has stopped; what it has not ended stays so in the history.
        let _ = self.send_until_none_is_left(&mut connections).await;
    }

    async fn send_until_none_is_left(&self, connections: &mut [KeptConnection]) -> Result<(), Stopped> {
        loop {
            if self.aside.borrow().is_full() {
                self.ask_again(connections).await?;
            }
            self.redeliver_due(connections).await?;
            let Some((payment, intended)) = self.next_payment() else { break };
            self.pause_until(intended).await?;
            self.pay(UnderWay::new(payment, intended), connections).await?;
        }
        while self.ask_again(connections).await? {}
        Ok(())
    }

    /// Goes on with the payment that was set aside first, once the service has had the time of an attempt to end what it does with it.
    /// False: none is left.
    async fn ask_again(&self, connections: &mut [KeptConnection]) -> Result<bool, Stopped> {
        let Some(aside) = self.aside.borrow_mut().take() else { return Ok(false) };
        self.pause_until(aside.since + self.plan().client.attempt_timeout).await?;
        self.pay(UnderWay { since: Instant::now(), ..aside }, connections).await?;
        Ok(true)
    }

    /// The next payment of the share, and when it should begin.
    fn next_payment(&self) -> Option<(PaymentId, Instant)> {
        let payment = self.next.get();
        if payment >= self.share_end {
            return None;
        }
        self.next.set(payment + 1);
        let intended = match self.plan().client.rate {
            Some(rate) => self.begun + spacing(payment - self.load.share().start, rate),
            None => Instant::now(),
        };
        Some((PaymentId(payment), intended))
    }

    /// Tries one payment until it has ended or is set aside. With `hedge`, each round sends one copy on each connection, with consecutive
    /// numbers.
    async fn pay(&self, under_way: UnderWay, connections: &mut [KeptConnection]) -> Result<(), Stopped> {
        let UnderWay { payment, mut made, mut since, mut unanswered } = under_way;
        loop {
            if !self.plan().client.may_try_after(made) {
                self.end(payment, Ending::GaveUp);
                return Ok(());
            }
            if made >= ATTEMPTS_MAX {
                self.stop_for(Stop::Attempts);
                return Err(Stopped);
            }
            if made > 0 {
                let before = AttemptId { payment, attempt: made };
                self.pause(self.plan().client.pause_after(self.plan().seed(), before)).await?;
            }
            since = if made > 0 { Instant::now() } else { since };
            let first = AttemptId { payment, attempt: made + 1 };
            let outcomes = self.round(first, since, connections).await?;
            if let Some(ending) = outcomes.iter().find_map(|outcome| outcome.ending()) {
                self.end(payment, self.best_ending(payment, ending));
                self.plan_redelivery(payment);
                return Ok(());
            }
            for (attempt, outcome) in (first.attempt..).zip(&outcomes) {
                made = attempt;
                if !self.plan().hides_response(AttemptId { payment, attempt }) {
                    unanswered.count(*outcome);
                }
            }
            match unanswered.after(self.plan().client.stuck_after) {
                None => {}
                Some(ending) if unanswered.was_set_aside() => {
                    self.end(payment, ending);
                    return Ok(());
                }
                Some(_) => {
                    let unanswered = unanswered.set_aside();
                    self.aside.borrow_mut().put(UnderWay { payment, made, since: Instant::now(), unanswered });
                    return Ok(());
                }
            }
        }
    }

    /// Of several copies, one may be acknowledged and another be refused.
    fn best_ending(&self, payment: PaymentId, ending: Ending) -> Ending {
        let history = self.history.borrow();
        let is_acknowledged = history.row(payment).is_some_and(|row| row.belief == Belief::Acknowledged);
        if is_acknowledged { Ending::Acknowledged } else { ending }
    }

    fn end(&self, payment: PaymentId, ending: Ending) {
        self.history.borrow_mut().end(payment, ending);
        match ending {
            Ending::Acknowledged => self.progress.note_acknowledged(),
            Ending::Unended | Ending::Refused | Ending::GaveUp | Ending::Stuck | Ending::NotUnderstood => {}
        }
        self.progress.note_end();
    }

    /// One of `concurrency` senders of the second pass.
    async fn recover_payments(&self, recovery: Recovery) {
        let mut connection = KeptConnection::default();
        while let Some((payment, made)) = self.next_unacknowledged() {
            if self.recover(payment, made, recovery, &mut connection).await.is_err() {
                return;
            }
        }
    }

    /// The next payment that was neither acknowledged nor refused for good, and the number of its attempts.
    fn next_unacknowledged(&self) -> Option<(PaymentId, u32)> {
        let history = self.history.borrow();
        loop {
            let payment = PaymentId(self.next_recovered.get());
            let row = history.row(payment)?;
            self.next_recovered.set(payment.0 + 1);
            match row.ending {
                Ending::GaveUp | Ending::Stuck | Ending::NotUnderstood => {
                    return Some((payment, u32::from(row.attempts)));
                }
                Ending::Unended | Ending::Acknowledged | Ending::Refused => {}
            }
        }
    }

    /// The second chance of one payment.
    async fn recover(
        &self,
        payment: PaymentId,
        made: u32,
        recovery: Recovery,
        connection: &mut KeptConnection,
    ) -> Result<(), Stopped> {
        for (nth, attempt) in (0..).zip(self.plan().client.recovery_after(made)) {
            if nth > 0 {
                let before = AttemptId { payment, attempt: attempt - 1 };
                self.pause(recovery.pause_after(self.plan().seed(), before, nth)).await?;
            }
            let outcome = self.reach(AttemptId { payment, attempt }, Instant::now(), connection).await?;
            if let Some(ending) = outcome.ending() {
                self.history.borrow_mut().end(payment, ending);
                if ending == Ending::Acknowledged {
                    self.progress.note_acknowledged();
                }
                self.plan_redelivery(payment);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends one attempt on each connection, but no more than the plan allows, and waits for all of them.
    async fn round(
        &self,
        first: AttemptId,
        since: Instant,
        connections: &mut [KeptConnection],
    ) -> Result<Vec<AttemptOutcome>, Stopped> {
        let copies = (first.attempt..)
            .take_while(|attempt| self.plan().client.may_try_after(attempt - 1))
            .zip(connections)
            .map(|(attempt, kept)| self.reach(AttemptId { attempt, ..first }, since, kept));
        let ended = join_all(copies).await;
        let outcomes: Vec<_> = ended.into_iter().flatten().collect();
        let is_final = outcomes.iter().any(|outcome| outcome.ending().is_some());
        if self.wire.stop.is_cancelled() && !is_final { Err(Stopped) } else { Ok(outcomes) }
    }

    /// Makes one attempt; tries again until it reaches the proxy.
    async fn reach(&self, id: AttemptId, since: Instant, kept: &mut KeptConnection) -> Result<AttemptOutcome, Stopped> {
        let request = self.shape.encode(self.plan(), id);
        let mut pause = UNREACHED_PAUSE_MIN;
        // Bounded by UNREACHED_FOR_MAX and the plan's deadline.
        loop {
            let tried_at = Instant::now();
            let attempted = self.wire.attempt(&self.shape, &request, self.reuse(id), kept).await;
            match attempted.outcome {
                AttemptOutcome::Rejected(Rejection::Unreached) => {
                    self.note_unreached(&attempted, tried_at, Stop::Unreachable)?
                }
                AttemptOutcome::Rejected(Rejection::NoPort) => {
                    self.note_unreached(&attempted, tried_at, Stop::NoPort)?
                }
                AttemptOutcome::Rejected(Rejection::Refused)
                | AttemptOutcome::Acknowledged(_)
                | AttemptOutcome::Unknown(_) => {
                    let outcome = attempted.outcome;
                    self.note(id, attempted, since, tried_at);
                    return Ok(outcome);
                }
            }
            self.pause(pause).await?;
            pause = (pause * 2).min(UNREACHED_PAUSE_MAX);
        }
    }

    /// What to do with a connection after a response that leaves it open.
    ///
    /// The client looks at a fault here, and no outcome depends on it: a connection that the proxy is about
    /// to reset after a whole response must not carry the next attempt, which would be lost before the proxy could record it.
    fn reuse(&self, id: AttemptId) -> Reuse {
        match self.plan().client.connection {
            ConnectionPolicy::PerAttempt => Reuse::Close,
            ConnectionPolicy::KeepAlive => {
                let sampler = &self.plan().sampler;
                if sampler.point(&sampler.draw(id)) == Some(Point::AfterResponse) { Reuse::Close } else { Reuse::Keep }
            }
        }
    }

    fn note(&self, id: AttemptId, attempted: Attempted, since: Instant, tried_at: Instant) {
        let Attempted { outcome, answer, at } = attempted;
        self.unreached_since.set(None);
        let mut history = self.history.borrow_mut();
        history.note(id.payment, id.attempt, outcome);
        let status = match answer {
            None => None,
            Some(Answer::NotUnderstood(reason)) => {
                history.answers.count_not_understood(reason);
                None
            }
            Some(Answer::Whole { status, rule, identity, head, beginning }) => {
                history.answers.count_status(status);
                match rule {
                    Rule::Absent => {}
                    Rule::Matched(rule) => history.answers.count_rule(Some(rule)),
                    Rule::Unmatched => {
                        history.answers.count_rule(None);
                        if history.answers.first_without_rule.is_none() {
                            let head = self.without_secrets(fields_of(&head));
                            history.answers.keep_unmatched(status, &head, &self.without_secrets(&beginning));
                        }
                    }
                }
                if !(200..300).contains(&status) && history.answers.wants_example(status) {
                    history.answers.keep_example(status, self.without_secrets(&beginning).as_bytes());
                }
                if let Some(identity) = identity {
                    history.identify(id.payment, &identity);
                }
                Some(status)
            }
        };
        if let Some(trace) = &self.trace {
            let (start, took) =
                (tried_at.saturating_duration_since(self.begun), at.saturating_duration_since(tried_at));
            trace.borrow_mut().note(id, start, took, outcome, status);
        }
        self.progress.note_attempt(outcome, at.saturating_duration_since(since));
        let life = self.life.get().after(outcome, status, at, || self.plan().hides_response(id));
        self.life.set(life);
        if life.is_over(at) {
            self.stop_for(Stop::NoLife);
        }
    }

    /// A text of the service's, without the secrets that it may repeat.
    fn without_secrets(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        self.load.contract.as_ref().map_or_else(|| text.to_string(), |contract| contract.secrets().redact(&text))
    }

    /// Counts a try that never left this machine; when all tries were so for too long, the load stops.
    fn note_unreached(&self, attempted: &Attempted, tried_at: Instant, reason: Stop) -> Result<(), Stopped> {
        if self.wire.stop.is_cancelled() {
            return Err(Stopped);
        }
        self.history.borrow_mut().attempts.count(attempted.outcome);
        self.progress.note_unreached();
        let since = self.unreached_since.get().unwrap_or(tried_at);
        self.unreached_since.set(Some(since));
        if attempted.at.saturating_duration_since(since) < UNREACHED_FOR_MAX {
            return Ok(());
        }
        self.stop_for(reason);
        Err(Stopped)
    }

    /// Ends the load; the first reason counts.
    fn stop_for(&self, reason: Stop) {
        self.stopped.get_or_init(|| reason);
        self.wire.stop.cancel();
    }

    async fn pause(&self, length: Duration) -> Result<(), Stopped> {
        if length.is_zero() {
            return Ok(());
        }
        self.wire.stop.run_until_cancelled(sleep(length)).await.ok_or(Stopped)
    }

    async fn pause_until(&self, moment: Instant) -> Result<(), Stopped> {
        self.pause(moment.saturating_duration_since(Instant::now())).await
    }

    const fn plan(&self) -> &Plan {
        &self.load.plan
    }
}
