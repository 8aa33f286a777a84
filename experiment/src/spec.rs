//! The custom resource `chaosexperiments.paylab.dev/v1alpha1`: what a user writes. Its status is in [`crate::status`].
//!
//! The schema made from these types is the one source of what is allowed: the API server refuses by it, and so does
//! [`crate::plan`] on a machine without a cluster. What a schema cannot say is a CEL rule here, for the API server, and a
//! check in [`crate::plan`], for the laptop; a test holds the two together.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{span::Span, status::ChaosExperimentStatus};

/// A longer name of an experiment leaves no room for what the names of its parts add to it.
pub const NAME_LEN_MAX: usize = 40;
/// A name that may begin the name of a Service.
pub(crate) const NAME_PATTERN: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?$";

/// The CEL rule of a span that may not be nothing.
const NOT_ZERO: &str = "!self.matches('^0+(ms|s|m|h)$')";

/// At most so many faults in one experiment: a record keeps one bit for each.
pub const FAULTS_MAX: usize = 16;

/// One run of payments through a path that breaks, and what the path is claimed to do.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paylab.dev",
    version = "v1alpha1",
    kind = "ChaosExperiment",
    plural = "chaosexperiments",
    shortname = "payx",
    category = "paylab",
    namespaced,
    status = "ChaosExperimentStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core", k8s_openapi = "::k8s_openapi"),
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Claim","type":"string","jsonPath":".spec.claim"}"#,
    printcolumn = r#"{"name":"Verdict","type":"string","jsonPath":".status.verdict"}"#,
    printcolumn = r#"{"name":"Intended","type":"string","jsonPath":".status.ledger.intended"}"#,
    printcolumn = r#"{"name":"Booked","type":"string","jsonPath":".status.ledger.booked"}"#,
    printcolumn = r#"{"name":"Lost","type":"integer","jsonPath":".status.payments.lost"}"#,
    printcolumn = r#"{"name":"Duplicated","type":"integer","jsonPath":".status.payments.duplicated"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Attempts","type":"integer","jsonPath":".status.attempts.total","priority":1}"#,
    printcolumn = r#"{"name":"Faults","type":"integer","jsonPath":".status.lab.struck","priority":1}"#,
    printcolumn = r#"{"name":"Seed","type":"integer","jsonPath":".status.seed","priority":1}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.reason","priority":1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self == oldSelf",
     "message": "spec cannot be changed, because one experiment is one run; delete the experiment and apply it anew, or give it another metadata.name"},
    {"rule": "self.faults.all(f, self.faults.exists_one(g, g.name == f.name))", "fieldPath": ".faults",
     "message": "each fault needs a name of its own"},
    {"rule": "self.client.retry.maxAttempts != 0 || !self.faults.exists(f, f.probability >= 1.0 && !has(f.attempts) && f.reset.at != 'AfterResponse')",
     "fieldPath": ".client.retry.maxAttempts",
     "message": "0 (until acknowledged) never ends, because a fault of probability 1 meets every attempt; bound the attempts or lower its probability"},
    {"rule": "self.service.dedup != 'Replay' || self.client.idempotencyKey != 'None' || self.service.missingKey == 'Refuse'",
     "fieldPath": ".client.idempotencyKey",
     "message": "None sends no key, and dedup Replay tells repeats by nothing else; use PerPayment"},
]))]
pub struct ChaosExperimentSpec {
    /// What the payment path is claimed to do.
    pub claim: Claim,
    /// The verdict that makes this experiment a success; a lesson may be about a path that breaks its claim.
    #[serde(default)]
    pub expect: Expectation,
    /// Decides every fate. Drawn and recorded in the status when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seed: Option<i64>,
    /// What is to be paid.
    #[serde(default)]
    pub payments: Payments,
    /// How the client sends and retries.
    #[serde(default)]
    pub client: Client,
    /// How the payment service treats repeats.
    #[serde(default)]
    pub service: Service,
    /// What breaks, and how often.
    #[serde(default)]
    #[schemars(length(max = FAULTS_MAX))]
    pub faults: Vec<Fault>,
    /// Fewer chances than this for the path to break its claim make the verdict `Inconclusive`
    /// (default 100, or what the experiment can deliver if that is less).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_exposures: Option<i64>,
    /// The load stops after this long, and the verdict is then `Inconclusive`.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s leaves no time for the load; use at least 1ms"}]))]
    pub active_deadline: Span,
    /// Whether the operator keeps the parts of a finished experiment.
    #[serde(default)]
    pub retain: Retain,
}

/// What a payment path is said to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Claim {
    /// No payment is booked twice; some may be missing.
    AtMostOnce,
    /// No payment is missing; some may be booked twice.
    AtLeastOnce,
    /// Every payment is booked, and none twice.
    ExactlyOnce,
}

