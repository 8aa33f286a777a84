//! The contract as a user writes it.

mod place;

use std::collections::BTreeMap;

use paylab_core::{duration_text::DurationText, targets::ours::Dedup};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::place::{
    EnvSpec, ImageSpec, Place, PullPolicy, QuantityText, ResourcesSpec, SecretKeyRef, SecretName, SecretSpec,
    SecurityContextSpec, ServiceSpec, ValueFrom,
};

/// The longest URL or path.
pub const URL_LEN_MAX: usize = 2048;
/// The longest query.
pub const QUERY_LEN_MAX: usize = 8192;
/// The longest certificates of authorities, in bytes.
pub const CA_LEN_MAX: usize = 65_536;

/// A service that is not Paylab's own: how it is paid, what its answers mean, and where its ledger is read. Nothing about the service
/// is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "[has(self.url), has(self.service), has(self.image)].filter(one, one).size() == 1",
         "message": "needs exactly one of url, service and image"},
        {"rule": "!has(self.secrets) || self.secrets.all(s, self.secrets.exists_one(t, t.name.lowerAscii() == s.name.lowerAscii()))",
         "fieldPath": ".secrets", "message": "each secret needs a name of its own, in any case"},
    ]))
)]
pub struct TargetSpec {
    /// Where the service is: `http://HOST[:PORT][/PATH]`, or the same with `https`. The paths of `pay` and `ledger` follow it. Exactly one
    /// of `url`, `service` and `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_LEN_MAX)))]
    pub url: Option<String>,
    /// The Service behind which it runs on a cluster. On one machine `--target` or `--target-command` replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// The container image that is deployed on a cluster for the run. On one machine `--target` or `--target-command` replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
    /// Where the secrets are on a cluster that the contract calls `{secret.NAME}`. Their values are in no status, event, log or
    /// `ConfigMap`. On one machine they are in the environment, as `PAYLAB_SECRET_NAME`, and this field is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub secrets: Vec<SecretSpec>,
    /// Who may sign the certificate of an `https` service: certificates in PEM. By default the authorities that the machine knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = CA_LEN_MAX)))]
    pub ca: Option<String>,
    /// How the service is believed to treat repeats, as one of the dedup modes of Paylab's own service. With it the totals are
    /// predicted. If it is absent, nothing is predicted, and the claim alone is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Dedup>,
    /// The headers of every request, of payments and of the ledger alike. Placeholders as in `pay`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 32)))]
    pub headers: BTreeMap<String, String>,
    /// The reference by which a payment is found in the ledger again. It contains `{run}` and, at its end, `{payment}`. By default
    /// `{run}-{payment}`, where `{run}` is 8 hexadecimal digits that no other run has.
    #[serde(default = "default_reference")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 128)))]
    pub reference: String,
    /// How a payment is asked for, and what the answers mean.
    pub pay: PaySpec,
    /// Where the money is read: exactly one of `list`, `lookup`, `sql` and `total`.
    pub ledger: LedgerSpec,
    /// What the control of `paylab check` pays with, which proves that the ledger can show a payment that was booked twice. By default
    /// the same reference under another key.
    #[serde(default)]
    pub control: ControlSpec,
}

/// How a payment is asked for, and what the answers mean. In every text, `{reference}`, `{key}`, `{payment}`, `{attempt}`, `{run}`,
/// `{amount.minor}`, `{amount.decimal}`, `{currency}`, `{from}`, `{to}` and `{secret.NAME}` are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PaySpec {
    /// The path of the request, which is a POST.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_LEN_MAX)))]
    pub post: String,
    /// The headers of the request, beside those that every request has. One whose value contains `{key}` is left out when the client
    /// sends no key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 32)))]
    pub headers: BTreeMap<String, String>,
    /// The body as JSON. A text that is one placeholder keeps its type: `"{amount.minor}"` becomes a number. At most one of `json`,
    /// `form` and `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::any_object"))]
    pub json: Option<Value>,
    /// The body as the fields of a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 64)))]
    pub form: Option<BTreeMap<String, String>>,
    /// The body as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16384)))]
    pub text: Option<String>,
    /// What the answers mean: the first rule that matches counts. An answer that no rule matches means what HTTP says: 2xx is an
    /// acknowledgement (208 a repeat), 409, 425, 429 and 5xx say "try again", and other 4xx are refusals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 32)))]
    pub answers: Vec<AnswerSpec>,
    /// Where an acknowledgement names the payment, as a JSONPath. All acknowledgements of one payment must give it the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub identity: Option<String>,
}

