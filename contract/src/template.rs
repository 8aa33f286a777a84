//! Texts with placeholders, such as `{reference}`. Any other text in braces stays as it is, so that JSON can be a template.

use std::{fmt, fmt::Write as _};

use paylab_core::money::MinorUnits;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secrets::Secrets;

/// The placeholders, for messages.
pub const KNOWN: &str = "{reference}, {key}, {payment}, {attempt}, {run}, {amount.minor}, {amount.decimal}, {currency}, {from}, {to}, \
     {secret.NAME}";
/// How much of a run's id a reference has.
const RUN_LEN: usize = 8;
/// What has a meaning of its own in a path or a query.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a header cannot carry.
const IN_HEADER: &AsciiSet = CONTROLS;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as it is.
    Literal(String),
    /// A placeholder.
    Slot(Placeholder),
}

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// The payment's reference.
    Reference,
    /// The idempotency key.
    Key,
    /// The index of the payment.
    Payment,
    /// The number of the attempt.
    Attempt,
    /// The run, 8 characters.
    Run,
    /// The amount in minor units, a whole number.
    AmountMinor,
    /// The amount in major units with two decimals.
    AmountDecimal,
    /// The currency.
    Currency,
    /// Who pays.
    From,
    /// Who is paid.
    To,
    /// A secret, by its name.
    Secret(String),
}

/// The values of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The payment's reference.
    pub reference: &'a str,
    /// The idempotency key.
    pub key: &'a str,
    /// The index of the payment.
    pub payment: u64,
    /// The number of the attempt.
    pub attempt: u32,
    /// The run.
    pub run: &'a str,
    /// The amount.
    pub amount: MinorUnits,
    /// The currency.
    pub currency: &'a str,
    /// Who pays.
    pub from: &'a str,
    /// Who is paid.
    pub to: &'a str,
}

/// Where a text is put, which decides how its characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// As it is.
    Plain,
    /// Inside a JSON text.
    Json,
    /// In a path or a query.
    Path,
    /// In the value of a header.
    Header,
    /// In a field of a form.
    Form,
}

impl Placeholder {
    /// The placeholder of a name; `None`: the name is unknown.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "reference" => Self::Reference,
            "key" => Self::Key,
            "payment" => Self::Payment,
            "attempt" => Self::Attempt,
            "run" => Self::Run,
            "amount.minor" => Self::AmountMinor,
            "amount.decimal" => Self::AmountDecimal,
            "currency" => Self::Currency,
            "from" => Self::From,
            "to" => Self::To,
            name => {
                let name = name.strip_prefix("secret.")?;
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                if name.is_empty() || !name.bytes().all(allowed) {
                    return None;
                }
                Self::Secret(name.to_owned())
            }
        })
    }

    /// Whether it is a number in JSON, where it stands alone.
    #[must_use]
    pub const fn is_number(&self) -> bool {
        matches!(self, Self::Payment | Self::Attempt | Self::AmountMinor)
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A placeholder is unknown.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(open) = rest.find('{') {
            literal.push_str(&rest[..open]);
            let inner = &rest[open + 1..];
            let is_name = |name: &&str| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            };
            match inner.split_once('}').map(|(name, _)| name).filter(is_name) {
                None => {
                    literal.push('{');
                    rest = inner;
                }
                Some(name) => {
                    let placeholder = Placeholder::of(name)
                        .ok_or_else(|| format!("{{{name}}} is not a placeholder; known are {KNOWN}"))?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Slot(placeholder));
                    rest = &inner[name.len() + 1..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// A template of one piece.
    #[must_use]
    pub fn of(piece: Piece) -> Self {
        Self(vec![piece])
    }

    /// Its pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The placeholder that is the whole text.
    #[must_use]
    pub fn only(&self) -> Option<&Placeholder> {
        match &self.0[..] {
            [Piece::Slot(placeholder)] => Some(placeholder),
            _ => None,
        }
    }

    /// Whether it has a placeholder.
    #[must_use]
    pub fn mentions(&self, placeholder: &Placeholder) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Slot(slot) if slot == placeholder))
    }

    /// The names of its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Slot(Placeholder::Secret(name)) => Some(name.clone()),
            Piece::Slot(_) | Piece::Literal(_) => None,
        })
    }

    /// The text with its values. Literals stay as they are; values are written as their place demands.
    #[must_use]
    pub fn render(&self, filling: &Filling<'_>, secrets: &Secrets, escape: Escape) -> String {
        let mut text = String::new();
        self.write(filling, secrets, escape, &mut text);
        text
    }

    /// Adds the text with its values to another.
    pub(crate) fn write(&self, filling: &Filling<'_>, secrets: &Secrets, escape: Escape, out: &mut String) {
        self.0.iter().for_each(|piece| piece.write(filling, secrets, escape, out));
    }

    /// The reference of a payment, for a template of `{run}` and `{payment}`.
    pub(crate) fn reference(&self, run: &str, payment: u64) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Slot(Placeholder::Run) => text.push_str(short(run)),
                Piece::Slot(_) => text.push_str(&payment.to_string()),
            }
        }
        text
    }

    /// The payment whose reference this is, for a template that ends in `{payment}`.
    pub(crate) fn payment_of(&self, run: &str, reference: &str) -> Option<u64> {
        number_of(reference.strip_prefix(&self.before_payment(run))?)
    }

    /// Whether a reference begins as those of this run do.
    pub(crate) fn is_of_run(&self, run: &str, reference: &str) -> bool {
        reference.starts_with(&self.before_payment(run))
    }

    /// What the references of this run begin with.
    pub(crate) fn before_payment(&self, run: &str) -> String {
        let mut text = self.reference(run, 0);
        text.pop();
        text
    }
}

