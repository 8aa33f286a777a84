//! Who a payment is: its index, the reference that traces it, the idempotency key that a client sends.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{fate::coin, spec::KeyPolicy};

/// The index of a payment in its experiment, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(pub u64);

/// One try of one payment: the value of the header `Paylab-Attempt`, written `i/k` with `k` from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// Which payment.
    pub payment: PaymentId,
    /// Which try of it, from 1.
    pub attempt: u32,
}

/// A text that is not `i/k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not PAYMENT/ATTEMPT, such as 0/1")]
pub struct AttemptIdError;

/// Names one run, so that entries of different runs in one database are never confused. At most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunId(String);

/// A run id of characters that a header, a reference and a database schema can all carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not 1 to 64 letters, digits or dashes")]
pub struct RunIdError;

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.payment.0, self.attempt)
    }
}

impl FromStr for AttemptId {
    type Err = AttemptIdError;

    fn from_str(text: &str) -> Result<Self, AttemptIdError> {
        let (payment, attempt) = text.split_once('/').ok_or(AttemptIdError)?;
        let attempt = attempt.parse().map_err(|_| AttemptIdError)?;
        let payment = PaymentId(payment.parse().map_err(|_| AttemptIdError)?);
        if attempt == 0 { Err(AttemptIdError) } else { Ok(Self { payment, attempt }) }
    }
}

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

    /// The seed of an experiment that names none: the same for every part of the run, and one that a status can hold.
    #[must_use]
    pub fn seed(&self) -> u64 {
        coin(0, AttemptId { payment: PaymentId(0), attempt: 1 }, &self.0) >> 1
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

    /// The idempotency key of an attempt under a policy: the reference, with `.{k}` behind it where each attempt has its own.
    #[must_use]
    pub fn key(&self, policy: KeyPolicy, id: AttemptId) -> Option<String> {
        match policy {
            KeyPolicy::None => None,
            KeyPolicy::PerPayment => Some(self.reference(id.payment)),
            KeyPolicy::PerAttempt => Some(format!("{}.{}", self.reference(id.payment), id.attempt)),
        }
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
    fn an_attempt_id_survives_its_header() {
        let id = AttemptId { payment: PaymentId(38), attempt: 3 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1", "1/", "/1", "1/0", "-1/1", "1/1/1", "1/99999999999", "a/b"] {
            assert_eq!(text.parse::<AttemptId>(), Err(AttemptIdError), "{text}");
        }
    }

    #[test]
    fn a_key_leads_back_to_its_payment_and_to_no_other_run() {
        let run: RunId = "7c1f-a".parse().unwrap();
        let other: RunId = "7c1f".parse().unwrap();
        let id = AttemptId { payment: PaymentId(5), attempt: 2 };
        for policy in [KeyPolicy::PerPayment, KeyPolicy::PerAttempt] {
            let key = run.key(policy, id).unwrap();
            assert_eq!(run.payment_of(&key), Some(PaymentId(5)), "{key}");
            assert_eq!(other.payment_of(&key), None, "{key}");
        }
        assert_eq!(run.key(KeyPolicy::None, id), None);
        for forged in ["", "7c1f-a", "7c1f-a.", "7c1f-a.x", "7c1f-a.1.x", "7c1f-a5"] {
            assert_eq!(run.payment_of(forged), None, "{forged}");
        }
    }

    #[test]
    fn a_run_id_carries_no_surprises() {
        for text in ["", "a b", "a.b", "a\r\nb", &"x".repeat(65)] {
            assert_eq!(text.parse::<RunId>(), Err(RunIdError), "{text}");
        }
    }
}
