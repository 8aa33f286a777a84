//! What a ledger that shows only a total says of one payment: how much the total has risen since the payment was first tried.

use paylab_contract::ledger::{ForeignEntry, Total};
use paylab_core::money::MinorUnits;

use super::Checking;
use crate::control::ControlError;

/// A rise is taken for at most this many entries of the amount that is paid.
const ENTRIES_MAX: i64 = 10;

impl Checking<'_> {
    /// Notes the total before a payment is tried for the first time. What cannot be read now is told when the payment is looked for.
    pub(super) async fn note_total(&self, total: &Total, payment: u64) {
        if self.totals_before.borrow().contains_key(&payment) {
            return;
        }
        if let Ok(now) = self.ledger().total(total).await {
            self.totals_before.borrow_mut().insert(payment, now);
        }
    }

    /// The rise of the total since then, as entries of the amount that is paid, if it is a few of them.
    pub(super) async fn risen(&self, total: &Total, payment: u64) -> Result<Vec<ForeignEntry>, ControlError> {
        let now = self.ledger().total(total).await?;
        let before = self.totals_before.borrow().get(&payment).copied().unwrap_or_default();
        let (risen, amount) = (now.0.saturating_sub(before.0), self.load.plan.amount.0.max(1));
        let (times, rest) = (risen / amount, risen % amount);
        let entry = |minor| ForeignEntry { amount: MinorUnits(minor), currency: None };
        Ok(match (times, rest) {
            (0, 0) => Vec::new(),
            (1..=ENTRIES_MAX, 0) => (0..times).map(|_| entry(amount)).collect(),
            _ => vec![entry(risen)],
        })
    }

    /// `the total has risen by 2.00 EUR`.
    pub(super) fn rise_in_words(&self, entries: &[ForeignEntry]) -> String {
        let risen = MinorUnits(entries.iter().map(|entry| entry.amount.0).sum());
        format!("the total has risen by {risen} {}", self.load.plan.currency)
    }
}