/// The verdict an experiment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Expectation {
    /// The claim holds.
    #[default]
    Upheld,
    /// The claim breaks.
    Violated,
}

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "double(self.amount) > 0.0", "fieldPath": ".amount",
     "message": "0 must be more than zero; use a positive amount such as \"1.00\""},
    {"rule": "double(self.amount) * double(self.count) <= 10000000000000.0", "fieldPath": ".amount",
     "message": "amount times count must be at most 10000000000000.00"},
]))]
pub struct Payments {
    /// How many payments.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub count: i64,
    /// The amount of each, in major units with at most two decimals.
    #[schemars(length(max = 13), extend("pattern" = r"^[0-9]{1,10}(\.[0-9]{1,2})?$"))]
    pub amount: String,
    /// The currency's three letters.
    #[schemars(length(max = 16), extend("pattern" = "^[A-Z]{3}$"))]
    pub currency: String,
    /// The account that pays.
    #[schemars(length(max = 64), extend("pattern" = "^[A-Za-z0-9._-]+$"))]
    pub from: String,
    /// The account that is paid.
    #[schemars(length(max = 64), extend("pattern" = "^[A-Za-z0-9._-]+$"))]
    pub to: String,
}

/// How the client sends and retries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.retry.maxAttempts == 0 || self.retry.maxAttempts >= self.hedge", "fieldPath": ".retry.maxAttempts",
     "message": "fewer attempts cannot hold the copies of client.hedge"},
]))]
pub struct Client {
    /// When and how often to try again.
    pub retry: Retry,
    /// Whether requests carry an idempotency key, and which.
    pub idempotency_key: KeyPolicy,
    /// Payments in flight per load pod.
    #[schemars(range(min = 1, max = 1024))]
    pub concurrency: i32,
    /// Load pods; each sends its share of the payments.
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// Copies of each request that are sent at once.
    #[schemars(range(min = 1, max = 8))]
    pub hedge: i32,
    /// Payments begun per second and load pod, whatever their answers; absent: as fast as answers come.
    #[serde(skip_serializing_if = "Option::is_none")]
    // The API server cuts a minimum's fraction off where the value is a whole number, such as 0.
    #[schemars(range(min = 0.01, max = 1_000_000.0), extend("x-kubernetes-validations" = [
        {"rule": "self >= 0.01", "message": "should be greater than or equal to 0.01"},
    ]))]
    pub rate: Option<f64>,
    /// Whether each attempt opens a connection of its own.
    pub connection: ConnectionPolicy,
    /// What a repeat asks for: a client's fault worth showing.
    pub body_drift: BodyDrift,
}

/// When and how often a payment is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts per payment; 0 retries until one is acknowledged.
    #[schemars(range(min = 0, max = 1000))]
    pub max_attempts: i32,
    /// The pause before the next attempt.
    pub backoff: Backoff,
    /// How long one attempt may take.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s leaves no time for an answer; use at least 1ms"}]))]
    pub attempt_timeout: Span,
}

/// Capped exponential backoff with full jitter: `uniform(0, min(cap, base * 2^(k-1)))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// The bound of the first pause; `0s` retries at once.
    pub base: Span,
    /// The bound that no pause passes.
    pub cap: Span,
}

/// Which idempotency key a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum KeyPolicy {
    /// No key.
    #[default]
    None,
    /// One key for all attempts of a payment, made before the first.
    PerPayment,
    /// A new key for every attempt: a client's fault worth showing.
    PerAttempt,
}

/// Whether each attempt opens a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ConnectionPolicy {
    /// A new connection for every attempt.
    #[default]
    PerAttempt,
    /// Connections carry attempts until they break.
    KeepAlive,
}

/// What a repeat of a payment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum BodyDrift {
    /// The same as the first attempt.
    #[default]
    None,
    /// Attempt `k` asks for `k - 1` minor units more, under the same key.
    Amount,
}

/// How the payment service treats repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.replicas == 1 || has(self.database)", "fieldPath": ".replicas",
     "message": "several replicas need one database; set service.database.secretKeyRef to a Secret with the URL of a PostgreSQL, or use 1"},
    {"rule": "!has(self.keyTtl) || self.dedup == 'Replay'", "fieldPath": ".keyTtl",
     "message": "is known to dedup: Replay only; remove it or use Replay"},
]))]
pub struct Service {
    /// The way repeats are told from new payments.
    pub dedup: Dedup,
    /// Service pods.
    #[schemars(range(min = 1, max = 16))]
    pub replicas: i32,
    /// What becomes of a request whose caller hangs up.
    pub on_disconnect: OnDisconnect,
    /// A wait inside the critical section of the mode.
    pub processing_time: Span,
    /// `Replay` forgets a key after this long; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s forgets every key at once; use at least 1ms"}]))]
    pub key_ttl: Option<Span>,
    /// What becomes of a request without a key.
    pub missing_key: MissingKey,
    /// Where the ledger is on a cluster; absent: SQLite on the pod's own disk, for one replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
}

