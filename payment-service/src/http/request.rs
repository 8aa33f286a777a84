//! Reads a payment from the headers and the body of a request, exactly, or refuses it with the name of the field.

use axum::http::HeaderMap;
use paylab_core::money::MinorUnits;
use paylab_part::contract::{DRAFT_KEY_HEADER, KEY_HEADER, KEY_LEN_MAX, REFERENCE_HEADER};
use serde::Deserialize;
use serde_json::value::RawValue;
use sfv::{BareItem, Item, Parser, Version};

use crate::payment::Payment;

/// The longest name of an account, in bytes.
const ACCOUNT_LEN_MAX: usize = 64;

/// What is wrong with a request: the field or header, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestFault {
    /// Which field or header; `None`: the body as a whole.
    pub(crate) field: Option<&'static str>,
    /// What is wrong and what is allowed.
    pub(crate) detail: String,
}

/// The fields of the body as they are written: an amount must never become a float.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    src: Option<&'a RawValue>,
    #[serde(borrow)]
    dest: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
}

/// Reads a payment; the error is the first problem found.
pub(crate) fn read_payment(headers: &HeaderMap, body: &[u8]) -> Result<Payment, RequestFault> {
    let key = key(headers)?;
    let reference = header(headers, REFERENCE_HEADER)?.or_else(|| key.clone());
    let Body { src, dest, amount } = serde_json::from_slice(body)
        .map_err(|error| fault(None, format!("the body is not one JSON object: {error}")))?;
    let (src, dest) = (account("src", src)?, account("dest", dest)?);
    Ok(Payment { reference, key, src, dest, amount: read_amount(amount)? })
}

fn fault(field: Option<&'static str>, detail: impl Into<String>) -> RequestFault {
    RequestFault { field, detail: detail.into() }
}

fn present<'a>(field: &'static str, value: Option<&'a RawValue>) -> Result<&'a RawValue, RequestFault> {
    value.ok_or_else(|| fault(Some(field), format!("{field} is missing")))
}

fn account(field: &'static str, value: Option<&RawValue>) -> Result<String, RequestFault> {
    let account: String = serde_json::from_str(present(field, value)?.get())
        .map_err(|_| fault(Some(field), format!("{field} must be a string")))?;
    let fits = (1..=ACCOUNT_LEN_MAX).contains(&account.len()) && !account.contains(char::is_control);
    if fits {
        Ok(account)
    } else {
        Err(fault(Some(field), format!("{field} must have 1 to {ACCOUNT_LEN_MAX} characters")))
    }
}

/// A number or a string, read as it is written.
fn read_amount(value: Option<&RawValue>) -> Result<MinorUnits, RequestFault> {
    let raw = present("amount", value)?.get();
    let text = if raw.starts_with('"') { serde_json::from_str(raw).unwrap_or_default() } else { raw.to_owned() };
    MinorUnits::parse_payable(&text).map_err(|error| fault(Some("amount"), format!("amount {error}")))
}

/// The key in the lesson's header or in the draft's; both are accepted when they agree.
fn key(headers: &HeaderMap) -> Result<Option<String>, RequestFault> {
    let bare = header(headers, KEY_HEADER)?;
    let draft = match only_value(headers, DRAFT_KEY_HEADER)? {
        None => None,
        Some(value) => Some(fitting(DRAFT_KEY_HEADER, unquoted(value)?)?),
    };
    match (bare, draft) {
        (Some(bare), Some(draft)) if bare != draft => {
            Err(fault(Some(DRAFT_KEY_HEADER), format!("{DRAFT_KEY_HEADER} and {KEY_HEADER} differ; send one of them")))
        }
        (bare, draft) => Ok(bare.or(draft)),
    }
}

