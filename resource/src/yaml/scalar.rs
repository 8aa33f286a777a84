//! The value of a scalar, by the rules of Go's YAML library of version 2 (`resolve.go`), and then of its conversion to JSON.

use serde_json::{Number, Value};

/// The prefix of the tags that YAML itself defines.
const YAML_TAGS: &str = "tag:yaml.org,2002:";
/// Below this, JSON shows a whole number without an exponent.
const WHOLE_MAX: f64 = 1e21;

/// The value of a scalar, or what is wrong with it. `tag` is its whole tag, such as `tag:yaml.org,2002:int`.
pub(super) fn value(text: &str, is_plain: bool, tag: Option<&str>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return if is_plain { resolved(text) } else { Ok(Value::from(text)) };
    };
    let Some(kind) = tag.strip_prefix(YAML_TAGS) else { return Ok(Value::from(text)) };
    let fits: fn(&Value) -> bool = match kind {
        "bool" => Value::is_boolean,
        "int" => |value| value.is_i64() || value.is_u64(),
        "float" => Value::is_number,
        "null" => Value::is_null,
        "binary" => return Err("the tag !!binary is not allowed; write the text itself".to_owned()),
        _ => return Ok(Value::from(text)),
    };
    let value = resolved(text)?;
    if fits(&value) { Ok(value) } else { Err(format!("{text:?} is not what its tag !!{kind} says")) }
}

/// The value of a scalar without quotes.
fn resolved(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::from(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::from(false));
        }
        ".nan" | ".NaN" | ".NAN" => return Err(format!("{text} is not a number that can be used here")),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Err(format!("{text} is not a number that can be used here"));
    }
    let number = if text.starts_with('.') { float(text) } else { number(&text.replace('_', "")) };
    Ok(number.map_or_else(|| Value::from(text), Value::Number))
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
        return None;
    }
    whole(text).or_else(|| float(text))
}

/// A whole number of 64 bits. A leading zero makes it octal.
fn whole(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0o" | "0O") => (&digits[2..], 8),
        Some("0b" | "0B") => (&digits[2..], 2),
        Some(two) if two.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(size).map(Number::from) } else { Some(Number::from(size)) }
}

/// A decimal number with a fraction or an exponent. One without a fraction becomes a whole number.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 1e21 are exact in 128 bits")]
fn float(text: &str) -> Option<Number> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_float = digits(before) && digits(after) && digits(exponent) && !exponent.is_empty();
    if !is_float || (before.is_empty() && after.is_empty()) {
        return None;
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        Number::from_i128(number as i128).or_else(|| Number::from_f64(number))
    } else {
        Number::from_f64(number)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_without_quotes_are_those_of_gos_library() {
        for (text, meant) in [
            ("42", json!(42)),
            ("+42", json!(42)),
            ("-42", json!(-42)),
            ("052", json!(42)),
            ("-052", json!(-42)),
            ("0o52", json!(42)),
            ("0x2A", json!(42)),
            ("0b101010", json!(42)),
            ("09", json!(9)),
            ("1_000", json!(1000)),
            ("1_e3", json!(1000)),
            ("1e+06", json!(1_000_000)),
            ("5.0", json!(5)),
            ("5.", json!(5)),
            (".5", json!(0.5)),
            ("+.5e1", json!(5)),
            ("-0.0", json!(0)),
            ("0.0_1", json!(0.01)),
            ("5.5", json!(5.5)),
            ("1e-9", json!(1e-9)),
            ("9223372036854775807", json!(i64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("9223372036854775808", json!(1_u64 << 63)),
            ("1e18", json!(1_000_000_000_000_000_000_u64)),
            ("1e22", json!(1e22)),
            ("yes", json!(true)),
            ("n", json!(false)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("NULL", json!(null)),
        ] {
            assert_eq!(value(text, true, None), Ok(meant), "{text}");
        }
        for text in ["0x", "0x-1", "1:30", "2001-12-14", "1e999", ".", "-", "+", "e5", "1.2.3", "yEs", "0b2", "a"] {
            assert_eq!(value(text, true, None), Ok(json!(text)), "{text}");
        }
        for text in [".inf", "-.Inf", ".nan"] {
            assert!(value(text, true, None).is_err(), "{text}");
        }
    }

    #[test]
    fn quotes_make_a_text_and_tags_decide() {
        assert_eq!(value("5", false, None), Ok(json!("5")));
        for (text, tag, meant) in [
            ("123", "tag:yaml.org,2002:str", Some(json!("123"))),
            ("5", "tag:yaml.org,2002:int", Some(json!(5))),
            ("5", "tag:yaml.org,2002:float", Some(json!(5))),
            ("yes", "tag:yaml.org,2002:bool", Some(json!(true))),
            ("", "tag:yaml.org,2002:null", Some(json!(null))),
            ("5", "!mine", Some(json!("5"))),
            ("x", "tag:yaml.org,2002:int", None),
            ("5", "tag:yaml.org,2002:null", None),
            ("YWJj", "tag:yaml.org,2002:binary", None),
        ] {
            assert_eq!(value(text, false, Some(tag)).ok(), meant, "{tag} {text}");
        }
    }
}
