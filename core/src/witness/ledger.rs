//! What the service has booked, and the sums of it by payment.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    client::BodyDrift,
    money::MinorUnits,
    payment::PaymentId,
    per_payment::PerPayment,
    plan::Plan,
    run_id::RunId,
    witness::seal::{Flaw, Seal, SealedStream},
};

/// At most this many references of phantoms are kept as examples.
const PHANTOMS_KEPT: usize = 3;
/// A kept reference is cut to this many characters.
const REFERENCE_SHOWN: usize = 40;

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
    /// What the service has counted, so that its requests can be compared with the proxy's.
    pub counters: ServiceCounters,
    /// The entries that were not sent, because they are of payments outside the window that was asked for.
    #[serde(default)]
    pub elsewhere: Elsewhere,
}

/// Entries that were counted and not sent. What was sent and this together are the whole ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Elsewhere {
    /// How many.
    pub entries: u64,
    /// What they add up to, in cents.
    pub amount_minor: i64,
}

/// What the payment service has counted since it started, also when the caller had hung up. Once nothing is in flight, `requests` is
/// the sum of `booked`, `repeats`, `refused` and `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceCounters {
    /// Whole `POST /payments/` requests that were received.
    pub requests: u64,
    /// Entries whose commit the database has confirmed.
    pub booked: u64,
    /// Requests recognised as repeats.
    pub repeats: u64,
    /// Requests refused with 4xx.
    pub refused: u64,
    /// All other requests: those that ended in 5xx, those that were cancelled because their caller had hung up, and those that were
    /// acknowledged before a booking that failed. If a commit was not answered, such a request may be booked nevertheless.
    pub failed: u64,
    /// Requests whose booking has not ended.
    pub in_flight: u64,
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

/// What a ledger held before the load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Baseline {
    /// The number of its last entry.
    pub last_id: Option<i64>,
    /// How many entries.
    pub entries: u64,
    /// How many of them the service has booked since it started.
    pub booked: u64,
    /// How many whole requests the service has counted since it started.
    pub requests: u64,
    /// What its entries added up to, in minor units.
    pub total_minor: i64,
}

/// What each entry is compared with: the same for every reading of the ledger.
#[derive(Debug, Clone)]
struct Asked {
    run: RunId,
    count: u64,
    parties: (String, String),
    amount_minor: i64,
    drift: BodyDrift,
    /// The largest amount that an attempt of the plan can ask for.
    amount_most_minor: i64,
    baseline: Baseline,
    /// Whether the ledger shows a total and no entry.
    shows_total_only: bool,
    /// Whether the footer's counts are all about this share, so that they can be compared: one worker, one process that serves it.
    counts_compare: bool,
}

/// The ledger added up by payment, one line at a time.
#[derive(Debug, Clone)]
pub struct LedgerTally {
    asked: Asked,
    rows: PerPayment<LedgerRow>,
    /// The amounts of each payment's entries, kept only where repeats may ask for other amounts.
    amounts: BTreeMap<u64, Vec<i64>>,
    /// The stream that it was read from.
    pub stream: SealedStream<LedgerFooter>,
    lines: u64,
    last_id: Option<i64>,
    sum_minor: i64,
    /// Entries of this share.
    pub entries: u64,
    /// What the entries of this share add up to.
    pub booked: MinorUnits,
    /// Entries since the baseline that no payment of this run asked for. Every share sees them all.
    pub phantoms: u64,
    /// What they add up to.
    pub phantoms_booked: MinorUnits,
    /// The first few references of phantoms.
    pub phantom_references: Vec<String>,
}

/// What the ledger holds of one payment, in two bytes: the number of its entries, and whether one of them is foreign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerRow(u16);

impl LedgerRow {
    /// Set once an entry was foreign.
    const FOREIGN: u16 = 1 << 15;

    /// The number of its entries, counted up to 32,767.
    #[must_use]
    pub const fn entries(self) -> u16 {
        self.0 & !Self::FOREIGN
    }

    /// Whether an entry has parties or an amount that no attempt can have asked for.
    #[must_use]
    pub const fn is_foreign(self) -> bool {
        self.0 & Self::FOREIGN != 0
    }

    fn add(&mut self, foreign: bool) {
        let entries = (self.entries() + 1).min(!Self::FOREIGN);
        let foreign = if foreign { Self::FOREIGN } else { self.0 & Self::FOREIGN };
        self.0 = entries | foreign;
    }
}

impl LedgerTally {
    /// An empty tally for the payments of a share, in a ledger that was at `baseline` before the load.
    #[must_use]
    pub fn new(plan: &Plan, run: &RunId, share: Range<u64>, baseline: Baseline) -> Self {
        let asked = Asked {
            run: run.clone(),
            count: plan.count,
            parties: (plan.from.clone(), plan.to.clone()),
            amount_minor: plan.amount.0,
            drift: plan.client.body_drift,
            amount_most_minor: plan.amount_most().0,
            baseline,
            shows_total_only: plan.target.shows_total_only(),
            counts_compare: plan.counts_all_requests() && plan.client.workers == 1,
        };
        Self::empty(asked, share)
    }

    /// An empty tally of the same share, for another reading.
    #[must_use]
    pub fn begun_again(&self) -> Self {
        Self::empty(self.asked.clone(), self.rows.share())
    }

    fn empty(asked: Asked, share: Range<u64>) -> Self {
        Self {
            asked,
            rows: PerPayment::new(share),
            amounts: BTreeMap::new(),
            stream: SealedStream::default(),
            lines: 0,
            last_id: None,
            sum_minor: 0,
            entries: 0,
            booked: MinorUnits::default(),
            phantoms: 0,
            phantoms_booked: MinorUnits::default(),
            phantom_references: Vec::new(),
        }
    }

