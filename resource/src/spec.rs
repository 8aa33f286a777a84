//! The custom resource `chaosexperiments.paylab.dev/v1alpha1`: what a user writes. Its status is in [`crate::status`].
//!
//! The schema and the CEL rules made from these types are the only source of what is allowed: the API server evaluates them, and
//! so does [`crate::file`] on a machine without a cluster.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use paylab_contract::spec::{SecretKeyRef, TargetSpec};
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
    {"rule": "self.client.retry.maxAttempts != 0 || !self.faults.exists(f, f.probability >= 1.0 && !has(f.attempts) && (has(f.reset) ? f.reset.at != 'AfterResponse' : has(f.kill) ? f.kill.at != 'AfterResponse' : (has(f.delay) && f.delay.at != 'AfterResponse' && duration(f.delay.__for__) >= duration(self.client.retry.attemptTimeout))))",
     "fieldPath": ".client.retry.maxAttempts",
     "message": "0 (until acknowledged) never ends, because a fault of probability 1 keeps every answer from the client; bound the attempts or lower its probability"},
    {"rule": "self.service.dedup != 'Replay' || self.client.idempotencyKey != 'None' || self.service.missingKey == 'Refuse'",
     "fieldPath": ".client.idempotencyKey",
     "message": "None sends no key, and dedup Replay tells repeats by nothing else; use PerPayment"},
    {"rule": "!has(self.target) || (self.service.dedup == 'None' && self.service.replicas == 1 && self.service.onDisconnect == 'Finish' && self.service.missingKey == 'Book' && duration(self.service.processingTime) == duration('0s') && !has(self.service.keyTtl) && !has(self.service.failAfter) && !has(self.service.database))",
     "fieldPath": ".service",
     "message": "is Paylab's own service, and spec.target names another one; remove one of the two"},
    {"rule": "(self.claim == 'ExactTotal') == (has(self.target) && has(self.target.ledger.total))",
     "fieldPath": ".claim",
     "message": "ExactTotal is what a total can prove (target.ledger.total), and nothing else can be claimed with one; use both or neither"},
    {"rule": "!has(self.client.redeliver) || duration(self.client.redeliver.after) < duration(self.activeDeadline)", "fieldPath": ".client.redeliver.after",
     "message": "is not shorter than activeDeadline, which ends the load before; use a shorter time"},
    {"rule": "!self.faults.exists(f, has(f.kill)) || self.service.replicas == 1", "fieldPath": ".service.replicas",
     "message": "several replicas do not say which of them a kill (faults[].kill) is meant for; use 1"},
    {"rule": "!has(self.target) || !has(self.target.ledger.total) || self.client.workers == 1",
     "fieldPath": ".client.workers",
     "message": "a total (target.ledger.total) says nothing of the shares of several workers; use 1"},
]))]
pub struct ChaosExperimentSpec {
    /// What the payment path (client, network and payment service together) is claimed to do with every payment. The experiment
    /// tests this claim.
    pub claim: Claim,
    /// The verdict that makes this experiment a success. By default the claim is expected to hold; a lesson may be about a path
    /// that breaks its claim.
    #[serde(default)]
    pub expect: Expectation,
    /// The seed that decides which attempts meet which faults. The same seed gives the same run again. If it is absent, a seed is
    /// drawn at random and shown in `status.seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seed: Option<i64>,
    /// The payments to be made. By default 1000 payments of 1.00 EUR from `bianca` to `marc`.
    #[serde(default)]
    pub payments: Payments,
    /// How the client sends payments, and when it tries them again. By default it sends 8 payments at a time, without idempotency
    /// keys, and tries each until it is acknowledged.
    #[serde(default)]
    pub client: Client,
    /// How the payment service treats repeats. By default it books every request that reaches it.
    #[serde(default)]
    pub service: Service,
    /// A service of your own, which is paid in place of Paylab's: how to pay it, what its answers mean, and where its ledger is read. If
    /// it is absent, `service` says how Paylab's own service behaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// The faults: what breaks, at which point of a request, and how often. By default nothing breaks. If several faults meet the
    /// same attempt, only the one at the earliest point takes effect.
    #[serde(default)]
    #[schemars(length(max = FAULTS_MAX))]
    pub faults: Vec<FaultSpec>,
    /// The smallest number of exposures that a verdict needs. An exposure is a chance to break the claim: for `AtMostOnce` and
    /// `ExactlyOnce` a repeat that reaches the service after an earlier request of the same payment, for `AtLeastOnce` an attempt
    /// that does not reach the service. With fewer exposures the verdict is `Inconclusive`. If it is absent, 100 are needed, or
    /// as many as the experiment can deliver if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_exposures: Option<i64>,
    /// The longest time that the load may take, from its start. After it the load is stopped, and the verdict is `Inconclusive`. On
    /// a cluster it also bounds the time that the parts may take to get ready; if they do not, the experiment fails. By default
    /// 10 minutes.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s leaves no time for the load; use at least 1ms"}]))]
    pub active_deadline: DurationText,
    /// Whether the operator keeps the parts of a finished experiment (pods, Services, ConfigMap), so that they can be looked at. By
    /// default they are kept only if the verdict is not the expected one. `paylab run` ignores this field.
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
    /// The number of payments that the experiment makes. By default 1000.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub count: i64,
    /// The amount of each payment, in major units of the currency (such as euros) with at most two decimals, as a text. By default
    /// 1.00.
    #[schemars(length(max = 13), extend("pattern" = text_form::AMOUNT.pattern))]
    pub amount: String,
    /// The currency of the amount, as its three capital letters. It is only shown: every currency has two decimals here. By default
    /// EUR.
    #[schemars(length(max = 16), extend("pattern" = text_form::CURRENCY.pattern))]
    pub currency: String,
    /// The account that every payment is taken from. By default `bianca`.
    #[schemars(length(max = 64), extend("pattern" = text_form::ACCOUNT_OR_KEY.pattern))]
    pub from: String,
    /// The account that every payment goes to. By default `marc`.
    #[schemars(length(max = 64), extend("pattern" = text_form::ACCOUNT_OR_KEY.pattern))]
    pub to: String,
}