/// What an answer means. Whatever is named must match: the status, the headers and the values in the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnswerSpec {
    /// The statuses. If it is absent, every status matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), inner(range(min = 200, max = 599))))]
    pub status: Vec<i32>,
    /// Headers and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 16)))]
    pub header: BTreeMap<String, String>,
    /// JSONPaths into the body and the values that may stand there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::values_by_path"))]
    pub json: BTreeMap<String, Vec<Value>>,
    /// What such an answer means.
    pub means: Meaning,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Meaning {
    /// The payment is booked.
    Acknowledged,
    /// The payment was booked before, by another attempt.
    Repeat,
    /// Another attempt of the payment is being worked on. The client asks again.
    InFlight,
    /// The payment is refused for good, and was not booked by this attempt.
    Rejected,
    /// The service does not say. The client asks again.
    Unknown,
}

/// Where the money is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "[has(self.list), has(self.lookup), has(self.sql), has(self.total)].filter(one, one).size() == 1",
         "message": "needs exactly one of list, lookup, sql and total"},
    ]))
)]
pub struct LedgerSpec {
    /// A list of all payments, page by page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListSpec>,
    /// One request for each payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LookupSpec>,
    /// The rows of a query to the service's database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlSpec>,
    /// The total of all payments, where the service shows no more than that. It suffices for the claim `ExactTotal` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<TotalSpec>,
    /// When the ledger counts as settled.
    #[serde(default)]
    pub settle: SettleSpec,
}

/// What an item of a ledger is: which payment, how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "has(self.minor) != has(self.major)", "message": "needs exactly one amount: minor or major"},
    ]))
)]
pub struct ListSpec {
    /// The path of the first page.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_LEN_MAX)))]
    pub get: String,
    /// The items of a page, as a JSONPath.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub items: String,
    /// The reference of an item, as a JSONPath into the item.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub reference: String,
    /// What the service calls an item, as a JSONPath into the item. An item that is on two pages, because the list has changed while it was
    /// read, counts once then. If it is absent, every item counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub id: Option<String>,
    /// The amount of an item in minor units, such as cents, as a JSONPath into the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub minor: Option<String>,
    /// The amount of an item in major units, such as euros, as a JSONPath into the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub major: Option<String>,
    /// The currency of an item, as a JSONPath into the item. It is compared in any case. If it is absent, it is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub currency: Option<String>,
    /// Which items are money that has moved: JSONPaths into the item and the values that may stand there. If it is absent, all are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::values_by_path"))]
    pub counts: BTreeMap<String, Vec<Value>>,
    /// How the next page is found. If it is absent, there is one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextSpec>,
}

/// How the next page is found: exactly one of `query`, `url` and `link`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "[has(self.query), has(self.url), has(self.link)].filter(one, one).size() == 1",
         "message": "needs exactly one of query, url and link"},
    ]))
)]
pub struct NextSpec {
    /// Parameters of the query and the JSONPaths into the page at which their values stand. There is no next page where one is absent,
    /// null or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 8)))]
    pub query: Option<BTreeMap<String, String>>,
    /// The URL of the next page, as a JSONPath into the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub url: Option<String>,
    /// The relation of the header `Link` that names the next page, such as `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub link: Option<String>,
    /// There is a next page only while `true` stands at this JSONPath.
    #[serde(default, rename = "while", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub while_true: Option<String>,
}