    /// Takes one line of the ledger, with its newline. A line that cannot be read becomes a flaw, never an error.
    pub fn take(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(LedgerItem::Entry(entry)) => {
                self.stream.line(line);
                self.add(&entry);
            }
            Ok(LedgerItem::Footer(footer)) => {
                self.check(&footer);
                let seal = footer.seal.clone();
                self.stream.close(footer, &seal);
            }
            Err(_) => self.stream.spoil(Flaw::Unreadable),
        }
    }

    /// What the ledger held before the load.
    #[must_use]
    pub const fn baseline(&self) -> Baseline {
        self.asked.baseline
    }

    /// What the ledger holds, as the baseline of a load that begins now.
    #[must_use]
    pub fn as_baseline(&self) -> Baseline {
        let footer = self.stream.footer();
        Baseline {
            last_id: self.last_id,
            entries: self.lines + footer.map_or(0, |footer| footer.elsewhere.entries),
            booked: footer.map_or(0, |footer| footer.counters.booked),
            requests: footer.map_or(0, |footer| footer.counters.requests),
            total_minor: footer.map_or(0, |footer| footer.total_minor),
        }
    }

    /// What the ledger holds of a payment of the share.
    #[must_use]
    pub fn row(&self, payment: PaymentId) -> LedgerRow {
        self.rows.row(payment).copied().unwrap_or_default()
    }

    /// Whether it says of each payment what was booked: it was read whole, and shows entries.
    #[must_use]
    pub fn shows_payments(&self) -> bool {
        self.stream.is_whole() && !self.asked.shows_total_only
    }

    /// How many payments of the share have an entry.
    #[must_use]
    pub fn booked_payments(&self) -> u64 {
        self.rows.iter().filter(|(_, row)| row.entries() > 0).count() as u64
    }

    /// Whether a payment has an entry of an amount.
    #[must_use]
    pub fn holds(&self, payment: PaymentId, amount: MinorUnits) -> bool {
        match self.asked.drift {
            BodyDrift::None => amount.0 == self.asked.amount_minor && self.row(payment).entries() > 0,
            BodyDrift::Amount => self.amounts.get(&payment.0).is_some_and(|amounts| amounts.contains(&amount.0)),
        }
    }

    /// Compares the footer with the lines before it.
    fn check(&mut self, footer: &LedgerFooter) {
        let Elsewhere { entries, amount_minor } = footer.elsewhere;
        if footer.total_minor != self.sum_minor.saturating_add(amount_minor) {
            self.stream.spoil(Flaw::WrongSum);
        }
        if !self.asked.counts_compare {
            return;
        }
        if footer.counters.in_flight > 0 {
            let cause = format!("{} requests are in flight", footer.counters.in_flight);
            self.stream.reject(Flaw::Unsettled, cause);
        }
        let counted = footer.counters.booked.checked_sub(self.asked.baseline.booked);
        let new = (self.lines + entries).checked_sub(self.asked.baseline.entries);
        // A request that has failed may have been booked nevertheless, if the database did not answer to its commit.
        let fits = counted
            .zip(new)
            .is_some_and(|(counted, new)| (counted..=counted.saturating_add(footer.counters.failed)).contains(&new));
        if !fits {
            let text = |count: Option<u64>| count.map_or_else(|| "fewer than before".to_owned(), |it| it.to_string());
            let cause = format!("{} new entries, {} counted by the service", text(new), text(counted));
            self.stream.reject(Flaw::Miscounted, cause);
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.lines += 1;
        if self.last_id.is_some_and(|last| entry.id <= last) {
            self.stream.spoil(Flaw::Disordered);
        }
        self.last_id = Some(entry.id);
        self.sum_minor = self.sum_minor.saturating_add(entry.amount_minor);
        let payment = entry.reference.as_deref().and_then(|reference| self.asked.run.payment_of(reference));
        match payment.filter(|payment| payment.0 < self.asked.count) {
            Some(payment) => self.add_to(payment, entry),
            // What was there before the load is not of its making.
            None if self.asked.baseline.last_id.is_some_and(|last| entry.id <= last) => {}
            None => self.add_phantom(entry),
        }
    }

    fn add_to(&mut self, payment: PaymentId, entry: &Entry) {
        let Some(row) = self.rows.row_mut(payment) else { return };
        let amount_fits = match self.asked.drift {
            BodyDrift::None => entry.amount_minor == self.asked.amount_minor,
            BodyDrift::Amount => (self.asked.amount_minor..=self.asked.amount_most_minor).contains(&entry.amount_minor),
        };
        row.add(!amount_fits || (&entry.src, &entry.dest) != (&self.asked.parties.0, &self.asked.parties.1));
        if self.asked.drift == BodyDrift::Amount {
            self.amounts.entry(payment.0).or_default().push(entry.amount_minor);
        }
        self.entries += 1;
        self.booked.0 = self.booked.0.saturating_add(entry.amount_minor);
    }

    fn add_phantom(&mut self, entry: &Entry) {
        self.phantoms += 1;
        self.phantoms_booked.0 = self.phantoms_booked.0.saturating_add(entry.amount_minor);
        if self.phantom_references.len() < PHANTOMS_KEPT {
            let reference = entry.reference.as_deref().unwrap_or("(no reference)");
            self.phantom_references.push(reference.chars().take(REFERENCE_SHOWN).collect());
        }
    }
}