/// How the client sends and retries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.retry.maxAttempts == 0 || self.retry.maxAttempts >= self.hedge", "fieldPath": ".retry.maxAttempts",
     "message": "fewer attempts cannot hold the copies of client.hedge"},
    {"rule": "!has(self.recovery) || self.retry.maxAttempts > 0", "fieldPath": ".recovery",
     "message": "has nothing to do after client.retry.maxAttempts 0, which tries until acknowledged; bound the attempts or remove it"},
]))]
pub struct Client {
    /// When and how often a payment is tried again. By default at once, until it is acknowledged.
    pub retry: Retry,
    /// Whether requests carry an idempotency key, by which the service can tell a repeat from a new payment. By default they carry
    /// none.
    pub idempotency_key: KeyPolicy,
    /// The largest number of payments that one worker has in flight at the same time. By default 8.
    #[schemars(range(min = 1, max = 1024))]
    pub concurrency: i32,
    /// The number of workers: load pods on a cluster, parallel loads on one machine. Each sends its share of the payments, and
    /// the shares are equal. By default 1.
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// The number of copies of each request that the client sends at the same time (hedged requests), each as an attempt of its own.
    /// The payment is acknowledged if any copy is. By default 1: no copies.
    #[schemars(range(min = 1, max = 8))]
    pub hedge: i32,
    /// The number of payments that one worker begins per second. A payment is begun later only if `concurrency` payments are in flight
    /// at that time. If it is absent, a new payment is begun as soon as an earlier one has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    // The API server cuts a minimum's fraction off where the value is a whole number, such as 0.
    #[schemars(range(min = 0.01, max = 1_000_000.0), extend("x-kubernetes-validations" = [
        {"rule": "self >= 0.01", "message": "should be greater than or equal to 0.01"},
    ]))]
    pub rate: Option<f64>,
    /// Whether each attempt opens a TCP connection of its own. By default it does.
    pub connection: ConnectionPolicy,
    /// Whether the body of a repeat differs from that of the first attempt, which is a bug of some clients. By default it does not.
    pub body_drift: BodyDrift,
    /// A second chance, after the load, for payments that were not acknowledged and not refused for good. The claim is judged after it.
    /// If it is absent, what the client has given up stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Repeats of payments that were acknowledged, as a webhook that is delivered twice or a double click makes them. If it is absent,
    /// nothing is asked for again that was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redeliver: Option<Redeliver>,
}

