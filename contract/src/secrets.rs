//! The values of secrets, and what is shown of a text of somebody else's that may repeat them.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::{self, Write as _},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::percent_decode_str;

use crate::template::Escape;

/// What is shown in place of a secret.
const REDACTED: &str = "(secret)";
/// So many bytes of a secret in a row are not shown, wherever they stand: a text may have been cut there, or written in a way that changes
/// some characters only.
const PIECE_LEN: usize = 8;
/// At the beginning and at the end of a text so many are not, because the text was probably cut there.
const CUT_LEN_MIN: usize = 4;
/// Shorter words, such as the bytes of an address, are in many texts by chance.
const WORD_LEN_MIN: usize = 3;
/// Shorter secrets, which many texts have in them by chance, are looked for as they are and not in base64.
const ENCODED_LEN_MIN: usize = 6;

/// The values of secrets, which nothing prints.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Secrets {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(named: T) -> Self {
        Self(named.into_iter().collect())
    }
}

impl Secrets {
    pub(crate) fn insert(&mut self, name: String, value: String) {
        self.0.insert(name, value);
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A text without the secrets that it may hold, however they are written there, and without larger pieces of them.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        let forms: HashSet<_> = self.0.values().flat_map(|value| forms(value)).collect();
        let mut hidden = vec![false; text.len()];
        let mut pieces = HashSet::new();
        for form in &forms {
            if form.len() <= PIECE_LEN {
                text.match_indices(form.as_str()).for_each(|(at, found)| hidden[at..at + found.len()].fill(true));
            } else {
                pieces.extend(form.as_bytes().windows(PIECE_LEN));
            }
            let (begins, ends) = cut_lens(text, form);
            hidden[..begins].fill(true);
            hidden[text.len() - ends..].fill(true);
        }
        for (at, piece) in text.as_bytes().windows(PIECE_LEN).enumerate() {
            if pieces.contains(piece) {
                hidden[at..at + PIECE_LEN].fill(true);
            }
        }
        shown(text, &hidden)
    }

    /// Whether a text has a word of a secret, such as the name of a user where the secret is the URL of a database. Words that a public text
    /// has too do not count.
    #[must_use]
    pub fn share_a_word_with(&self, text: &str, public: &str) -> bool {
        let lower = |text: &str| words(text).map(str::to_lowercase).collect::<HashSet<_>>();
        let (found, public) = (lower(text), lower(public));
        let decoded = |value: &String| percent_decode_str(value).decode_utf8_lossy().into_owned();
        let secret = self.0.values().flat_map(|value| [behind_scheme(value).to_owned(), decoded(value)]);
        let secret: HashSet<_> = secret.flat_map(|value| lower(behind_scheme(&value))).collect();
        found.intersection(&secret).any(|word| !public.contains(word))
    }
}

/// The part of a URL that is no public word; all of any other secret.
fn behind_scheme(value: &str) -> &str {
    value.split_once("://").map_or(value, |(_, behind)| behind)
}

/// The words of a text that are long enough to tell something, and the names and addresses of hosts, which have dots in them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let single = text.split(|character: char| !character.is_alphanumeric());
    let dotted = text.split(|character: char| !character.is_alphanumeric() && character != '.');
    let dotted = dotted.map(|word| word.trim_matches('.')).filter(|word| word.contains('.'));
    single.filter(|word| word.chars().count() >= WORD_LEN_MIN).chain(dotted)
}

/// A text with its hidden bytes replaced. Of a character, all bytes are hidden or none.
fn shown(text: &str, hidden: &[bool]) -> String {
    let (mut shown, mut was_hidden) = (String::with_capacity(text.len()), false);
    for (at, character) in text.char_indices() {
        let is_hidden = hidden[at..at + character.len_utf8()].contains(&true);
        match (is_hidden, was_hidden) {
            (false, _) => shown.push(character),
            (true, false) => shown.push_str(REDACTED),
            (true, true) => {}
        }
        was_hidden = is_hidden;
    }
    shown
}

/// How much of a secret, up to its end, a text begins with, and how much of it, from its beginning, the text ends with.
fn cut_lens(text: &str, form: &str) -> (usize, usize) {
    let lens = || (CUT_LEN_MIN..=form.len().min(text.len())).rev();
    let begins = |len: &usize| text.as_bytes().starts_with(&form.as_bytes()[form.len() - len..]);
    let ends = |len: &usize| text.as_bytes().ends_with(&form.as_bytes()[..*len]);
    (lens().find(begins).unwrap_or_default(), lens().find(ends).unwrap_or_default())
}

/// A secret as it may be written. None of the forms is empty.
fn forms(value: &str) -> Vec<String> {
    let mut values = vec![value.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()];
    // Basic authentication is a user and a password in base64.
    if let Some(decoded) = decoded(value) {
        values.extend(decoded.split_once(':').map(|(_, password)| password.to_owned()));
        values.push(decoded);
    }
    // Control characters are left out of what is shown.
    let printable = values.iter().map(|value| value.chars().filter(|it| !it.is_control()).collect());
    values.extend(printable.collect::<Vec<String>>());
    let mut forms: Vec<_> = values.iter().flat_map(|value| written(value)).collect();
    forms.retain(|form| !form.is_empty());
    forms
}

/// A text in every way in which it may be written.
fn written(value: &str) -> Vec<String> {
    let escapes = [Escape::Plain, Escape::Json, Escape::Path, Escape::Form, Escape::Header];
    let mut forms: Vec<_> = escapes.map(|escape| escape.of(value)).into();
    forms.extend([lower_hex(&forms[2]), lower_hex(&forms[3]), json_in_ascii(value), in_html(value)]);
    if value.len() >= ENCODED_LEN_MIN {
        forms.extend((0..3).flat_map(|before| in_base64(value, before)));
    }
    forms
}

