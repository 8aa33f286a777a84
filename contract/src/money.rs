//! Money as foreign ledgers write it, read without a float.

use paylab_core::money::MinorUnits;
use serde_json::Value;

use crate::path::Path;

/// Where an amount stands, and in which unit.
#[derive(Debug, Clone)]
pub enum AmountPath {
    /// In minor units, such as cents.
    Minor(Path),
    /// In major units, such as euros.
    Major(Path),
}

/// The unit in which an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Minor units, such as cents.
    Minor,
    /// Major units, such as euros.
    Major,
}

impl Unit {
    /// The amount that a text is; `None`: it is not a whole number of minor units.
    #[must_use]
    pub fn read(self, text: &str) -> Option<MinorUnits> {
        let minor = match self {
            Self::Minor => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                whole.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'))
            }
            Self::Major => minor_of(text),
        };
        minor.map(MinorUnits)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }
}

impl AmountPath {
    /// The amount in a value.
    ///
    /// # Errors
    /// There is none, or it is not a whole number of minor units.
    pub fn read(&self, value: &Value) -> Result<MinorUnits, String> {
        let (path, unit) = match self {
            Self::Minor(path) => (path, Unit::Minor),
            Self::Major(path) => (path, Unit::Major),
        };
        let text = path.text(value).ok_or_else(|| format!("has no amount at {}", path.as_str()))?;
        unit.read(&text).ok_or_else(|| {
            format!("has \"{text:.40}\" at {}, which is no amount in {} units", path.as_str(), unit.name())
        })
    }
}

/// The minor units of an exact decimal with at most two places that are not zero.
fn minor_of(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 2 {
        return None;
    }
    let cents: i64 = format!("{fraction:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        let major = AmountPath::Major(Path::parse("$.a").unwrap());
        for (value, minor) in [
            (json!("10.00"), Some(1000)),
            (json!("0.1"), Some(10)),
            (json!(1000.0), Some(100_000)),
            (json!(7), Some(700)),
            (json!("-1.50"), Some(-150)),
            (json!("1.2300"), Some(123)),
            (json!("1.234"), None),
            (json!("1e3"), None),
            (json!(".5"), None),
            (json!(""), None),
            (json!(null), None),
            (json!("99999999999999999999"), None),
        ] {
            let read = major.read(&json!({"a": value}));
            assert_eq!(read.clone().ok().map(|amount| amount.0), minor, "{value}: {read:?}");
        }
        let minor = AmountPath::Minor(Path::parse("$.a").unwrap());
        assert_eq!(minor.read(&json!({"a": 100})), Ok(MinorUnits(100)));
        assert_eq!(minor.read(&json!({"a": "100"})), Ok(MinorUnits(100)));
        assert!(minor.read(&json!({"a": 1.5})).is_err() && minor.read(&json!({})).is_err());
    }
}
