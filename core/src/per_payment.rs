//! One small row for each payment of a share: flat, so that 10^8 payments fit one pod.

use std::ops::Range;

use crate::payment::PaymentId;

/// A row for each payment of a contiguous share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerPayment<T> {
    first: u64,
    rows: Vec<T>,
}

impl<T: Clone + Default> PerPayment<T> {
    /// Empty rows for a share.
    #[must_use]
    pub fn new(share: Range<u64>) -> Self {
        let len = usize::try_from(share.end.saturating_sub(share.start)).unwrap_or(0);
        Self { first: share.start, rows: vec![T::default(); len] }
    }
}

impl<T> PerPayment<T> {
    /// The payments it is about.
    #[must_use]
    pub const fn share(&self) -> Range<u64> {
        self.first..self.first + self.rows.len() as u64
    }

    /// The row of a payment; `None` outside the share.
    #[must_use]
    pub fn row(&self, payment: PaymentId) -> Option<&T> {
        self.rows.get(self.index(payment)?)
    }

    /// The row of a payment, to be changed; `None` outside the share.
    pub fn row_mut(&mut self, payment: PaymentId) -> Option<&mut T> {
        let index = self.index(payment)?;
        self.rows.get_mut(index)
    }

    /// Every row, in the order of payments.
    pub fn iter(&self) -> impl Iterator<Item = (PaymentId, &T)> {
        (self.first..).map(PaymentId).zip(&self.rows)
    }

    fn index(&self, payment: PaymentId) -> Option<usize> {
        usize::try_from(payment.0.checked_sub(self.first)?).ok()
    }
}
