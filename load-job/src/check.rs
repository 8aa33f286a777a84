//! The proof of a contract, on a path without faults: one payment must be found in the ledger, and one that is made twice on purpose must
//! be found twice. A contract that reads nothing would make every service look safe.

mod reading;
mod rise;
mod words;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures::future::join;
use paylab_contract::{
    Contract,
    ledger::{ForeignEntry, Ledger},
    spec::ControlReference,
};
use paylab_core::{
    client::KeyPolicy,
    judge::doubt::Doubt,
    money::MinorUnits,
    payment::{AttemptId, PaymentId},
    run_id::RunId,
    witness::attempt::{AttemptOutcome, Rejection, Uncertainty},
};
use paylab_part::tls::TlsDialer;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    control::ControlError,
    error::Error,
    load::Load,
    sending::resolve,
    shape::{Contracted, Shape},
    wire::{Attempted, KeptConnection, Reuse, Wire},
};

/// The first pause between two readings of the ledger; each further pause is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The payments of a check, in their order. Each worker has its own.
const FIRST: u64 = 0;
const SECOND: u64 = 1;
const DRIFTING: u64 = 2;
const COPIED: u64 = 3;
/// The first of those that are made after a load.
const LAST: u64 = 4;
/// How many payments are made after a load at most, because a service may lose one.
const LAST_TRIES: u64 = 3;
/// How many payments a check makes at most.
const PAYMENTS: u64 = LAST + LAST_TRIES;
/// How often a payment is tried that must be acknowledged, and the pause before it is tried again.
const TRIES: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why a ledger does not show a payment that it should.
const MISSED: &str = "it does not show payments that were made before and after the load; is a page of it not read \
    (target.ledger.list.next)?";

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What a verdict needs: one payment, and the control.
    Essential,
    /// Also what is told and not judged: repeats, another amount, two copies at once.
    Full,
}

/// One step of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was paid.
    pub paid: String,
    /// What the service answered.
    pub answered: String,
    /// What the ledger shows after it.
    pub ledger: String,
    /// Whether that is as it must be.
    pub result: StepResult,
}

/// Whether a step has gone as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    /// It has.
    Holds,
    /// It says something about the service, and the contract holds either way.
    Told,
    /// It has not, which means this for a verdict. The text says what to do.
    Fails(Doubt, String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { paid, answered, ledger, result } = self;
        write!(f, "{paid}: {answered}; {ledger}")?;
        match result {
            StepResult::Fails(_, hint) => write!(f, "; {hint}"),
            StepResult::Holds | StepResult::Told => Ok(()),
        }
    }
}

/// What the essential steps prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The contract holds.
    Holds {
        /// How long after its acknowledgement a payment was found in the ledger.
        lag: Duration,
    },
    /// Nothing that a run with this contract measured would be proof. The text says why.
    Fails(Doubt, String),
}

/// What a check needs.
struct Checking<'a> {
    load: &'a Load,
    contract: &'a Contract,
    /// A run of its own, so that its payments are not the load's.
    run: RunId,
    wire: Wire,
    shape: Shape,
    request: Contracted,
    /// The longest time after which an expected entry was found.
    lag: Cell<Duration>,
    /// What a ledger that shows only a total showed before each payment.
    totals_before: RefCell<BTreeMap<u64, MinorUnits>>,
}

/// Checks the contract of a load, and tells each step when it has ended. It ends after the first step that fails.
///
/// # Errors
/// The service's name cannot be resolved.
pub async fn check(
    load: &Load,
    contract: &Arc<Contract>,
    extent: Extent,
    mut tell: impl FnMut(&Step),
) -> Result<Vec<Step>, Error> {
    let checking = Checking::new(load, contract).await?;
    Ok(checking.steps(extent, &mut tell).await)
}

/// Proves the contract before a load.
///
/// # Errors
/// The service's name cannot be resolved.
pub(crate) async fn prove(load: &Load, contract: &Arc<Contract>) -> Result<Proof, Error> {
    let checking = Checking::new(load, contract).await?;
    let steps = checking.steps(Extent::Essential, &mut |_| ()).await;
    let failed = steps.into_iter().find_map(|step| match step.result {
        StepResult::Fails(doubt, _) => Some(Proof::Fails(doubt, step.to_string())),
        StepResult::Holds | StepResult::Told => None,
    });
    Ok(failed.unwrap_or(Proof::Holds { lag: checking.lag.get() }))
}

