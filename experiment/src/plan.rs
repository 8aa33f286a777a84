//! Spec -> plan, or refusals that each name the field, the fault and what is allowed.

use std::{collections::BTreeSet, fmt, ops::Range, time::Duration};

use crate::{
    fate::{Dice, fraction},
    money::MinorUnits,
    payment::{AttemptId, PaymentId},
    spec::{
        BodyDrift, ChaosExperimentSpec, Claim, Client, ConnectionPolicy, Dedup, Expectation, FAULTS_MAX, Fault,
        KeyPolicy, MissingKey, OnDisconnect, Point, Service,
    },
};

/// The money of one experiment stays below this, so that no sum of duplicates overflows: 10 trillion major units.
const INTENDED_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// A validated experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the path is claimed to do.
    pub claim: Claim,
    /// The verdict that makes the experiment a success.
    pub expect: Expectation,
    /// Every fault, with the seed.
    pub dice: Dice,
    /// The faults as written, for the proxy's rules.
    pub faults: Vec<Fault>,
    /// How many payments.
    pub count: u64,
    /// The amount of each.
    pub amount: MinorUnits,
    /// Its currency.
    pub currency: String,
    /// Who pays.
    pub from: String,
    /// Who is paid.
    pub to: String,
    /// How the client sends.
    pub client: ClientPlan,
    /// How the service books.
    pub service: ServicePlan,
    /// As the spec says, if it does.
    pub min_exposures: Option<u64>,
    /// When the load stops, finished or not.
    pub deadline: Duration,
}

/// How the client sends.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientPlan {
    /// Attempts per payment; `None`: until acknowledged.
    pub max_attempts: Option<u32>,
    /// The bound of the first pause.
    pub backoff_base: Duration,
    /// The bound of every pause.
    pub backoff_cap: Duration,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// Which idempotency key a request carries.
    pub key: KeyPolicy,
    /// Payments in flight per load pod.
    pub concurrency: usize,
    /// Load pods.
    pub workers: u32,
    /// Copies sent at once.
    pub hedge: u32,
    /// Payments begun per second; `None`: closed loop.
    pub rate: Option<f64>,
    /// A connection for each attempt, or kept ones.
    pub connection: ConnectionPolicy,
    /// What repeats ask for.
    pub body_drift: BodyDrift,
}

/// How the service books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServicePlan {
    /// How repeats are told.
    pub dedup: Dedup,
    /// Service pods.
    pub replicas: u32,
    /// What becomes of a request whose caller hangs up.
    pub on_disconnect: OnDisconnect,
    /// A wait inside the critical section.
    pub processing_time: Duration,
    /// When `Replay` forgets.
    pub key_ttl: Option<Duration>,
    /// What becomes of a request without a key.
    pub missing_key: MissingKey,
}

/// One thing that is wrong with an experiment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The path of the field, such as `spec.faults[1].name`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub fault: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.fault) } else { write!(f, "{}: {}", self.field, self.fault) }
    }
}

impl Refusal {
    /// A refusal of a field.
    pub fn new(field: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { field: field.into(), fault: fault.into() }
    }
}

impl Plan {
    /// Checks what the schema cannot and makes the plan. `drawn_seed` is used when the spec has none.
    ///
    /// # Errors
    /// Everything that is wrong, one refusal each.
    pub fn parse(spec: &ChaosExperimentSpec, drawn_seed: u64) -> Result<Self, Vec<Refusal>> {
        let mut refusals = check_faults(&spec.faults, "spec.faults");
        let amount = amount(spec, &mut refusals);
        check_client(&spec.client, &spec.faults, &mut refusals);
        check_service(&spec.service, spec.client.idempotency_key, &mut refusals);
        if spec.active_deadline.ms() == 0 {
            refusals.push(Refusal::new("spec.activeDeadline", "0s leaves no time for the load; use at least 1ms"));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let seed = spec.seed.map_or(drawn_seed, i64::unsigned_abs);
        let payments = spec.payments.clone();
        Ok(Self {
            claim: spec.claim,
            expect: spec.expect,
            dice: Dice::new(seed, &spec.faults),
            faults: spec.faults.clone(),
            count: payments.count.unsigned_abs(),
            amount,
            currency: payments.currency,
            from: payments.from,
            to: payments.to,
            client: client_plan(&spec.client),
            service: service_plan(&spec.service),
            min_exposures: spec.min_exposures.map(i64::unsigned_abs),
            deadline: spec.active_deadline.duration(),
        })
    }

    /// The seed of every fate.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.dice.seed()
    }

