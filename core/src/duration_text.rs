//! A duration as it is written in a resource: `250ms`, `5s`, `10m`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A duration in whole milliseconds, written as a number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationText {
    ms: u64,
}

/// A text that is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a whole number of ms, s, m or h, such as 250ms or 5s")]
pub struct DurationTextError;

/// The length of nine digits and the longest unit.
#[cfg(feature = "schema")]
const LEN_MAX: usize = 11;
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

impl DurationText {
    /// A duration of this many milliseconds.
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

impl FromStr for DurationText {
    type Err = DurationTextError;

    fn from_str(text: &str) -> Result<Self, DurationTextError> {
        let (digits, ms) = UNITS
            .iter()
            .find_map(|(unit, ms)| text.strip_suffix(unit).map(|digits| (digits, ms)))
            .ok_or(DurationTextError)?;
        let clean = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count: u64 =
            if clean { digits.parse().map_err(|_| DurationTextError)? } else { return Err(DurationTextError) };
        Ok(Self { ms: count * ms })
    }
}

impl TryFrom<String> for DurationText {
    type Error = DurationTextError;

    fn try_from(text: String) -> Result<Self, DurationTextError> {
        text.parse()
    }
}

impl From<DurationText> for String {
    fn from(duration: DurationText) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for DurationText {
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

#[cfg(feature = "schema")]
impl schemars::JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DurationText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pattern = crate::text_form::DURATION.pattern;
        schemars::json_schema!({"type": "string", "pattern": pattern, "maxLength": LEN_MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_it_is_written() {
        for (text, ms) in
            [("0s", 0), ("250ms", 250), ("1500ms", 1_500), ("5s", 5_000), ("10m", 600_000), ("2h", 7_200_000)]
        {
            let duration: DurationText = text.parse().unwrap();
            assert_eq!((duration.ms(), duration.to_string().as_str()), (ms, text));
        }
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "9999999999s", "1d", "1µs"] {
            assert_eq!(text.parse::<DurationText>(), Err(DurationTextError), "{text}");
        }
    }
}
