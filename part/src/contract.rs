//! What the parts send to one another: ports, paths, names of headers and variables, JSON bodies. Both ends use these.

use serde::{Deserialize, Serialize};

use paylab_core::fault::{point::Point, spec::FaultSpec};

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
/// `GET`: the ledger as NDJSON with a footer. Query: [`LedgerQuery`].
pub const LEDGER_PATH: &str = "/ledger";
/// `GET`: answers once everything that began before it has ended (service and proxy). Query: [`DrainQuery`].
pub const DRAIN_PATH: &str = "/drain";
/// `GET`: the process is running.
pub const HEALTH_PATH: &str = "/healthz";
/// `GET`: the process can do its work.
pub const READY_PATH: &str = "/readyz";
/// `GET`: what a part has counted: [`ServiceCounters`] at the service, [`ProxyCounters`] at the proxy's control port.
///
/// [`ServiceCounters`]: paylab_core::witness::ledger::ServiceCounters
pub const COUNTERS_PATH: &str = "/paylab/counters";
/// `GET`, `PUT`, `DELETE` at the control port: the [`Rules`] in force.
pub const RULES_PATH: &str = "/paylab/rules";
/// `POST` at the control port: the owner renews its lease. Body: [`LeaseRenewal`].
pub const LEASE_PATH: &str = "/paylab/lease";
/// `GET` at the control port: the record as NDJSON with a footer. Query: [`PaymentWindow`].
pub const RECORD_PATH: &str = "/paylab/record";
/// `GET` at the control port: the fates of payments, without any traffic, NDJSON of [`PlannedFate`]. Query: [`PlanQuery`].
pub const PLAN_PATH: &str = "/paylab/plan";

/// The lesson's idempotency key, a bare string.
pub const KEY_HEADER: &str = "Payment-Idempotence-Key";
/// The IETF draft's idempotency key, a structured-field string: quoted, or bare.
pub const DRAFT_KEY_HEADER: &str = "Idempotency-Key";
/// `true` on an answer that was stored for an earlier request.
pub const REPLAYED_HEADER: &str = "Idempotency-Replayed";
/// `i/k`: which payment, which attempt. The proxy draws the fate of a request by it.
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

/// The index of a worker, set by Kubernetes in the pods of an indexed Job.
pub const WORKER_INDEX_ENV: &str = "JOB_COMPLETION_INDEX";
/// How much evidence a load pod may write to its log, in bytes; see [`crate::evidence_log`]. It is a variable and not an argument, so that
/// a lab that was begun with an older image ignores it.
pub const EVIDENCE_BYTES_ENV: &str = "PAYLAB_EVIDENCE_BYTES";
/// The report of a worker must fit the termination message of its pod, whose size Kubernetes limits to this many bytes.
pub const TERMINATION_MESSAGE_MAX: usize = 4096;

/// The message with which a load logs its progress, with the fields `acknowledged` and `attempts`. On a cluster the operator
/// reads it from the logs, so that no pod needs rights to report it.
pub const PROGRESS_MESSAGE: &str = "load under way";

/// A refusal, in the format of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of refusal, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what is allowed.
    pub detail: String,
    /// The field or header that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// The faults of one run. To put the same run again renews the lease and keeps the record; another run id starts a new record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The run.
    pub run_id: String,
    /// The seed that decides every fate.
    pub seed: u64,
    /// The faults.
    pub faults: Vec<FaultSpec>,
    /// No fault strikes an attempt with a larger number; absent: every attempt can be struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_struck: Option<u32>,
    /// This many milliseconds after the last renewal the rules expire, and every request passes without faults.
    pub lease_ms: u64,
}

/// The rules in force, as `GET` shows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulesInForce {
    /// The rules.
    pub rules: Rules,
    /// The time until they expire, in milliseconds; 0: they have expired, and every request passes without faults.
    pub lease_left_ms: u64,
}

/// The owner of the rules renews their lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRenewal {
    /// The run; 409 when the rules of another run are in force.
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

/// Which entries of the ledger are sent: with `run`, those of its payments outside `from` to `to` are only counted, in the footer. All
/// other entries are sent: those of the window, those of other runs, and those without a reference.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LedgerQuery {
    /// The run whose payments the window is about; without it every entry is sent.
    pub run: Option<String>,
    /// The first payment (default 0); only with `run`.
    pub from: Option<u64>,
    /// One past the last payment (default: all further ones); only with `run`.
    pub to: Option<u64>,
}

/// The timeout of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrainQuery {
    /// In milliseconds (default 10,000, at most 3,600,000, an hour); 503 when it takes longer.
    pub timeout_ms: Option<u64>,
}

/// Which fates are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanQuery {
    /// The first payment (default 0).
    pub from: Option<u64>,
    /// One past the last payment (default `from + 10`); at most 100,000 more than `from`.
    pub to: Option<u64>,
    /// Attempts of each (default 3, at most 1000).
    pub attempts: Option<u32>,
}

/// The fate of an attempt, without traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFate {
    /// The payment.
    pub payment: u64,
    /// The attempt.
    pub attempt: u32,
    /// The faults that fire.
    pub fired: Vec<String>,
    /// The fault that takes effect.
    pub fault: Option<String>,
    /// The point at which it takes effect.
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
    /// Connections that were reset without an order by a fault. 0 in a valid run.
    pub unintended_resets: u64,
    /// Connections whose upstream could not be reached; part of the unintended resets.
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