    /// What all payments together should book.
    #[must_use]
    pub fn intended(&self) -> MinorUnits {
        MinorUnits(self.amount.0.saturating_mul(i64::try_from(self.count).unwrap_or(i64::MAX)))
    }

    /// The payments of one of `of` load pods: contiguous shares that differ by at most one.
    #[must_use]
    pub const fn share(&self, index: u32, of: u32) -> Range<u64> {
        let (index, of) = (index as u64, of as u64);
        self.count * index / of..self.count * (index + 1) / of
    }

    /// What attempt `attempt` of any payment asks for.
    #[must_use]
    pub fn amount_of(&self, attempt: u32) -> MinorUnits {
        match self.client.body_drift {
            BodyDrift::None => self.amount,
            BodyDrift::Amount => MinorUnits(self.amount.0 + i64::from(attempt) - 1),
        }
    }
}

impl ClientPlan {
    /// The pause before the attempt after `id`: full jitter from the seed, under an exponential bound that is always capped.
    #[must_use]
    pub fn pause_after(&self, seed: u64, id: AttemptId) -> Duration {
        let doublings = id.attempt.saturating_sub(1).min(31);
        let bound = self.backoff_base.saturating_mul(1 << doublings).min(self.backoff_cap);
        if bound.is_zero() { Duration::ZERO } else { bound.mul_f64(fraction(seed, id, "jitter")) }
    }

    /// Whether a payment may have another attempt after `attempts` were made.
    #[must_use]
    pub fn may_try_after(&self, attempts: u32) -> bool {
        self.max_attempts.is_none_or(|most| attempts < most)
    }
}

/// What is wrong with faults, wherever they come from; `field` is the path of their list.
#[must_use]
pub fn check_faults(faults: &[Fault], field: &str) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if faults.len() > FAULTS_MAX {
        refusals.push(Refusal::new(field, format!("has {} faults; at most {FAULTS_MAX} are allowed", faults.len())));
    }
    let mut names = BTreeSet::new();
    for (index, fault) in faults.iter().enumerate() {
        let path = format!("{field}[{index}]");
        if !names.insert(&fault.name) {
            let text =
                format!("\"{}\" is the name of an earlier fault; each fault needs a name of its own", fault.name);
            refusals.push(Refusal::new(format!("{path}.name"), text));
        }
        if fault.name.is_empty() || fault.name.contains(['/', '#']) {
            refusals.push(Refusal::new(format!("{path}.name"), "must be lower-case letters, digits and dashes"));
        }
        if !(0.0..=1.0).contains(&fault.probability) {
            let text = format!("{} is not a probability; use 0 to 1", fault.probability);
            refusals.push(Refusal::new(format!("{path}.probability"), text));
        }
        if fault.payments.is_some_and(|range| range.from >= range.to || range.from < 0) {
            refusals.push(Refusal::new(format!("{path}.payments"), "is empty; `from` must be below `to`"));
        }
        if fault.attempts.as_ref().is_some_and(|list| list.is_empty() || list.iter().any(|k| *k < 1)) {
            refusals.push(Refusal::new(format!("{path}.attempts"), "must hold numbers from 1"));
        }
    }
    refusals
}

fn amount(spec: &ChaosExperimentSpec, refusals: &mut Vec<Refusal>) -> MinorUnits {
    match MinorUnits::parse_payable(&spec.payments.amount) {
        Ok(amount) => {
            if amount.0.checked_mul(spec.payments.count).is_none_or(|sum| sum > INTENDED_MINOR_MAX) {
                let text = "amount times count must be at most 10000000000000.00";
                refusals.push(Refusal::new("spec.payments.amount", text));
            }
            amount
        }
        Err(error) => {
            let text = format!("\"{}\" {error}; use a positive amount such as \"1.00\"", spec.payments.amount);
            refusals.push(Refusal::new("spec.payments.amount", text));
            MinorUnits::default()
        }
    }
}

