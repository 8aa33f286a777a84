//! The story of one payment: its attempts as client and proxy have seen them, and its entries in the ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    chronicle::fate::AttemptFate,
    judge::anomaly::Anomaly,
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Belief, Ending},
        record::RecordLine,
    },
};

/// One payment, attempt by attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentStory {
    /// Its index.
    pub payment: u64,
    /// What the client believes at the end.
    pub belief: Belief,
    /// How the client's work on it ended.
    pub ending: Ending,
    /// What is wrong with it, the worst first.
    pub anomalies: Vec<Anomaly>,
    /// Its attempts, in the order of their numbers.
    pub attempts: Vec<AttemptStory>,
    /// Its entries, in the order of their ids; `None`: the ledger was not read.
    pub entries: Option<Vec<EntryStory>>,
}

/// One attempt, as client and proxy have seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptStory {
    /// Its number, from 1.
    pub attempt: u32,
    /// What the client has noted; `None`: nothing, or no more.
    pub client: Option<ClientTrace>,
    /// What the proxy has recorded; `None`: nothing.
    pub proxy: Option<RecordLine>,
    /// When the proxy had read the head of the request, in microseconds on the client's clock, as near as causality tells.
    pub proxy_at_us: Option<u64>,
}

/// What the client has noted of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientTrace {
    /// When it began, in microseconds since the load began.
    pub start_us: u64,
    /// How long it took until its outcome was known, in microseconds.
    pub took_us: u64,
    /// What the client may believe after it.
    pub outcome: AttemptOutcome,
    /// The status of the whole answer, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// One entry of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryStory {
    /// Its number in the ledger; in the ledger of a service of the user's own, its place.
    pub id: i64,
    /// How much, in minor units.
    pub amount_minor: i64,
}

impl AttemptStory {
    /// What happened to it on its way; `None`: the proxy has not recorded it.
    #[must_use]
    pub fn fate(&self) -> Option<AttemptFate> {
        self.proxy.as_ref().map(AttemptFate::of)
    }

    /// Whether the service has received the whole request.
    #[must_use]
    pub fn arrived(&self) -> bool {
        self.proxy.as_ref().is_some_and(|line| line.forwarded_whole)
    }

    /// Whether it can have booked an entry: it has arrived, and nobody has called it a repeat or refused it.
    #[must_use]
    fn can_have_booked(&self) -> bool {
        let is_repeat = self
            .client
            .is_some_and(|client| matches!(client.outcome, AttemptOutcome::Acknowledged(Acknowledgement::Repeat)));
        let status = self.proxy.as_ref().and_then(|line| line.status);
        self.arrived() && !is_repeat && status.is_none_or(|status| (200..300).contains(&status) && status != 208)
    }

    /// When it began, in microseconds since the load began.
    #[must_use]
    pub fn began_us(&self) -> Option<u64> {
        self.client.map(|client| client.start_us).or(self.proxy_at_us)
    }
}

impl PaymentStory {
    /// How many entries it has, as far as is known.
    #[must_use]
    pub fn booked(&self) -> u64 {
        self.entries.as_ref().map_or(0, |entries| entries.len() as u64)
    }

    /// Which attempt has booked which entry: both in their order, if there are as many requests that can have booked as there are entries.
    /// Else it is not known, and nothing is returned.
    #[must_use]
    pub fn bookings(&self) -> BTreeMap<u32, EntryStory> {
        let entries = self.entries.as_deref().unwrap_or_default();
        let mut booking: Vec<_> = self.attempts.iter().filter(|attempt| attempt.can_have_booked()).collect();
        booking.sort_by_key(|attempt| attempt.proxy_at_us);
        if booking.len() != entries.len() {
            return BTreeMap::new();
        }
        booking.into_iter().map(|attempt| attempt.attempt).zip(entries.iter().copied()).collect()
    }

    /// When its first attempt began, in microseconds since the load began.
    #[must_use]
    pub fn began_us(&self) -> u64 {
        self.attempts.iter().filter_map(AttemptStory::began_us).min().unwrap_or(0)
    }
}