/// The text that a secret is the base64 of, if it looks like one.
fn decoded(value: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok()?).ok()?;
    (text.len() >= ENCODED_LEN_MIN && !text.contains(char::is_control)).then_some(text)
}

/// A text in both alphabets of base64, as it stands behind so many other bytes: without the characters that depend on what is around it.
fn in_base64(value: &str, before: usize) -> [String; 2] {
    let bytes = [vec![0; before], value.as_bytes().to_vec()].concat();
    let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)].map(|text| text[from..to].to_owned())
}

/// Percent-encoding with small letters.
fn lower_hex(text: &str) -> String {
    let mut digits = 0_u8;
    let lower = |character: char| {
        let is_digit = digits > 0;
        digits = if character == '%' { 2 } else { digits.saturating_sub(1) };
        if is_digit { character.to_ascii_lowercase() } else { character }
    };
    text.chars().map(lower).collect()
}

/// JSON as some libraries write it, with no character beyond ASCII and with `\/`.
fn json_in_ascii(text: &str) -> String {
    let mut ascii = String::new();
    for unit in Escape::Json.of(text).encode_utf16() {
        match u8::try_from(unit).ok().filter(u8::is_ascii) {
            Some(b'/') => ascii.push_str("\\/"),
            Some(byte) => ascii.push(char::from(byte)),
            None => {
                // Writing to a String cannot fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

/// The text of an HTML document.
fn in_html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        values.iter().enumerate().map(|(number, value)| (number.to_string(), (*value).to_owned())).collect()
    }

    #[test]
    fn secrets_are_not_printed_however_they_are_written() {
        let token = secrets(&["hunter2"]);
        assert_eq!(format!("{token:?}"), "{\"0\"}");
        assert_eq!(token.redact("bad token hunter2!"), "bad token (secret)!");
        let odd = secrets(&["a \"b/c<é"]);
        for written in [
            "a \"b/c<é",
            "a \\\"b/c<é",
            "a \\\"b\\/c<\\u00e9",
            "a%20%22b%2Fc%3C%C3%A9",
            "a%20%22b%2fc%3c%c3%a9",
            "a+%22b%2Fc%3C%C3%A9",
            "a &quot;b/c&lt;é",
        ] {
            assert_eq!(odd.redact(&format!("?k={written}&x")), "?k=(secret)&x", "{written}");
        }
        assert_eq!(secrets(&["a%2Fb-and-c"]).redact("no a/b-and-c."), "no (secret).");
        assert_eq!(secrets(&["first\nsecond"]).redact("no firstsecond."), "no (secret).");
    }

    #[test]
    fn neither_the_base64_of_a_secret_nor_the_text_of_a_base64_secret_is_shown() {
        let token = secrets(&["hunter2-and-more"]);
        for before in ["", "u", "u:", "us:"] {
            let basic = STANDARD.encode(format!("{before}hunter2-and-more"));
            let shown = token.redact(&format!("bad {basic} here"));
            assert!(shown.starts_with("bad ") && shown.contains("(secret)") && shown.len() < 30, "{before}: {shown}");
        }
        // YXBwOmh1bnRlcjI= is app:hunter2.
        let basic = secrets(&["YXBwOmh1bnRlcjI="]);
        assert_eq!(basic.redact("user app has not the password hunter2"), "user app has not the password (secret)");
        assert_eq!(basic.redact("bad app:hunter2!"), "bad (secret)!");
    }

    #[test]
    fn a_secret_that_is_cut_or_a_part_of_another_is_not_shown_either() {
        let both = secrets(&["hunter2", "hunter2-and-more"]);
        assert_eq!(both.redact("bad hunter2-and-more, bad hunter2"), "bad (secret), bad (secret)");
        for cut in ["bad hunter2-and-m", "bad hunter2-and-more", "bad hunte"] {
            assert_eq!(both.redact(cut), "bad (secret)");
        }
        assert_eq!(both.redact("bad hunter2-and-m... of 17"), "bad (secret)... of 17");
        assert_eq!(both.redact("and-more is how it begins"), "(secret) is how it begins");
        assert_eq!(both.redact("what a hun"), "what a hun");
        assert_eq!(both.redact("ore"), "ore");
    }

    #[test]
    fn a_word_of_a_secret_url_is_found_unless_it_is_public() {
        let url = secrets(&["postgres://app:p%40ss@db.example:5432/ledger?sslmode=require"]);
        for text in ["user \"app\"", "no route to db.example.", "port 5432", "Ledger"] {
            assert!(url.share_a_word_with(text, "select * from payments"), "{text}");
        }
        for text in ["connection refused", "postgres is starting up", "apply", "", "no table ledger", "12 of 5"] {
            assert!(!url.share_a_word_with(text, "select * from ledger"), "{text}");
        }
        let by_address = secrets(&["mysql://app@10.0.0.5/shop"]);
        assert!(by_address.share_a_word_with("Host '10.0.0.5' is not allowed", ""));
        assert!(!by_address.share_a_word_with("0 rows of 10", ""));
    }

    #[test]
    fn a_text_without_a_secret_stays_as_it_is() {
        for (values, text) in [
            (&["hunter2"][..], "the answer is not JSON (expected value at line 1 column 1): né€"),
            (&["", "5432"], "nothing answers at 127.0.0.1:54321?"),
            (&[], "hunter2"),
        ] {
            let shown = secrets(values).redact(text);
            assert!(shown == text || text.contains("5432"), "{shown}");
        }
        assert_eq!(secrets(&["pässwörd€€"]).redact("ä pässwörd€ ö"), "ä (secret) ö");
    }
}
