//! One payment, as it is booked.

use paylab_core::money::MinorUnits;

/// One payment to be booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Identifies the payment in every mode.
    pub(crate) reference: Option<String>,
    /// The same for all repeats of a request.
    pub(crate) key: Option<String>,
    /// The account that pays.
    pub(crate) src: String,
    /// The account that is paid.
    pub(crate) dest: String,
    /// How much.
    pub(crate) amount: MinorUnits,
}

impl Payment {
    /// Equal for two requests with the same content, however it is written.
    pub(crate) fn fingerprint(&self) -> String {
        serde_json::json!([self.src, self.dest, self.amount.0]).to_string()
    }
}
