//! Money as whole minor units (cents). It is read and shown as decimal text, and it is never a floating-point number.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many minor units make one major unit. Every currency of the lab has two decimals.
const MINOR_PER_MAJOR: i64 = 100;
/// The largest amount one payment may move: one billion major units.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000 * MINOR_PER_MAJOR;

/// An amount of money in minor units (cents). Differences may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MinorUnits(pub i64);

/// Why a text is not an amount that can be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not digits with an optional decimal point.
    #[error("is not a decimal number")]
    NotDecimal,
    /// A third decimal that is not zero cannot be paid.
    #[error("has more than two decimals")]
    TooFine,
    /// Zero or less moves no money.
    #[error("must be more than zero")]
    NotPositive,
    /// More than [`AMOUNT_MINOR_MAX`].
    #[error("must be at most 1000000000.00")]
    TooLarge,
}

impl MinorUnits {
    /// Reads an amount to be paid, such as `1`, `1.5` or `1.00` (major units).
    ///
    /// # Errors
    /// The reason why the text is not a payable amount.
    pub fn parse_payable(text: &str) -> Result<Self, AmountError> {
        if let Some(rest) = text.strip_prefix('-') {
            return Err(if is_decimal(rest) { AmountError::NotPositive } else { AmountError::NotDecimal });
        }
        if !is_decimal(text) {
            return Err(AmountError::NotDecimal);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > 2 {
            return Err(AmountError::TooFine);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let cents: i64 = format!("{fraction:0<2}").parse().map_err(|_| AmountError::NotDecimal)?;
        let minor = whole.checked_mul(MINOR_PER_MAJOR).and_then(|minor| minor.checked_add(cents));
        match minor {
            Some(0) => Err(AmountError::NotPositive),
            Some(minor) if minor <= AMOUNT_MINOR_MAX => Ok(Self(minor)),
            Some(_) | None => Err(AmountError::TooLarge),
        }
    }

    /// The lesson's `GET /stats`: major units as a JSON number that always has a decimal point (`0.0`, `1000.0`, `14.55`).
    #[must_use]
    pub fn to_stats(self) -> String {
        let text = self.to_string();
        text.strip_suffix('0').map(str::to_owned).unwrap_or(text)
    }
}

/// Digits, then optionally a point and digits.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

impl fmt::Display for MinorUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (per, all) = (MINOR_PER_MAJOR.unsigned_abs(), self.0.unsigned_abs());
        f.pad(&format!("{sign}{}.{:02}", all / per, all % per))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        for (text, minor) in [("1", 100), ("1.0", 100), ("1.00", 100), ("0.01", 1), ("1000000000.00", AMOUNT_MINOR_MAX)]
        {
            assert_eq!(MinorUnits::parse_payable(text), Ok(MinorUnits(minor)), "{text}");
        }
        for (text, error) in [
            ("", AmountError::NotDecimal),
            ("NaN", AmountError::NotDecimal),
            ("1e2", AmountError::NotDecimal),
            ("+1", AmountError::NotDecimal),
            (".5", AmountError::NotDecimal),
            ("1.", AmountError::NotDecimal),
            ("-x", AmountError::NotDecimal),
            ("0.001", AmountError::TooFine),
            ("0", AmountError::NotPositive),
            ("0.00", AmountError::NotPositive),
            ("-1", AmountError::NotPositive),
            ("1000000000.01", AmountError::TooLarge),
            ("99999999999999999999", AmountError::TooLarge),
            ("92233720368547759", AmountError::TooLarge),
        ] {
            assert_eq!(MinorUnits::parse_payable(text), Err(error), "{text}");
        }
    }

    #[test]
    fn totals_are_shown_with_two_decimals_and_in_stats_with_at_least_one() {
        let shown: Vec<_> = [0, 5, 100_000, 1_455, -45_500].map(|minor| MinorUnits(minor).to_string()).into();
        assert_eq!(shown, ["0.00", "0.05", "1000.00", "14.55", "-455.00"]);
        let stats: Vec<_> = [0, 100_000, 1_450, 1_455].map(|minor| MinorUnits(minor).to_stats()).into();
        assert_eq!(stats, ["0.0", "1000.0", "14.5", "14.55"]);
    }
}
