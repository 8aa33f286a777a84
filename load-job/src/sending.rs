//! The retry loop: payments in the order of the share, each tried as the plan says, every outcome noted in the history.
//! It must not know of the ledger, the record or the verdict.
//!
//! A try that never left this machine (nothing listened, no port was left) is no attempt: the proxy has not seen it, so the faults of
//! that attempt number are still to come. It is counted in the totals, and the *same* attempt number is tried again, so that the
//! payment's row holds exactly the attempts that the proxy can have recorded.

mod progress;

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    ops::ControlFlow,
    thread,
    time::Duration,
};

use futures::future::join_all;
use paylab_core::{
    client::{ATTEMPTS_MAX, ConnectionPolicy},
    fault::point::Point,
    payment::{AttemptId, PaymentId},
    plan::Plan,
    witness::{
        attempt::{AttemptOutcome, Rejection},
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
use crate::{
    error::Error,
    load::Load,
    shape::Shape,
    wire::{Attempted, KeptConnection, Reuse, Wire},
};

/// The load stops when for this long every try failed to leave this machine.
pub const UNREACHED_FOR_MAX: Duration = Duration::from_secs(10);
/// The first pause after a try that never left this machine, whatever the plan's backoff; each further pause is twice as long.
const UNREACHED_PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause after a try that never left this machine.
const UNREACHED_PAUSE_MAX: Duration = Duration::from_millis(100);
/// The longest time by which `rate` delays a payment; every deadline is shorter.
const SPACING_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

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
    let proxy = resolve(&load.proxy).await?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let delivery = Delivery::new(load.clone(), progress.clone(), proxy);
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

/// The first IPv4 address of a `HOST:PORT`, or else its first address: `localhost` has both, and the parts listen on IPv4.
async fn resolve(proxy: &str) -> Result<SocketAddr, Error> {
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
    begun: Instant,
    /// The first payment that no sender has begun.
    next: Cell<u64>,
    share_end: u64,
    stopped: OnceCell<Stop>,
    history: RefCell<History>,
    /// Since when every try has failed to leave this machine.
    unreached_since: Cell<Option<Instant>>,
}

/// The load stops before this payment has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopped;

impl Delivery {
    fn new(load: Load, progress: Progress, proxy: SocketAddr) -> Self {
        let share = load.share();
        progress.begin(share.end - share.start);
        Self {
            shape: Shape::new(&load.plan, &load.run, &load.proxy),
            wire: Wire { proxy, timeout: load.plan.client.attempt_timeout, stop: CancellationToken::new() },
            progress,
            begun: Instant::now(),
            next: Cell::new(share.start),
            share_end: share.end,
            stopped: OnceCell::new(),
            history: RefCell::new(History::new(share)),
            unreached_since: Cell::new(None),
            load,
        }
    }

    async fn run(self, shutdown: &CancellationToken) -> History {
        let senders = join_all((0..self.plan().client.concurrency.max(1)).map(|_| self.send_payments()));
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
            _ = senders => {}
            () = alarm => {}
        }
        let mut history = self.history.into_inner();
        history.stopped = self.stopped.into_inner();
        history
    }

    /// One of `concurrency` senders: one payment after the other until none is left.
    async fn send_payments(&self) {
        let copies = 0..self.plan().client.hedge.max(1);
        let mut connections: Vec<_> = copies.map(|_| KeptConnection::default()).collect();
        while let Some((payment, intended)) = self.next_payment() {
            let ended = match self.pause_until(intended).await {
                Ok(()) => self.pay(payment, intended, &mut connections).await,
                Err(Stopped) => Err(Stopped),
            };
            match ended {
                Ok(()) => self.progress.note_end(),
                Err(Stopped) => return,
            }
        }
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

    /// Tries one payment until it has ended. With `hedge`, each round sends one copy on each connection, with consecutive numbers.
    async fn pay(
        &self,
        payment: PaymentId,
        intended: Instant,
        connections: &mut [KeptConnection],
    ) -> Result<(), Stopped> {
        let mut since = intended;
        for first in (1..=ATTEMPTS_MAX).step_by(connections.len()) {
            let before = AttemptId { payment, attempt: first - 1 };
            if !self.plan().client.may_try_after(before.attempt) {
                return Ok(());
            }
            if before.attempt > 0 {
                self.pause(self.plan().client.pause_after(self.plan().seed(), before)).await?;
                since = Instant::now();
            }
            if self.round(AttemptId { payment, attempt: first }, since, connections).await?.is_break() {
                return Ok(());
            }
        }
        self.stop_for(Stop::Attempts);
        Err(Stopped)
    }

    /// Sends one attempt on each connection, but no more than the plan allows, and waits for all of them.
    async fn round(
        &self,
        first: AttemptId,
        since: Instant,
        connections: &mut [KeptConnection],
    ) -> Result<ControlFlow<()>, Stopped> {
        let copies = (first.attempt..)
            .take_while(|attempt| self.plan().client.may_try_after(attempt - 1))
            .zip(connections)
            .map(|(attempt, kept)| self.reach(AttemptId { attempt, ..first }, since, kept));
        let outcomes = join_all(copies).await;
        if outcomes.iter().any(|outcome| matches!(outcome, Ok(AttemptOutcome::Acknowledged(_)))) {
            self.progress.note_acknowledged();
        }
        if outcomes.iter().flatten().any(|outcome| outcome.is_final()) {
            return Ok(ControlFlow::Break(()));
        }
        if self.wire.stop.is_cancelled() { Err(Stopped) } else { Ok(ControlFlow::Continue(())) }
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
                    self.note_unreached(attempted, tried_at, Stop::Unreachable)?
                }
                AttemptOutcome::Rejected(Rejection::NoPort) => {
                    self.note_unreached(attempted, tried_at, Stop::NoPort)?
                }
                AttemptOutcome::Rejected(Rejection::Refused)
                | AttemptOutcome::Acknowledged(_)
                | AttemptOutcome::Unknown(_) => {
                    self.note(id, attempted, since);
                    return Ok(attempted.outcome);
                }
            }
            self.pause(pause).await?;
            pause = (pause * 2).min(UNREACHED_PAUSE_MAX);
        }
    }

    /// What to do with a connection after a response that leaves it open.
    ///
    /// This is the only place where the client looks at a fault, and no outcome depends on it: a connection that the proxy is about
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

    fn note(&self, id: AttemptId, attempted: Attempted, since: Instant) {
        self.unreached_since.set(None);
        self.history.borrow_mut().note(id.payment, id.attempt, attempted.outcome);
        self.progress.note_attempt(attempted.outcome, attempted.at.saturating_duration_since(since));
    }

    /// Counts a try that never left this machine; when all tries were so for too long, the load stops.
    fn note_unreached(&self, attempted: Attempted, tried_at: Instant, reason: Stop) -> Result<(), Stopped> {
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

/// How long after the first payment the one with this index should begin.
#[expect(clippy::cast_precision_loss, reason = "an index is below 2^53")]
fn spacing(index: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(index as f64 / rate).map_or(SPACING_MAX, |spacing| spacing.min(SPACING_MAX))
}