/// A PostgreSQL of the user's. Each run has a schema of its own there, `paylab_` and the run id, which stays as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    /// The Secret that holds its URL, `postgres://USER:PASSWORD@HOST/DATABASE`, in the experiment's namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The Secret.
    #[schemars(length(max = 253), extend("pattern" = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in it.
    #[schemars(length(max = 253), extend("pattern" = "^[A-Za-z0-9._-]+$"))]
    pub key: String,
}

/// The ways to tell a repeat from a new payment; the last five are broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Dedup {
    /// Books every request.
    #[default]
    None,
    /// A unique column in the transaction that books; a repeat is answered 208.
    UniqueKey,
    /// Key, fingerprint and answer in the transaction that books; a repeat gets the stored answer.
    Replay,
    /// Looks for the key, then inserts, with nothing to hold the two together.
    CheckThenInsert,
    /// A set in the memory of the process.
    Memory,
    /// The key in one transaction, the booking in the next.
    KeyThenApply,
    /// The booking in one transaction, the key in the next.
    ApplyThenKey,
    /// Answers 202 and books later, from memory.
    AckThenApply,
}

/// What becomes of a request whose caller hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnDisconnect {
    /// The booking runs to its end.
    #[default]
    Finish,
    /// The booking is dropped where it stands, as Rust's HTTP servers do.
    Cancel,
}

/// What becomes of a request without a key in a mode that looks at keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum MissingKey {
    /// It is booked, and nothing can tell its repeat.
    #[default]
    Book,
    /// It is refused with 400.
    Refuse,
}

/// One thing that breaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Unique in the experiment. It is part of the dice: another name is another run.
    #[schemars(length(min = 1, max = 63), extend("pattern" = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// How likely an attempt meets it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// The connection is reset at a point of the request.
    pub reset: Reset,
    /// Only these attempt numbers; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(range(min = 1, max = 10_000)))]
    pub attempts: Option<Vec<i32>>,
    /// Only these payments; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<PaymentRange>,
}

/// A reset of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reset {
    /// Where in the course of the request.
    pub at: Point,
}

/// Payments `from` up to but not including `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.from < self.to", "message": "is empty; `from` must be below `to`"}]))]
pub struct PaymentRange {
    /// The first payment.
    #[schemars(range(min = 0))]
    pub from: i64,
    /// One past the last payment.
    #[schemars(range(min = 1))]
    pub to: i64,
}

/// A point in the course of a request, in the order of time; the earliest of several faults takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Point {
    /// Before anything is dialled or read.
    Connect,
    /// The head was read, nothing was forwarded.
    BeforeRequest,
    /// Part of the request was forwarded.
    MidRequest,
    /// The whole request was forwarded; the service goes on.
    AfterRequest,
    /// The whole response has come from the service, none of it was forwarded.
    BeforeResponse,
    /// Part of the response was forwarded.
    MidResponse,
    /// All was forwarded; a reset instead of a clean close.
    AfterResponse,
}

/// Whether the operator keeps the parts of a finished experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Retain {
    /// Removes them.
    Never,
    /// Keeps them when the verdict is not the expected one.
    #[default]
    OnFailure,
    /// Keeps them.
    Always,
}

impl Point {
    /// Every point, in the order of time.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::BeforeRequest,
        Self::MidRequest,
        Self::AfterRequest,
        Self::BeforeResponse,
        Self::MidResponse,
        Self::AfterResponse,
    ];

    /// Whether the service has received the whole request when the reset comes.
    #[must_use]
    pub const fn arrives(self) -> bool {
        match self {
            Self::Connect | Self::BeforeRequest | Self::MidRequest => false,
            Self::AfterRequest | Self::BeforeResponse | Self::MidResponse | Self::AfterResponse => true,
        }
    }

    /// Whether the client still receives the whole response.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::AfterResponse)
    }
}

const fn ten_minutes() -> Span {
    Span::from_ms(600_000)
}

impl Default for Payments {
    fn default() -> Self {
        let [amount, currency, from, to] = ["1.00", "EUR", "bianca", "marc"].map(str::to_owned);
        Self { count: 1000, amount, currency, from, to }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            idempotency_key: KeyPolicy::None,
            concurrency: 8,
            workers: 1,
            hedge: 1,
            rate: None,
            connection: ConnectionPolicy::PerAttempt,
            body_drift: BodyDrift::None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 0, backoff: Backoff::default(), attempt_timeout: Span::from_ms(5_000) }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Span::from_ms(0), cap: Span::from_ms(1_000) }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            dedup: Dedup::None,
            replicas: 1,
            on_disconnect: OnDisconnect::Finish,
            processing_time: Span::from_ms(0),
            key_ttl: None,
            missing_key: MissingKey::Book,
            database: None,
        }
    }
}