/// How far the proxy's clock is behind the client's, in microseconds: no request is read before it was sent, and none is read after its
/// outcome was known. `None`: no attempt is known to both.
#[must_use]
pub fn clock_offset_us<'a>(pairs: impl Iterator<Item = (&'a ClientTrace, &'a RecordLine)>) -> Option<i64> {
    let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let bounds = pairs.map(|(client, proxy)| {
        let start = signed(client.start_us);
        (start - signed(proxy.t_us), start.saturating_add(signed(client.took_us)) - signed(proxy.t_us))
    });
    let (least, most) = bounds.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)))?;
    // Most requests are read soon after they were sent.
    Some(least.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fault::point::Point,
        witness::{
            attempt::Uncertainty,
            record::{End, Protocol},
        },
    };

    fn line(t_us: u64, forwarded_whole: bool, status: Option<u16>) -> RecordLine {
        RecordLine {
            seq: 0,
            t_us,
            conn: 0,
            nth: 1,
            payment: 3,
            attempt: 1,
            attributed: true,
            protocol: Protocol::Http1,
            coins: Vec::new(),
            fault: None,
            at: None,
            bytes_up: 0,
            bytes_down: 0,
            forwarded_whole,
            status,
            rst_client_ok: None,
            rst_service_ok: None,
            held_us: None,
            took_us: None,
            kill: None,
            bytes_reason: None,
            end: End::Relayed,
        }
    }

    fn attempt(number: u32, forwarded_whole: bool, status: Option<u16>) -> AttemptStory {
        let proxy_at_us = Some(u64::from(number));
        AttemptStory { attempt: number, client: None, proxy: Some(line(0, forwarded_whole, status)), proxy_at_us }
    }

    fn story(attempts: Vec<AttemptStory>, entries: &[i64]) -> PaymentStory {
        let entries = entries.iter().map(|id| EntryStory { id: *id, amount_minor: 100 }).collect();
        let (belief, ending) = (Belief::Acknowledged, Ending::Acknowledged);
        PaymentStory { payment: 3, belief, ending, anomalies: Vec::new(), attempts, entries: Some(entries) }
    }

    #[test]
    fn entries_belong_to_the_requests_that_arrived_and_were_no_repeats() {
        let attempts = vec![attempt(1, false, None), attempt(2, true, Some(200)), attempt(3, true, Some(208))];
        let bookings = story(attempts, &[17]).bookings();
        assert_eq!(bookings.into_iter().map(|(attempt, entry)| (attempt, entry.id)).collect::<Vec<_>>(), [(2, 17)]);
    }

    #[test]
    fn entries_that_do_not_fit_the_requests_belong_to_none() {
        let attempts = vec![attempt(1, true, Some(200)), attempt(2, true, Some(200))];
        assert!(story(attempts, &[17]).bookings().is_empty());
    }

    #[test]
    fn clocks_are_aligned_by_what_must_have_come_first() {
        let outcome = AttemptOutcome::Unknown(Uncertainty::Reset);
        let client = |start_us, took_us| ClientTrace { start_us, took_us, outcome, status: None };
        let pairs = [(client(1_000, 500), line(5_100, true, None)), (client(2_000, 300), line(6_020, true, None))];
        assert_eq!(clock_offset_us(pairs.iter().map(|(client, proxy)| (client, proxy))), Some(-4_020));
    }

    #[test]
    fn the_fate_of_a_request_is_where_it_was_struck() {
        let struck =
            |at, end, held_us| AttemptFate::of(&RecordLine { at: Some(at), end, held_us, ..line(0, true, None) });
        assert_eq!(struck(Point::BeforeRequest, End::Faulted, None), AttemptFate::RequestLost);
        assert_eq!(struck(Point::BeforeResponse, End::Faulted, None), AttemptFate::AnswerLost);
        assert_eq!(struck(Point::MidResponse, End::Faulted, None), AttemptFate::AnswerCut);
        assert_eq!(struck(Point::BeforeRequest, End::ClientGone, Some(9)), AttemptFate::Held);
        assert_eq!(struck(Point::BeforeResponse, End::ServiceGone, None), AttemptFate::Broken);
        assert_eq!(AttemptFate::of(&line(0, true, Some(200))), AttemptFate::Passed);
    }
}
