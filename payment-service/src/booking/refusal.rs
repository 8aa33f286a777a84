//! Why a payment is not booked.

/// Why a payment is not booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BookingRefusal {
    /// 400: the mode needs a key.
    MissingKey,
    /// 503: the queue is full.
    Busy,
    /// 500: the database has failed. The log says why. If its commit was not answered, the payment may be booked.
    Failed,
    /// 500: dropped, because the caller has hung up or the service ends.
    Dropped,
}