impl Piece {
    /// The text that stays as it is; `None`: it is a placeholder.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Slot(_) => None,
        }
    }

    /// Writes it with its value.
    pub(crate) fn write(&self, filling: &Filling<'_>, secrets: &Secrets, escape: Escape, out: &mut String) {
        match self {
            Self::Literal(text) => out.push_str(text),
            Self::Slot(placeholder) => placeholder.write(filling, secrets, escape, out),
        }
    }
}

impl Placeholder {
    fn write(&self, filling: &Filling<'_>, secrets: &Secrets, escape: Escape, out: &mut String) {
        let text = match self {
            Self::Reference => filling.reference,
            Self::Key => filling.key,
            Self::Run => short(filling.run),
            Self::Currency => filling.currency,
            Self::From => filling.from,
            Self::To => filling.to,
            Self::Secret(name) => secrets.get(name),
            Self::Payment => return write_digits(filling.payment, out),
            Self::Attempt => return write_digits(filling.attempt, out),
            Self::AmountMinor => return write_digits(filling.amount.0, out),
            Self::AmountDecimal => return write_digits(filling.amount, out),
        };
        escape.write(text, out);
    }
}

/// The number that is written as Paylab writes it, without a sign and without zeros before it.
fn number_of(text: &str) -> Option<u64> {
    let is_written_so = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_written_so)
}

/// Writes a number, which no place changes.
fn write_digits(number: impl fmt::Display, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{number}");
}

impl Escape {
    /// A text as its place demands.
    pub(crate) fn of(self, text: &str) -> String {
        let mut written = String::new();
        self.write(text, &mut written);
        written
    }

    /// Writes a text as its place demands.
    pub(crate) fn write(self, text: &str, out: &mut String) {
        match self {
            Self::Plain => out.push_str(text),
            Self::Json if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) => out.push_str(text),
            Self::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Self::Path => out.extend(utf8_percent_encode(text, IN_PATH)),
            Self::Header => out.extend(utf8_percent_encode(text, IN_HEADER)),
            Self::Form => out.extend(form_urlencoded::byte_serialize(text.as_bytes())),
        }
    }
}

/// The part of a run's id that references have.
fn short(run: &str) -> &str {
    run.get(..RUN_LEN).unwrap_or(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILLING: Filling<'_> = Filling {
        reference: "0123abcd-5",
        key: "k\"1",
        payment: 5,
        attempt: 2,
        run: "0123abcdef",
        amount: MinorUnits(1234),
        currency: "EUR",
        from: "bianca",
        to: "marc",
    };

    fn render(text: &str, escape: Escape) -> String {
        let mut secrets = Secrets::default();
        secrets.insert("token".to_owned(), "a b/c".to_owned());
        Template::parse(text).unwrap().render(&FILLING, &secrets, escape)
    }

    #[test]
    fn placeholders_are_replaced_and_other_braces_stay() {
        for (text, rendered) in [
            ("", ""),
            ("{reference}", "0123abcd-5"),
            ("{run}/{payment}/{attempt}", "0123abcd/5/2"),
            ("{amount.minor} {amount.decimal} {currency} {from} {to}", "1234 12.34 EUR bianca marc"),
            ("Bearer {secret.token}", "Bearer a b/c"),
            (r#"{"a": {"b": "{payment}"}}"#, r#"{"a": {"b": "5"}}"#),
            ("{}{ {x y} {", "{}{ {x y} {"),
        ] {
            assert_eq!(render(text, Escape::Plain), rendered, "{text}");
        }
    }

    #[test]
    fn a_value_is_written_as_its_place_demands() {
        for (escape, written) in [
            (Escape::Plain, "k\"1"),
            (Escape::Json, "k\\\"1"),
            (Escape::Path, "k%221"),
            (Escape::Header, "k\"1"),
            (Escape::Form, "k%221"),
        ] {
            assert_eq!(render("{key}", escape), written, "{escape:?}");
        }
        assert_eq!(render("{secret.token}", Escape::Path), "a%20b%2Fc");
        assert_eq!(render("{secret.token}", Escape::Form), "a+b%2Fc");
    }

    #[test]
    fn an_unknown_placeholder_is_refused_by_its_name() {
        for name in ["Reference", "amount", "secret.", "secret.a-b", "refrence"] {
            let refused = Template::parse(&format!("x {{{name}}}")).unwrap_err();
            assert!(
                refused.starts_with(&format!("{{{name}}} is not a placeholder; known are {{reference}}")),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_reference_leads_back_to_its_payment_and_to_no_other_run() {
        let template = Template::parse("pay-{run}-{payment}").unwrap();
        let (run, other) = ("0123abcdef", "99999999ef");
        assert_eq!(template.reference(run, 17), "pay-0123abcd-17");
        assert_eq!(template.payment_of(run, "pay-0123abcd-17"), Some(17));
        for foreign in ["pay-0123abcd-", "pay-0123abcd-x", "pay-0123abcd-017", "pay-99999999-17", "", "17"] {
            assert_eq!(template.payment_of(run, foreign), None, "{foreign}");
        }
        assert!(template.is_of_run(run, "pay-0123abcd-x") && !template.is_of_run(other, "pay-0123abcd-1"));
    }
}
