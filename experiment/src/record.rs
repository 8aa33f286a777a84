//! What the proxy writes down of every request: the judge's ground truth.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{evidence::Seal, spec::Point};

/// A coin as it is written: 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Coin(pub u64);

/// One request that the proxy has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLine {
    /// The request's number in the record, from 0.
    pub seq: u64,
    /// When its head was read, in microseconds since the rules were put.
    pub t_us: u64,
    /// The number of its connection since the rules were put, from 0.
    pub conn: u64,
    /// Its number on that connection, from 1.
    pub nth: u32,
    /// Which payment; without a `Paylab-Attempt` header the connection's number.
    pub payment: u64,
    /// Which attempt; without a `Paylab-Attempt` header `nth`.
    pub attempt: u32,
    /// Whether the header said so. A run with a request that did not cannot be replayed.
    pub attributed: bool,
    /// Whether it was understood as HTTP/1.1.
    pub protocol: Protocol,
    /// One coin for each fault, in the order of the rules.
    pub coins: Vec<Coin>,
    /// The fault that took effect.
    pub fault: Option<String>,
    /// Where it reset.
    pub at: Option<Point>,
    /// Bytes of it sent to the service.
    pub bytes_up: u64,
    /// Bytes of its response sent to the client.
    pub bytes_down: u64,
    /// Whether the service was sent all of it.
    pub forwarded_whole: bool,
    /// The status of the final response, when its head came from the service.
    pub status: Option<u16>,
    /// Whether the client's socket was reset on purpose, and that succeeded.
    pub rst_client_ok: Option<bool>,
    /// Whether the service's socket was reset on purpose, and that succeeded.
    pub rst_service_ok: Option<bool>,
    /// How it ended.
    pub end: End,
}

/// What the proxy took a connection for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Requests with boundaries.
    Http1,
    /// TLS, HTTP/2 or anything else: bytes that are passed.
    Bytes,
}

/// How a request ended, as the proxy saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Not yet: the fault, if any, is intended.
    Intended,
    /// The fault was carried out.
    Faulted,
    /// The response was relayed whole.
    Relayed,
    /// The client went away first.
    ClientGone,
    /// The service broke the connection; the client was reset though no fault said so.
    ServiceGone,
    /// The service could not be dialled; the client was reset though no fault said so.
    Unreachable,
}

/// The last line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFooter {
    /// Count and hash of the lines before it.
    #[serde(flatten)]
    pub seal: Seal,
    /// Whose record it is.
    pub run_id: Option<String>,
    /// Requests of this record in all, whatever window was asked for.
    pub requests: u64,
    /// Connections accepted since the rules were put.
    pub connections: u64,
    /// Requests without a `Paylab-Attempt` header.
    pub unattributed: u64,
    /// Connections reset though no fault said so.
    pub unintended_resets: u64,
    /// Requests that could not be written down (a full disk, say).
    pub unrecorded: u64,
    /// Requests that passed because the rules had lapsed.
    pub lapsed: u64,
}

/// A line of the record's NDJSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecordItem {
    /// `{"request": {...}}`
    Request(RecordLine),
    /// `{"footer": {...}}`
    Footer(RecordFooter),
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Coin {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl TryFrom<String> for Coin {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Coin> for String {
    fn from(coin: Coin) -> Self {
        coin.to_string()
    }
}
