//! The wires between the parts: ports, paths, header and variable names, JSON bodies. Both ends use these.

use serde::{Deserialize, Serialize};

use crate::spec::{Fault, Point};

/// Where the payment service listens.
pub const SERVICE_PORT: u16 = 8080;
/// Where the reset proxy takes payments.
pub const PROXY_PORT: u16 = 8888;
/// Where the reset proxy is controlled.
pub const CONTROL_PORT: u16 = 8474;

/// `POST` pays, `DELETE` empties the ledger and the keys. Also without the slash at the end.
pub const PAYMENTS_PATH: &str = "/payments/";
/// `GET`: the total booked, a JSON number in major units.
pub const STATS_PATH: &str = "/stats";
/// `GET`: the ledger as NDJSON with a footer.
pub const LEDGER_PATH: &str = "/ledger";
/// `GET`: answers once everything that had begun before it has ended (service and proxy). Query: [`DrainQuery`].
pub const DRAIN_PATH: &str = "/drain";
/// `GET`: the process lives.
pub const HEALTH_PATH: &str = "/healthz";
/// `GET`: the process can do its work.
pub const READY_PATH: &str = "/readyz";
/// `GET`: the part's own counts ([`ServiceCounters`] at the service, [`ProxyCounters`] at the proxy's control port).
pub const COUNTERS_PATH: &str = "/paylab/counters";
/// `GET`, `PUT`, `DELETE` at the control port: the [`Rules`] in force.
pub const RULES_PATH: &str = "/paylab/rules";
/// `POST` at the control port: the owner renews its lease. Body: [`LeaseRenewal`].
pub const LEASE_PATH: &str = "/paylab/lease";
/// `GET` at the control port: the record as NDJSON with a footer. Query: [`PaymentWindow`].
pub const RECORD_PATH: &str = "/paylab/record";
/// `GET` at the control port: the fates of payments without any traffic, NDJSON of [`PlannedFate`]. Query: [`PlanQuery`].
pub const PLAN_PATH: &str = "/paylab/plan";

/// The lesson's idempotency key, a bare string.
pub const KEY_HEADER: &str = "Payment-Idempotence-Key";
/// The IETF draft's idempotency key, a structured-field string: quoted, or bare.
pub const DRAFT_KEY_HEADER: &str = "Idempotency-Key";
/// `true` on an answer that was stored for an earlier request.
pub const REPLAYED_HEADER: &str = "Idempotency-Replayed";
/// `i/k`: which payment, which attempt. The proxy finds the fate by it.
pub const ATTEMPT_HEADER: &str = "Paylab-Attempt";
/// The payment's reference, which the service stores in every mode.
pub const REFERENCE_HEADER: &str = "Paylab-Reference";

/// Longer keys and references are refused with 400.
pub const KEY_LEN_MAX: usize = 255;
/// Longer bodies are refused with 413.
pub const BODY_LEN_MAX: usize = 64 * 1024;
/// The media type of refusals.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// The media type of the ledger and the record.
pub const NDJSON: &str = "application/x-ndjson";

/// The share of an indexed Job's pod, set by Kubernetes.
pub const SHARD_INDEX_ENV: &str = "JOB_COMPLETION_INDEX";
/// A pod's report must fit its termination message.
pub const TERMINATION_MESSAGE_MAX: usize = 4096;

/// The message with which a load logs how far it is, with the fields `acknowledged` and `attempts`. On a cluster the operator
/// reads it from the logs, so that no pod needs rights to tell.
pub const PROGRESS_MESSAGE: &str = "load under way";

/// Refusals, in the shape of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of refusal, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what is allowed.
    pub detail: String,
    /// The field or header it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// The faults of one run, as the proxy obeys them. The same run put again renews the lease and keeps the record;
/// another run id starts a new record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Which run.
    pub run_id: String,
    /// Decides every fate.
    pub seed: u64,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// The rules lapse to pass-through this long after the last renewal, in milliseconds.
    pub lease_ms: u64,
}

/// The rules in force, as `GET` shows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulesInForce {
    /// As they were put.
    pub rules: Rules,
    /// How long until they lapse, in milliseconds; 0: they have, and every request passes.
    pub lease_left_ms: u64,
}

/// The owner of the rules is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRenewal {
    /// Which run; 409 when other rules are in force.
    pub run_id: String,
}

/// Payments `from` up to but not including `to`; both optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PaymentWindow {
    /// The first payment.
    pub from: Option<u64>,
    /// One past the last payment.
    pub to: Option<u64>,
}

/// How long a drain may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrainQuery {
    /// In milliseconds (default 10,000, at most 60,000); 503 when it takes longer.
    pub timeout_ms: Option<u64>,
}

/// Which fates to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanQuery {
    /// The first payment (default 0).
    pub from: Option<u64>,
    /// One past the last payment (default `from + 10`); at most 100,000 more than `from`.
    pub to: Option<u64>,
    /// Attempts of each (default 3, at most 1000).
    pub attempts: Option<u32>,
}

/// The fate of an attempt that nobody has sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFate {
    /// Which payment.
    pub payment: u64,
    /// Which attempt.
    pub attempt: u32,
    /// The faults that fire.
    pub fired: Vec<String>,
    /// The one that takes effect.
    pub fault: Option<String>,
    /// Where it resets.
    pub at: Option<Point>,
}

/// What the reset proxy has counted since it started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Requests whose head was read.
    pub requests: u64,
    /// Requests that named their payment and attempt.
    pub attempts: u64,
    /// Requests not yet completed.
    pub in_flight: u64,
    /// Connections that were reset though no fault said so. 0 in a valid run.
    pub unintended_resets: u64,
    /// Connections whose upstream could not be reached (part of the unintended resets).
    pub upstream_unreachable: u64,
    /// Resets on purpose, by point.
    pub resets: std::collections::BTreeMap<String, u64>,
    /// Resets on purpose, by fault.
    pub faults: std::collections::BTreeMap<String, u64>,
    /// Responses that came from the service, by class (`2xx`).
    pub responses: std::collections::BTreeMap<String, u64>,
    /// Bytes to the service.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
}