/// What is wrong with a ledger that is read after a load: it must show the first payment of the check and one that is made now, or a page of
/// it is not read. `lag` is what the check has found.
///
/// # Errors
/// The service's name cannot be resolved.
pub(crate) async fn missing_from_ledger(
    load: &Load,
    contract: &Arc<Contract>,
    lag: Duration,
) -> Result<Option<String>, Error> {
    let checking = Checking::new(load, contract).await?;
    Ok(match checking.entries_of(FIRST).await {
        Err(error) => Some(error.to_string()),
        Ok(entries) if entries.is_empty() => Some(MISSED.to_owned()),
        Ok(_) if checking.shows_a_new_payment(lag).await => None,
        Ok(_) => Some(MISSED.to_owned()),
    })
}

/// Whether a ledger has lost the first payment of the check, which it has shown before the load.
pub(crate) async fn has_forgotten(load: &Load, contract: &Arc<Contract>) -> bool {
    let Ok(checking) = Checking::new(load, contract).await else { return false };
    checking.entries_of(FIRST).await.is_ok_and(|entries| entries.is_empty())
}

impl<'a> Checking<'a> {
    async fn new(load: &'a Load, contract: &'a Arc<Contract>) -> Result<Self, Error> {
        let service = resolve_patiently(&contract.origin.address, load.patience).await?;
        let run = other_run(&load.run);
        let request = || Contracted::new(contract.clone(), &load.plan, &run);
        Ok(Self {
            wire: Wire { proxy: service, timeout: load.plan.client.attempt_timeout, stop: CancellationToken::new() },
            shape: Shape::Contracted(Box::new(request())),
            request: request(),
            load,
            contract,
            run,
            lag: Cell::default(),
            totals_before: RefCell::default(),
        })
    }