/// Payments that were acknowledged are asked for once more: with the same reference, by an attempt of the next number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redeliver {
    /// The probability with which an acknowledged payment is asked for once more, from 0 (none) to 1 (each). The decision follows from
    /// the seed and the payment.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// The time between the acknowledgement and the repeat, from `0s` to `1h`. It must be shorter than `activeDeadline`.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "duration(self) <= duration('1h')", "message": "is too long; at most 1h is allowed"},
    ]))]
    pub after: DurationText,
}

/// A second chance for payments that were not acknowledged: the client tries them again once the load has ended. The path is healed
/// then: no fault strikes these attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recovery {
    /// The largest number of further attempts per payment. They are numbered after `client.retry.maxAttempts`.
    #[schemars(range(min = 1, max = 1000))]
    pub attempts: i32,
    /// The pause before the next of these attempts. By default there is none.
    #[serde(default)]
    pub backoff: Backoff,
}

/// When and how often a payment is tried again. A payment is tried again if the outcome of an attempt is unknown: after a reset, a
/// timeout, or a response with status 409, 425, 429 or 5xx.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// The largest number of attempts per payment, the first included. 1 never tries again. 0, the default, tries until an attempt is
    /// acknowledged or refused for good; a payment that is neither after 10000 attempts makes the verdict `Inconclusive`.
    #[schemars(range(min = 0, max = 1000))]
    pub max_attempts: i32,
    /// The pause before the next attempt. By default there is none.
    pub backoff: Backoff,
    /// The longest time that one attempt may take, from connecting to the last byte of the response. After it the client hangs up, and
    /// the outcome of the attempt is unknown. By default 5 seconds.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s leaves no time for an answer; use at least 1ms"}]))]
    pub attempt_timeout: DurationText,
    /// The number of complete responses of 409, 425, 429 or 5xx after which a payment counts as stuck, if a last attempt after the load
    /// ends the same way. Attempts without any response that no fault hides count too. By default 20.
    #[schemars(range(min = 1, max = 1000))]
    pub stuck_after: i32,
}

/// Capped exponential backoff with full jitter: after attempt `k` the client waits for a time between zero and
/// `min(cap, base * 2^(k-1))`, drawn from the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// The upper bound of the pause after the first attempt; it doubles after each further attempt. By default `0s`: the client tries
    /// again at once.
    pub base: DurationText,
    /// The upper bound of every pause, however often it was doubled. By default 1 second.
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
    /// How the service tells a repeat from a new payment. By default it does not: it books every request. `UniqueKey` and `Replay` are
    /// correct; the five modes after them are broken on purpose.
    pub dedup: Dedup,
    /// The number of pods that serve payments. Several need `database`, and `paylab run` refuses them. By default 1.
    #[schemars(range(min = 1, max = 16))]
    pub replicas: i32,
    /// What becomes of a booking whose client hangs up before it has the response. By default it is finished.
    pub on_disconnect: OnDisconnect,
    /// A time for which the service waits in the middle of each booking, at the step of the dedup mode where another request, a crash
    /// or a client that hangs up can do the most harm. By default `0s`: it does not wait.
    pub processing_time: DurationText,
    /// The time for which dedup mode `Replay` remembers a key. A repeat that comes later is booked as a new payment. If it is absent,
    /// keys are remembered for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": NOT_ZERO, "message": "0s forgets every key at once; use at least 1ms"}]))]
    pub key_ttl: Option<DurationText>,
    /// What becomes of a request without an idempotency key in a dedup mode that needs one. By default it is booked.
    pub missing_key: MissingKey,
    /// The probability with which the service answers 500 to a request that it has booked, from 0 to 1. A client that takes such an
    /// answer for a "no" is wrong about its money. The decision follows from the seed, the payment and the number of the attempt. If it
    /// is absent, the service answers as it has booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fail_after: Option<f64>,
    /// The database that holds the ledger on a cluster. If it is absent, the ledger is an SQLite file on the disk of the only service
    /// pod. `paylab run` ignores this field and has the option `--database`.
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

/// Whether the operator keeps the parts of a finished experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Retain {
    /// The parts are removed as soon as the experiment has ended.
    Never,
    /// The parts are kept if the verdict is not the expected one or if there is none, and removed otherwise.
    #[default]
    OnFailure,
    /// The parts are kept until the experiment is deleted.
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
            recovery: None,
            redeliver: None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 0,
            backoff: Backoff::default(),
            attempt_timeout: DurationText::from_ms(5_000),
            stuck_after: 20,
        }
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
            fail_after: None,
            database: None,
        }
    }
}