fn check_client(client: &Client, faults: &[Fault], refusals: &mut Vec<Refusal>) {
    let retry = &client.retry;
    if retry.attempt_timeout.ms() == 0 {
        refusals.push(Refusal::new(
            "spec.client.retry.attemptTimeout",
            "0s leaves no time for an answer; use at least 1ms",
        ));
    }
    if retry.max_attempts != 0 && retry.max_attempts < client.hedge {
        let text = format!("{} attempts cannot hold the {} copies of client.hedge", retry.max_attempts, client.hedge);
        refusals.push(Refusal::new("spec.client.retry.maxAttempts", text));
    }
    let hopeless = |fault: &Fault| fault.probability >= 1.0 && fault.attempts.is_none() && !fault.reset.at.answers();
    if let (0, Some(fault)) = (retry.max_attempts, faults.iter().find(|fault| hopeless(fault))) {
        let text = format!(
            "0 (until acknowledged) never ends, because fault \"{}\" meets every attempt; bound the attempts or lower its probability",
            fault.name
        );
        refusals.push(Refusal::new("spec.client.retry.maxAttempts", text));
    }
}

fn check_service(service: &Service, key: KeyPolicy, refusals: &mut Vec<Refusal>) {
    if service.replicas > 1 && service.database.is_none() {
        let text = format!(
            "{} replicas need one database; set spec.service.database.secretKeyRef to a Secret with the URL of a PostgreSQL, or use 1",
            service.replicas
        );
        refusals.push(Refusal::new("spec.service.replicas", text));
    }
    if (service.dedup, key, service.missing_key) == (Dedup::Replay, KeyPolicy::None, MissingKey::Book) {
        let text = "None sends no key, and dedup Replay tells repeats by nothing else; use PerPayment";
        refusals.push(Refusal::new("spec.client.idempotencyKey", text));
    }
    if service.key_ttl.is_some() && service.dedup != Dedup::Replay {
        refusals.push(Refusal::new("spec.service.keyTtl", "is known to dedup: Replay only; remove it or use Replay"));
    }
    if service.key_ttl.is_some_and(|ttl| ttl.ms() == 0) {
        refusals.push(Refusal::new("spec.service.keyTtl", "0s forgets every key at once; use at least 1ms"));
    }
}

fn client_plan(client: &Client) -> ClientPlan {
    ClientPlan {
        max_attempts: match client.retry.max_attempts {
            0 => None,
            most => Some(most.unsigned_abs()),
        },
        backoff_base: client.retry.backoff.base.duration(),
        backoff_cap: client.retry.backoff.cap.duration(),
        attempt_timeout: client.retry.attempt_timeout.duration(),
        key: client.idempotency_key,
        concurrency: usize::try_from(client.concurrency).unwrap_or(1),
        workers: client.workers.unsigned_abs(),
        hedge: client.hedge.unsigned_abs(),
        rate: client.rate,
        connection: client.connection,
        body_drift: client.body_drift,
    }
}

fn service_plan(service: &Service) -> ServicePlan {
    ServicePlan {
        dedup: service.dedup,
        replicas: service.replicas.unsigned_abs(),
        on_disconnect: service.on_disconnect,
        processing_time: service.processing_time.duration(),
        key_ttl: service.key_ttl.map(crate::span::Span::duration),
        missing_key: service.missing_key,
    }
}

/// The attempts of a payment, in order, as the retry loop numbers them.
pub fn attempts_of(payment: PaymentId) -> impl Iterator<Item = AttemptId> {
    (1..).map(move |attempt| AttemptId { payment, attempt })
}

impl Plan {
    /// Whether any fault of this plan can strike at a point.
    #[must_use]
    pub fn has_fault_at(&self, point: Point) -> bool {
        self.dice.dies().iter().any(|die| die.point == point && die.probability > 0.0)
    }
}
