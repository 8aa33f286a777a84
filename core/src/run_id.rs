//! The name of one run, and the references of its payments.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::payment::PaymentId;

/// The name of one run: entries of different runs in one database are told apart by it. At most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunId(String);

/// A text that is no run id. Headers, references and database schemas must all be able to carry one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not 1 to 64 letters, digits or dashes")]
pub struct RunIdError;

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let fits = (1..=64).contains(&text.len());
        let clean = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits && clean { Ok(Self(text.to_owned())) } else { Err(RunIdError) }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RunId {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The schema of a shared database that holds this run's ledger alone.
    #[must_use]
    pub fn schema(&self) -> String {
        format!("paylab_{}", self.0.replace('-', "_").to_lowercase())
    }

    /// The reference of a payment, unique over all runs: `{run}.{i}`. The service stores it in every mode.
    #[must_use]
    pub fn reference(&self, payment: PaymentId) -> String {
        format!("{}.{}", self.0, payment.0)
    }

    /// The payment a reference or key of this run belongs to; `None` for anything this run did not make.
    #[must_use]
    pub fn payment_of(&self, reference: &str) -> Option<PaymentId> {
        let rest = reference.strip_prefix(&self.0)?.strip_prefix('.')?;
        let (payment, attempt) = match rest.split_once('.') {
            Some((payment, attempt)) => (payment, Some(attempt)),
            None => (rest, None),
        };
        if let Some(attempt) = attempt {
            attempt.parse::<u32>().ok()?;
        }
        payment.parse().ok().map(PaymentId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_with_other_characters_is_refused() {
        for text in ["", "a b", "a.b", "a\r\nb", &"x".repeat(65)] {
            assert_eq!(text.parse::<RunId>(), Err(RunIdError), "{text}");
        }
    }
}
