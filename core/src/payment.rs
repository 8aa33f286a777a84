//! Which payment, and which attempt of it.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The index of a payment in its experiment, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(pub u64);

/// One attempt of one payment: the value of the header `Paylab-Attempt`, written `i/k` with `k` from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The payment.
    pub payment: PaymentId,
    /// Its number, from 1.
    pub attempt: u32,
}

/// A text that is not `i/k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not PAYMENT/ATTEMPT, such as 0/1")]
pub struct AttemptIdError;

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
}
