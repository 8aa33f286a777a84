//! The custom resource `chaosexperiments.paylab.dev/v1alpha1`: what a user writes. Its status is in [`crate::status`].
//!
//! The schema and the CEL rules made from these types are the only source of what is allowed: the API server evaluates them, and
//! so does [`crate::file`] on a machine without a cluster.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use paylab_core::{
    claim::{Claim, Expectation},
    client::{BodyDrift, ConnectionPolicy, KeyPolicy},
    duration_text::DurationText,
    fault::spec::{FAULTS_MAX, FaultSpec},
    targets::ours::{Dedup, MissingKey, OnDisconnect},
    text_form,
};

use crate::status::ChaosExperimentStatus;

/// The longest name of an experiment: the names of its parts are made from it and must stay within Kubernetes' limit.
pub const NAME_LEN_MAX: usize = 40;

/// The CEL rule of a duration that must not be zero.
const NOT_ZERO: &str = "!self.matches('^0+(ms|s|m|h)$')";

/// One run of payments through a path whose connections break, and what the path is claimed to do.
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
    {"rule": "self.client.retry.maxAttempts != 0 || !self.faults.exists(f, f.probability >= 1.0 && !has(f.attempts) && (has(f.reset) ? f.reset.at != 'AfterResponse' : (has(f.delay) && f.delay.at != 'AfterResponse' && duration(f.delay.__for__) >= duration(self.client.retry.attemptTimeout))))",
     "fieldPath": ".client.retry.maxAttempts",
     "message": "0 (until acknowledged) never ends, because a fault of probability 1 keeps every answer from the client; bound the attempts or lower its probability"},
    {"rule": "self.service.dedup != 'Replay' || self.client.idempotencyKey != 'None' || self.service.missingKey == 'Refuse'",
     "fieldPath": ".client.idempotencyKey",
     "message": "None sends no key, and dedup Replay tells repeats by nothing else; use PerPayment"},
]))]
pub struct ChaosExperimentSpec {
    /// What the payment path is claimed to do.
    pub claim: Claim,
    /// The verdict that makes this experiment a success. A lesson may be about a path that breaks its claim.
    #[serde(default)]
    pub expect: Expectation,
    /// The seed that decides which attempts meet which faults. If it is absent, one is drawn and recorded in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seed: Option<i64>,
    /// The payments to be made.
    #[serde(default)]
    pub payments: Payments,
    /// How the client sends and retries.
    #[serde(default)]
    pub client: Client,
    /// How the payment service treats repeats.
    #[serde(default)]
    pub service: Service,
    /// The faults: what breaks, where, and how often.
    #[serde(default)]
    #[schemars(length(max = FAULTS_MAX))]
    pub faults: Vec<FaultSpec>,
    /// The verdict is `Inconclusive` if the path had fewer chances than this to break its claim
    /// (default 100, or what the experiment can deliver if that is less).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_exposures: Option<i64>,
    /// The load is stopped after this time, and the verdict is then `Inconclusive`.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s leaves no time for the load; use at least 1ms"}]))]
    pub active_deadline: DurationText,
    /// Whether the operator keeps the parts of a finished experiment.
    #[serde(default)]
    pub retain: Retain,
}

/// The payments to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "double(self.amount) > 0.0", "fieldPath": ".amount",
     "message": "0 must be more than zero; use a positive amount such as \"1.00\""},
    {"rule": "double(self.amount) * double(self.count) <= 10000000000000.0", "fieldPath": ".amount",
     "message": "amount times count must be at most 10000000000000.00"},
]))]
pub struct Payments {
    /// The number of payments.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub count: i64,
    /// The amount of each, in major units with at most two decimals.
    #[schemars(length(max = 13), extend("pattern" = text_form::AMOUNT.pattern))]
    pub amount: String,
    /// The three capital letters of the currency.
    #[schemars(length(max = 16), extend("pattern" = text_form::CURRENCY.pattern))]
    pub currency: String,
    /// The account that pays.
    #[schemars(length(max = 64), extend("pattern" = text_form::ACCOUNT_OR_KEY.pattern))]
    pub from: String,
    /// The account that is paid.
    #[schemars(length(max = 64), extend("pattern" = text_form::ACCOUNT_OR_KEY.pattern))]
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
    /// Payments in flight per worker.
    #[schemars(range(min = 1, max = 1024))]
    pub concurrency: i32,
    /// Workers (load pods). Each sends its share of the payments.
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// Copies of each request that are sent at once.
    #[schemars(range(min = 1, max = 8))]
    pub hedge: i32,
    /// Payments begun per second and worker; absent: as fast as answers come.
    #[serde(skip_serializing_if = "Option::is_none")]
    // The API server cuts a minimum's fraction off where the value is a whole number, such as 0.
    #[schemars(range(min = 0.01, max = 1_000_000.0), extend("x-kubernetes-validations" = [
        {"rule": "self >= 0.01", "message": "should be greater than or equal to 0.01"},
    ]))]
    pub rate: Option<f64>,
    /// Whether each attempt opens a connection of its own.
    pub connection: ConnectionPolicy,
    /// What a repeat asks for: the same, or another amount (a client bug worth showing).
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
    pub attempt_timeout: DurationText,
}

/// Capped exponential backoff with full jitter: `uniform(0, min(cap, base * 2^(k-1)))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// The upper bound of the first pause; `0s` retries at once.
    pub base: DurationText,
    /// The upper bound of every pause.
    pub cap: DurationText,
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
    /// How repeats are told from new payments.
    pub dedup: Dedup,
    /// Service pods.
    #[schemars(range(min = 1, max = 16))]
    pub replicas: i32,
    /// What becomes of a request whose client hangs up.
    pub on_disconnect: OnDisconnect,
    /// A wait inside the critical section of the dedup mode.
    pub processing_time: DurationText,
    /// How long `Replay` remembers a key; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s forgets every key at once; use at least 1ms"}]))]
    pub key_ttl: Option<DurationText>,
    /// What becomes of a request without a key.
    pub missing_key: MissingKey,
    /// The database that holds the ledger on a cluster; absent: SQLite on the pod's own disk, for one replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
}

/// A PostgreSQL database. Each run has a schema of its own in it, `paylab_` and the run id, which is kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    /// The key of a Secret in the experiment's namespace that holds the URL, `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub secret_key_ref: SecretKeyRef,
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The name of the Secret.
    #[schemars(length(max = 253), extend("pattern" = text_form::SECRET_NAME.pattern))]
    pub name: String,
    /// The key in it.
    #[schemars(length(max = 253), extend("pattern" = text_form::ACCOUNT_OR_KEY.pattern))]
    pub key: String,
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

const fn ten_minutes() -> DurationText {
    DurationText::from_ms(600_000)
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
        Self { max_attempts: 0, backoff: Backoff::default(), attempt_timeout: DurationText::from_ms(5_000) }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: DurationText::from_ms(0), cap: DurationText::from_ms(1_000) }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            dedup: Dedup::None,
            replicas: 1,
            on_disconnect: OnDisconnect::Finish,
            processing_time: DurationText::from_ms(0),
            key_ttl: None,
            missing_key: MissingKey::Book,
            database: None,
        }
    }
}