    /// Takes the steps, and tells each when it has ended. The first that fails is the last.
    async fn steps(&self, extent: Extent, tell: &mut impl FnMut(&Step)) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut note = |step: Step| {
            tell(&step);
            let goes_on = !matches!(step.result, StepResult::Fails(..));
            steps.push(step);
            goes_on
        };
        if let Some(tls) = &self.load.tls
            && let Err(problem) = self.shake_hands(tls).await
        {
            note(self.unreached(problem));
            return steps;
        }
        if note(self.first(extent).await) {
            if extent == Extent::Full && self.load.plan.client.key == KeyPolicy::PerPayment {
                note(self.repeat().await);
            }
            if note(self.control().await) && extent == Extent::Full {
                note(self.other_amount().await);
                note(self.two_at_once().await);
            }
        }
        steps
    }

    /// Makes TLS of a connection, to learn in words why that is not possible.
    async fn shake_hands(&self, tls: &TlsDialer) -> Result<(), String> {
        let within = self.load.plan.client.attempt_timeout;
        let made = timeout(within, async {
            // That nothing listens there is told by the first step.
            let Ok(socket) = TcpStream::connect(self.wire.proxy).await else { return Ok(()) };
            tls.handshake(socket).await.map(|_| ()).map_err(|error| error.to_string())
        });
        let late = || {
            format!(
                "no TLS handshake within {} ms; if the service does not speak TLS, use http:// in spec.target.url",
                within.as_millis()
            )
        };
        made.await.unwrap_or_else(|_| Err(late()))
    }

    /// The service is there, and cannot be spoken to.
    fn unreached(&self, problem: String) -> Step {
        Step {
            paid: format!("connected to https://{}", self.contract.origin.host),
            answered: problem.clone(),
            ledger: "not read".to_owned(),
            result: StepResult::Fails(Doubt::ContractNotProven, problem),
        }
    }

    /// One payment: it must be acknowledged and be found in the ledger.
    async fn first(&self, extent: Extent) -> Step {
        let before = match extent {
            Extent::Essential => None,
            Extent::Full => self.ledger().items().await.ok().flatten(),
        };
        let attempted = self.pay_patiently(FIRST, &self.key(FIRST)).await;
        let is_acknowledged = matches!(attempted.outcome, AttemptOutcome::Acknowledged(_));
        let found = if is_acknowledged { self.found(FIRST, 1).await } else { self.entries_of(FIRST).await };
        let result = match &found {
            _ if attempted.outcome == AttemptOutcome::Rejected(Rejection::Unreached) => {
                fails(Doubt::ContractNotProven, "start the service, or say where it is (target.url, or --target)")
            }
            _ if !is_acknowledged => fails(
                Doubt::ContractNotProven,
                "a payment must be acknowledged; look at the request (target.pay) and at target.pay.answers",
            ),
            Ok(entries) if entries.len() == 1 && self.is_right(&entries[0]) => StepResult::Holds,
            Ok(entries) if entries.is_empty() => self.not_found().await,
            Ok(_) => fails(
                Doubt::ContractNotProven,
                "one entry of the amount that was paid must be found; look at target.ledger",
            ),
            Err(_) => fails(Doubt::ContractNotProven, "the ledger must be readable; look at target.ledger"),
        };
        let paid = format!("paid {} {} as {}", self.load.plan.amount, self.load.plan.currency, self.reference(FIRST));
        let mut step = self.step(paid, &[attempted], found, result);
        if step.result == StepResult::Holds
            && let (Some(before), Ok(Some(after))) = (before, self.ledger().items().await)
            && after > before + 1
        {
            let more = after - before;
            step.ledger += &format!(
                ", but the list has {more} items more than before; if nobody else pays now, the others are bookings of this payment under other references, which Paylab does not count"
            );
        }
        step
    }

    /// A payment that was acknowledged is not in the ledger: what is there instead?
    async fn not_found(&self) -> StepResult {
        let hint = "the payment must be found; look at target.ledger and its reference, or give it more time (ledger.settle.within)";
        let PaymentId(payment) = self.id(FIRST).payment;
        match self.ledger().instead_of(payment).await {
            Ok(instead) => fails(Doubt::ContractNotProven, &format!("{hint}: {instead}")),
            Err(_) => fails(Doubt::ContractNotProven, hint),
        }
    }

    /// The same again, with the same key.
    async fn repeat(&self) -> Step {
        let attempted = self.pay(FIRST, self.load.plan.amount, &self.key(FIRST)).await;
        let found = self.settled(FIRST).await;
        self.step("the same again with the same key".to_owned(), &[attempted], found, StepResult::Told)
    }

    /// A payment that is made twice on purpose: the ledger must show both entries.
    async fn control(&self) -> Step {
        match self.contract.control {
            ControlReference::Same => {
                let before = self.entries_of(FIRST).await.map_or(1, |entries| entries.len());
                let attempted = self.pay_patiently(FIRST, &format!("{}-control", self.key(FIRST))).await;
                let found = self.found(FIRST, before + 1).await;
                let result = match &found {
                    Ok(entries) if entries.len() > before => StepResult::Holds,
                    Ok(_) | Err(_) => fails(
                        Doubt::ControlNotDetected,
                        "two entries of one reference must be found, or no duplicate would be; if the service takes each reference once, say control: {reference: new}",
                    ),
                };
                let what = "control: the same reference under another key".to_owned();
                self.step(what, &[attempted], found, result)
            }
            ControlReference::New => {
                let attempted = self.pay_patiently(SECOND, &self.key(SECOND)).await;
                let (first, found) = (self.entries_of(FIRST).await, self.found(SECOND, 1).await);
                let result = match (&first, &found) {
                    (Ok(first), Ok(second)) if !first.is_empty() && !second.is_empty() => StepResult::Holds,
                    _ => fails(
                        Doubt::ControlNotDetected,
                        "the entries of both references must be found; look at target.ledger",
                    ),
                };
                self.step("control: a second reference".to_owned(), &[attempted], found, result)
            }
        }
    }

    /// The same key with another amount.
    async fn other_amount(&self) -> Step {
        let (amount, key) = (self.load.plan.amount, self.key(DRIFTING));
        let first = self.pay(DRIFTING, amount, &key).await;
        let drifted = self.pay(DRIFTING, MinorUnits(amount.0 + 1), &key).await;
        let found = self.settled(DRIFTING).await;
        self.step("a repeat with another amount".to_owned(), &[first, drifted], found, StepResult::Told)
    }

    /// Two copies at once.
    async fn two_at_once(&self) -> Step {
        let (amount, key) = (self.load.plan.amount, self.key(COPIED));
        let (one, other) = join(self.pay(COPIED, amount, &key), self.pay(COPIED, amount, &key)).await;
        let found = self.settled(COPIED).await;
        self.step("two copies at once".to_owned(), &[one, other], found, StepResult::Told)
    }

    fn step(
        &self,
        paid: String,
        attempts: &[Attempted],
        found: Result<Vec<ForeignEntry>, ControlError>,
        result: StepResult,
    ) -> Step {
        let answered: Vec<_> = attempts.iter().map(|attempted| self.answered(attempted)).collect();
        let ledger = match found {
            Ok(entries) if self.load.plan.target.shows_total_only() => self.rise_in_words(&entries),
            Ok(entries) => self.entries_in_words(&entries),
            Err(error) => format!("the ledger cannot be read: {error}"),
        };
        Step { paid, answered: answered.join(" and "), ledger, result }
    }

    /// The payment of this name among those of all workers.
    fn id(&self, payment: u64) -> AttemptId {
        AttemptId { payment: PaymentId(u64::from(self.load.worker) * PAYMENTS + payment), attempt: 1 }
    }

    async fn pay(&self, payment: u64, amount: MinorUnits, key: &str) -> Attempted {
        if let Ledger::Total(total) = &self.contract.ledger {
            self.note_total(total, payment).await;
        }
        let id = self.id(payment);
        let request = self.request.encode_with(&self.load.plan, id, amount, key);
        match &self.load.tls {
            None => self.wire.attempt(&self.shape, &request, Reuse::Close, &mut KeptConnection::default()).await,
            Some(tls) => self.wire.attempt_by_tls(tls, &self.shape, &request).await,
        }
    }

    /// Pays once, and again while the service says that it is busy, or while the load has patience with one that nothing leads to yet.
    async fn pay_patiently(&self, payment: u64, key: &str) -> Attempted {
        let (begun, mut tried) = (Instant::now(), 0);
        loop {
            let attempted = self.pay(payment, self.load.plan.amount, key).await;
            let is_unreached = attempted.outcome == AttemptOutcome::Rejected(Rejection::Unreached);
            if is_unreached && begun.elapsed() < self.load.patience {
                sleep(RETRY_PAUSE).await;
                continue;
            }
            tried += 1;
            if attempted.outcome != AttemptOutcome::Unknown(Uncertainty::Retryable) || tried == TRIES {
                return attempted;
            }
            sleep(RETRY_PAUSE * tried).await;
        }
    }

    /// Whether one of a few new payments is found in the ledger.
    async fn shows_a_new_payment(&self, lag: Duration) -> bool {
        let patience = self.contract.settle.quiet.duration().max(lag * 2);
        for payment in LAST..LAST + LAST_TRIES {
            self.pay_patiently(payment, &self.key(payment)).await;
            if self.found_within(payment, 1, patience).await.is_ok_and(|entries| !entries.is_empty()) {
                return true;
            }
        }
        false
    }

    fn key(&self, payment: u64) -> String {
        self.load.plan.client.key.key(&self.run, self.id(payment)).unwrap_or_default()
    }

    fn reference(&self, payment: u64) -> String {
        self.contract.reference(self.run.as_str(), self.id(payment).payment.0)
    }

    fn is_right(&self, entry: &ForeignEntry) -> bool {
        let plan = &self.load.plan;
        let currency = entry.currency.as_ref().is_none_or(|currency| currency.eq_ignore_ascii_case(&plan.currency));
        entry.amount == plan.amount && currency
    }
}

/// The address of the service. On a cluster its name may not lead anywhere for a moment.
async fn resolve_patiently(address: &str, patience: Duration) -> Result<SocketAddr, Error> {
    let begun = Instant::now();
    loop {
        match resolve(address).await {
            Err(_) if begun.elapsed() < patience => sleep(RETRY_PAUSE).await,
            Err(Error::Address { address, cause }) => return Err(Error::Service { address, cause }),
            resolved => return resolved,
        }
    }
}

fn fails(doubt: Doubt, hint: &str) -> StepResult {
    StepResult::Fails(doubt, hint.to_owned())
}

/// A run id whose references are not those of `run`.
fn other_run(run: &RunId) -> RunId {
    let turned: String = run.as_str().chars().rev().collect();
    turned.parse().unwrap_or_else(|_| run.clone())
}
