//! A payment as a caller asks for it: body and headers, read exactly or refused by the name of the field.

use axum::http::HeaderMap;
use paylab_experiment::{
    contract::{DRAFT_KEY_HEADER, KEY_HEADER, KEY_LEN_MAX, REFERENCE_HEADER},
    money::MinorUnits,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longer names of accounts are refused.
pub const ACCOUNT_LEN_MAX: usize = 64;

/// One payment to be booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Traces it in every mode.
    pub reference: Option<String>,
    /// Tells its repeats.
    pub key: Option<String>,
    /// Who pays.
    pub src: String,
    /// Who is paid.
    pub dest: String,
    /// How much.
    pub amount: MinorUnits,
}

/// What is wrong with a request: the field or header, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which field or header; `None`: the body as a whole.
    pub field: Option<&'static str>,
    /// What is wrong and what is allowed.
    pub detail: String,
}

/// The body's fields as they stand in the text: an amount must never pass through a float.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    src: Option<&'a RawValue>,
    #[serde(borrow)]
    dest: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
}

impl Payment {
    /// Reads a payment.
    ///
    /// # Errors
    /// The first fault found.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Fault> {
        let key = key(headers)?;
        let reference = header(headers, REFERENCE_HEADER)?.or_else(|| key.clone());
        let Body { src, dest, amount } = serde_json::from_slice(body)
            .map_err(|error| fault(None, format!("the body is not one JSON object: {error}")))?;
        let (src, dest) = (account("src", src)?, account("dest", dest)?);
        Ok(Self { reference, key, src, dest, amount: read_amount(amount)? })
    }

    /// What makes two requests the same, whatever their spelling.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        serde_json::json!([self.src, self.dest, self.amount.0]).to_string()
    }
}

fn fault(field: Option<&'static str>, detail: impl Into<String>) -> Fault {
    Fault { field, detail: detail.into() }
}

fn present<'a>(field: &'static str, value: Option<&'a RawValue>) -> Result<&'a RawValue, Fault> {
    value.ok_or_else(|| fault(Some(field), format!("{field} is missing")))
}

fn account(field: &'static str, value: Option<&RawValue>) -> Result<String, Fault> {
    let account: String = serde_json::from_str(present(field, value)?.get())
        .map_err(|_| fault(Some(field), format!("{field} must be a text")))?;
    let fits = (1..=ACCOUNT_LEN_MAX).contains(&account.len()) && !account.contains(char::is_control);
    if fits {
        Ok(account)
    } else {
        Err(fault(Some(field), format!("{field} must have 1 to {ACCOUNT_LEN_MAX} characters")))
    }
}

/// A number or a text, taken as it is written.
fn read_amount(value: Option<&RawValue>) -> Result<MinorUnits, Fault> {
    let raw = present("amount", value)?.get();
    let text = if raw.starts_with('"') { serde_json::from_str(raw).unwrap_or_default() } else { raw.to_owned() };
    MinorUnits::parse_payable(&text).map_err(|error| fault(Some("amount"), format!("amount {error}")))
}

/// The lesson's header, or the draft's; both only when they agree.
fn key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let bare = header(headers, KEY_HEADER)?;
    let draft = header(headers, DRAFT_KEY_HEADER)?.map(|text| unquoted(&text)).transpose()?;
    match (bare, draft) {
        (Some(bare), Some(draft)) if bare != draft => {
            Err(fault(Some(DRAFT_KEY_HEADER), format!("{DRAFT_KEY_HEADER} and {KEY_HEADER} differ; send one of them")))
        }
        (bare, draft) => Ok(bare.or(draft)),
    }
}

fn header(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Fault> {
    let refuse = |detail: &str| fault(Some(name), format!("{name} {detail}"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("is there more than once"));
    }
    let text = value.to_str().map_err(|_| refuse("must be visible ASCII"))?;
    if (1..=KEY_LEN_MAX).contains(&text.len()) {
        Ok(Some(text.to_owned()))
    } else {
        Err(refuse(&format!("must have 1 to {KEY_LEN_MAX} characters")))
    }
}

/// A structured-field string without its quotes; a bare text as it is.
fn unquoted(text: &str) -> Result<String, Fault> {
    let refuse = || fault(Some(DRAFT_KEY_HEADER), format!("{DRAFT_KEY_HEADER} is not a well-formed quoted string"));
    let Some(inner) = text.strip_prefix('"') else { return Ok(text.to_owned()) };
    let inner = inner.strip_suffix('"').ok_or_else(refuse)?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => key.push(characters.next().filter(|next| matches!(next, '"' | '\\')).ok_or_else(refuse)?),
            '"' => return Err(refuse()),
            other => key.push(other),
        }
    }
    if key.is_empty() { Err(refuse()) } else { Ok(key) }
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
        Payment::read(&headers.collect(), body.as_bytes()).map_err(|fault| fault.field)
    }

    const BODY: &str = r#"{"src":"bianca","dest":"marc","amount":"1.00"}"#;

    #[test]
    fn an_amount_may_be_a_number_or_a_text_and_is_read_exactly() {
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
    fn what_is_not_a_payment_is_refused_by_the_name_of_its_field() {
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
    fn the_reference_is_the_labs_or_else_the_key() {
        let reference = |headers: &[(&'static str, &str)]| read(headers, BODY).map(|payment| payment.reference);
        assert_eq!(reference(&[(KEY_HEADER, "k"), (REFERENCE_HEADER, "r")]), Ok(Some("r".into())));
        assert_eq!(reference(&[(KEY_HEADER, "k")]), Ok(Some("k".into())));
        assert_eq!(reference(&[]), Ok(None));
    }

    #[test]
    fn spelling_does_not_change_a_fingerprint_and_content_does() {
        let of = |body: &str| read(&[], body).unwrap().fingerprint();
        assert_eq!(of(BODY), of(r#"{"amount":1,"dest":"marc","src":"bianca"}"#));
        assert_ne!(of(BODY), of(r#"{"amount":1.01,"dest":"marc","src":"bianca"}"#));
    }
}
