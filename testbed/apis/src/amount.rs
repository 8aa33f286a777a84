//! Amounts as decimal texts with at most two decimals, without floating-point numbers.

/// The minor units of a text such as `10`, `10.5` or `10.00`; none for everything else, and for zero.
pub(crate) fn from_decimal(text: &str) -> Option<u64> {
    let (major, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(major, 1..=12) || !digits(decimals, 1..=2) {
        return None;
    }
    let minor = major.parse::<u64>().ok()? * 100 + format!("{decimals:0<2}").parse::<u64>().ok()?;
    (minor > 0).then_some(minor)
}

/// The text of an amount, with two decimals.
pub(crate) fn to_decimal(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

#[cfg(test)]
mod tests {
    use super::{from_decimal, to_decimal};

    #[test]
    fn amounts_are_exact_or_refused() {
        for (text, minor) in [("1", 100), ("1.5", 150), ("0.01", 1), ("10.00", 1000)] {
            assert_eq!(from_decimal(text), Some(minor), "{text}");
        }
        for text in ["", ".", "1.", ".5", "0", "0.00", "1.000", "-1", "1e3", "NaN", "1,00", "1234567890123"] {
            assert_eq!(from_decimal(text), None, "{text}");
        }
        assert_eq!(to_decimal(1005), "10.05");
    }
}
