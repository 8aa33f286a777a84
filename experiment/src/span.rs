//! A length of time as people write it in a resource: `250ms`, `5s`, `10m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A length of time in whole milliseconds, written as a number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    ms: u64,
}

/// A text that is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a whole number of ms, s, m or h, such as 250ms or 5s")]
pub struct SpanError;

/// At most nine digits, so that no unit overflows.
pub(crate) const PATTERN: &str = "^[0-9]{1,9}(ms|s|m|h)$";
/// Nine digits and the longest unit.
const LEN_MAX: usize = 11;
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

impl Span {
    /// A span of so many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// Its length in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (digits, ms) =
            UNITS.iter().find_map(|(unit, ms)| text.strip_suffix(unit).map(|digits| (digits, ms))).ok_or(SpanError)?;
        let clean = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count: u64 = if clean { digits.parse().map_err(|_| SpanError)? } else { return Err(SpanError) };
        Ok(Self { ms: count * ms })
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: u64| self.ms.is_multiple_of(unit);
        match self.ms {
            0 => f.write_str("0s"),
            ms if whole(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            ms if whole(60_000) => write!(f, "{}m", ms / 60_000),
            ms if whole(1_000) => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": LEN_MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_back_what_it_shows() {
        for (text, ms) in
            [("0s", 0), ("250ms", 250), ("1500ms", 1_500), ("5s", 5_000), ("10m", 600_000), ("2h", 7_200_000)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.ms(), span.to_string().as_str()), (ms, text));
        }
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "9999999999s", "1d", "1µs"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }
}
