//! What the service has booked: the money that moved.

use serde::{Deserialize, Serialize};

use crate::evidence::Seal;

/// One row of the ledger: money that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the ledger, ascending.
    pub id: i64,
    /// The payment's reference, or the key of a client that sent none; absent when it sent neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Who paid.
    pub src: String,
    /// Who was paid.
    pub dest: String,
    /// How much, in cents.
    pub amount_minor: i64,
}

/// The last line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFooter {
    /// Count and hash of the lines before it.
    #[serde(flatten)]
    pub seal: Seal,
    /// The sum of all entries, in cents, as the database adds them up.
    pub total_minor: i64,
    /// What the service has counted, so that its requests can be held against the proxy's.
    pub counters: crate::contract::ServiceCounters,
}

/// A line of the ledger's NDJSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LedgerItem {
    /// `{"entry": {...}}`
    Entry(Entry),
    /// `{"footer": {...}}`
    Footer(LedgerFooter),
}