fn header(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, RequestFault> {
    only_value(headers, name)?.map(|value| fitting(name, value.to_owned())).transpose()
}

fn only_value<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, RequestFault> {
    let refuse = |detail: &str| fault(Some(name), format!("{name} {detail}"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("is there more than once"));
    }
    value.to_str().map(Some).map_err(|_| refuse("must be visible ASCII"))
}

fn fitting(name: &'static str, text: String) -> Result<String, RequestFault> {
    if (1..=KEY_LEN_MAX).contains(&text.len()) {
        Ok(text)
    } else {
        Err(fault(Some(name), format!("{name} must have 1 to {KEY_LEN_MAX} characters")))
    }
}

/// The string of a quoted key, a structured field (RFC 8941) whose parameters are ignored; a bare key as it is.
fn unquoted(text: &str) -> Result<String, RequestFault> {
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    match Parser::new(text).with_version(Version::Rfc8941).parse::<Item>() {
        Ok(Item { bare_item: BareItem::String(key), params: _ }) => Ok(key.as_str().to_owned()),
        Ok(_) | Err(_) => {
            let detail = format!("{DRAFT_KEY_HEADER} is not a well-formed quoted string (RFC 8941)");
            Err(fault(Some(DRAFT_KEY_HEADER), detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn read(headers: &[(&'static str, &str)], body: &str) -> Result<Payment, Option<&'static str>> {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        read_payment(&headers.collect(), body.as_bytes()).map_err(|fault| fault.field)
    }

    const BODY: &str = r#"{"src":"bianca","dest":"marc","amount":"1.00"}"#;

    #[test]
    fn an_amount_may_be_a_number_or_a_string_and_is_read_exactly() {
        for (amount, minor) in [("1", 100), ("\"1\"", 100), ("1.00", 100), ("\"1.5\"", 150), ("0.29", 29)] {
            let body = format!(r#"{{"src":"a","dest":"b","amount":{amount},"note":"ignored"}}"#);
            assert_eq!(read(&[], &body).map(|payment| payment.amount.0), Ok(minor), "{amount}");
        }
        for amount in [
            "0",
            "-1",
            "1e2",
            "0.001",
            "\"NaN\"",
            "\"\"",
            "\"1 \"",
            "true",
            "[]",
            "1000000000.01",
            "99999999999999999999",
        ] {
            let body = format!(r#"{{"src":"a","dest":"b","amount":{amount}}}"#);
            assert_eq!(read(&[], &body), Err(Some("amount")), "{amount}");
        }
    }

    #[test]
    fn a_bad_payment_is_refused_with_the_name_of_its_field() {
        for (body, field) in [
            ("", None),
            ("{", None),
            ("[]", None),
            ("null", None),
            ("{}", Some("src")),
            (r#"{"src":"a"}"#, Some("dest")),
            (r#"{"src":"a","dest":"b"}"#, Some("amount")),
            (r#"{"src":"a","dest":"b","amount":null}"#, Some("amount")),
            (r#"{"src":"","dest":"b","amount":1}"#, Some("src")),
            (r#"{"src":1,"dest":"b","amount":1}"#, Some("src")),
            (r#"{"src":"a\u0000","dest":"b","amount":1}"#, Some("src")),
            (r#"{"src":"a","dest":"b","amount":NaN}"#, None),
            (r#"{"src":"a","dest":"b","amount":1} and more"#, None),
            (r#"{"src":"a","src":"c","dest":"b","amount":1}"#, None),
        ] {
            assert_eq!(read(&[], body), Err(field), "{body}");
        }
        assert_eq!(read(&[], &format!(r#"{{"src":"{}","dest":"b","amount":1}}"#, "x".repeat(65))), Err(Some("src")));
    }

    #[test]
    fn a_key_may_come_in_either_header() {
        let key = |headers: &[(&'static str, &str)]| read(headers, BODY).map(|payment| payment.key);
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[(KEY_HEADER, "k 1")]), Ok(Some("k 1".into())));
        assert_eq!(key(&[(DRAFT_KEY_HEADER, "k1")]), Ok(Some("k1".into())));
        assert_eq!(key(&[(DRAFT_KEY_HEADER, r#""k\"1""#)]), Ok(Some("k\"1".into())));
        assert_eq!(key(&[(DRAFT_KEY_HEADER, r#""k1""#), (KEY_HEADER, "k1")]), Ok(Some("k1".into())));
        assert_eq!(key(&[(DRAFT_KEY_HEADER, "k1"), (KEY_HEADER, "k2")]), Err(Some(DRAFT_KEY_HEADER)));
        for broken in ["\"", "\"\"", "\"a", r#""a"b""#, r#""a\b""#] {
            assert_eq!(key(&[(DRAFT_KEY_HEADER, broken)]), Err(Some(DRAFT_KEY_HEADER)), "{broken}");
        }
        assert_eq!(key(&[(KEY_HEADER, "")]), Err(Some(KEY_HEADER)));
        assert_eq!(key(&[(KEY_HEADER, &"k".repeat(256))]), Err(Some(KEY_HEADER)));
    }

    #[test]
    fn a_quoted_key_is_a_structured_field_string() {
        let key = |value: &str| read(&[(DRAFT_KEY_HEADER, value)], BODY).map(|payment| payment.key);
        for (value, expected) in [
            (r#""k1";v=1"#, "k1"),
            (r#""k1"; v="x;y";flag"#, "k1"),
            (r#""k1"  "#, "k1"),
            (r#""a\\b""#, r"a\b"),
            ("k1;v=1", "k1;v=1"),
            ("a b", "a b"),
        ] {
            assert_eq!(key(value), Ok(Some(expected.to_owned())), "{value}");
        }
        for len in [254, KEY_LEN_MAX] {
            let (bare, longest) = ("k".repeat(len), format!("\"{}\"", "k".repeat(len)));
            assert_eq!(key(&longest), Ok(Some(bare)), "the quotes do not count");
        }
        let too_long = format!("\"{}\"", "k".repeat(KEY_LEN_MAX + 1));
        for broken in [&too_long, r#""k1";"#, r#""k1";V=1"#, r#""k1" x"#, r#""k1", "k2""#, "\"\";v=1"] {
            assert_eq!(key(broken), Err(Some(DRAFT_KEY_HEADER)), "{broken}");
        }
    }

    #[test]
    fn the_reference_is_its_header_or_else_the_key() {
        let reference = |headers: &[(&'static str, &str)]| read(headers, BODY).map(|payment| payment.reference);
        assert_eq!(reference(&[(KEY_HEADER, "k"), (REFERENCE_HEADER, "r")]), Ok(Some("r".into())));
        assert_eq!(reference(&[(KEY_HEADER, "k")]), Ok(Some("k".into())));
        assert_eq!(reference(&[]), Ok(None));
    }

    #[test]
    fn a_fingerprint_depends_on_the_content_and_not_on_how_it_is_written() {
        let of = |body: &str| read(&[], body).unwrap().fingerprint();
        assert_eq!(of(BODY), of(r#"{"amount":1,"dest":"marc","src":"bianca"}"#));
        assert_ne!(of(BODY), of(r#"{"amount":1.01,"dest":"marc","src":"bianca"}"#));
    }
}