/// One request for each payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "has(self.minor) != has(self.major)", "message": "needs exactly one amount: minor or major"},
    ]))
)]
pub struct LookupSpec {
    /// The path of the request, with `{reference}` or `{key}`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_LEN_MAX)))]
    pub get: String,
    /// The entries of the payment, as a JSONPath. By default the whole body is one.
    #[serde(default = "whole_body")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub items: String,
    /// The statuses that say that the payment has no entry. By default 404.
    #[serde(default = "not_found")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16), inner(range(min = 200, max = 599))))]
    pub absent: Vec<i32>,
    /// The amount of an entry in minor units, such as cents, as a JSONPath into the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub minor: Option<String>,
    /// The amount of an entry in major units, such as euros, as a JSONPath into the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub major: Option<String>,
    /// The currency of an entry, as a JSONPath into the entry. It is compared in any case. If it is absent, it is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub currency: Option<String>,
    /// Which entries are money that has moved: JSONPaths into the entry and the values that may stand there. If it is absent, all are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::values_by_path"))]
    pub counts: BTreeMap<String, Vec<Value>>,
}

/// The rows of a query to the service's database: one row for each entry. The query is run in a transaction that reads only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "has(self.minor) != has(self.major)", "message": "needs exactly one amount: minor or major"},
    ]))
)]
pub struct SqlSpec {
    /// The database: `postgres://USER@HOST[:PORT]/DATABASE`, `mysql://USER@HOST[:PORT]/DATABASE` or `sqlite:FILE`. A password is
    /// written as `{secret.NAME}`, and the whole URL may be a secret. `--ledger-url` replaces it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_LEN_MAX)))]
    pub url: String,
    /// The query, a `SELECT`. `{run}` in it becomes the 8 hexadecimal digits that the run's references have and no other run's. Rows
    /// with other references are passed over.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = QUERY_LEN_MAX)))]
    pub query: String,
    /// The column of the reference.
    #[serde(default = "reference_column")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub reference: String,
    /// The column of the amount in minor units, such as cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub minor: Option<String>,
    /// The column of the amount in major units, such as euros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub major: Option<String>,
    /// The column of the currency. It is compared in any case. If it is absent, it is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub currency: Option<String>,
}

/// The total of all payments. What it was before the load is subtracted, so that nobody else may pay meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "has(self.minor) != has(self.major)", "message": "needs exactly one amount: minor or major"},
    ]))
)]
pub struct TotalSpec {
    /// The path of the request.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_LEN_MAX)))]
    pub get: String,
    /// The total in minor units, such as cents, as a JSONPath.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub minor: Option<String>,
    /// The total in major units, such as euros, as a JSONPath.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub major: Option<String>,
}

/// When the ledger counts as settled: two readings of it are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SettleSpec {
    /// The pause between two readings. By default 1 second.
    pub quiet: DurationText,
    /// The longest time that the ledger may take to settle; after it the verdict is `Inconclusive`. By default 1 minute.
    pub within: DurationText,
}

/// What the control pays with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ControlSpec {
    /// Whether the control pays the same reference again, or another one.
    pub reference: ControlReference,
}

/// Whether the control pays the same reference again, or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ControlReference {
    /// The same reference under another key: the ledger must show two entries of one payment.
    #[default]
    Same,
    /// A second reference, for a service that takes each reference once: the ledger must show both.
    New,
}

impl Default for SettleSpec {
    fn default() -> Self {
        Self { quiet: DurationText::from_ms(1_000), within: DurationText::from_ms(60_000) }
    }
}

fn default_reference() -> String {
    "{run}-{payment}".to_owned()
}

fn reference_column() -> String {
    "reference".to_owned()
}

fn whole_body() -> String {
    "$".to_owned()
}

fn not_found() -> Vec<i32> {
    vec![404]
}

/// Schemas of values whose form the user's service decides.
#[cfg(feature = "schema")]
mod schema {
    use schemars::{Schema, SchemaGenerator, json_schema};

    /// A JSON object with any fields.
    pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
    }

    /// For each JSONPath, the values that may stand there.
    pub(super) fn values_by_path(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": 16,
            "additionalProperties": {
                "type": "array", "minItems": 1, "maxItems": 32, "items": {"x-kubernetes-preserve-unknown-fields": true},
            },
        })
    }
}
