//! A mark that is planted in secrets, and the search for it, however it is written.
#![allow(dead_code, reason = "each test uses a part of it")]

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

/// Letters and digits, so that JSON, HTML and URLs write it as it is, and which no other text has.
pub(crate) const MARK: &str = "xq4711zkwvj9";
/// So many characters of it in a row are a leak.
const PIECE_LEN: usize = 8;

/// Marked secrets with every character that some encoding writes in another way, each with a name.
pub(crate) fn secrets() -> Vec<(&'static str, String)> {
    vec![
        ("percent", format!("50%{MARK}%zz%25")),
        ("at", format!("p@{MARK}@h")),
        ("colon", format!("user:{MARK}:x")),
        ("slash", format!("a/{MARK}/../b?c#d&e=f+g")),
        ("quotes", format!("\"{MARK}'\\`")),
        ("markup", format!("<{MARK}>&amp;")),
        ("blanks", format!("  {MARK} \t x")),
        ("lines", format!("first\n{MARK}\r\nthird")),
        ("unicode", format!("pässwörd-{MARK}-€\u{1f511}")),
        ("encoded", MARK.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        ("basic", STANDARD.encode(format!("app:{MARK}"))),
        ("long", MARK.repeat(300)),
    ]
}

/// A secret as services and databases may repeat it.
pub(crate) fn forms_of(secret: &str) -> Vec<String> {
    let percent = |upper: bool| {
        let hex = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
        let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { hex(byte) };
        secret.bytes().map(byte).collect::<String>()
    };
    let json = serde_json::to_string(secret).unwrap();
    let ascii: String = json
        .encode_utf16()
        .map(|unit| match u8::try_from(unit).ok().filter(u8::is_ascii) {
            Some(byte) => char::from(byte).to_string(),
            None => format!("\\u{unit:04x}"),
        })
        .collect();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let html = html.replace('"', "&quot;").replace('\'', "&#39;");
    let encoded = STANDARD_NO_PAD.encode(secret);
    let basic = STANDARD_NO_PAD.encode(format!("x:{secret}"));
    let decoded = decoded(secret.trim_end_matches('='));
    let unquoted = percent_decoded(secret);
    [
        secret.to_owned(),
        percent(true),
        percent(false),
        json,
        ascii,
        html,
        format!("{secret:?}"),
        encoded,
        basic,
        unquoted,
    ]
    .into_iter()
    .chain(decoded)
    .collect()
}

/// Fails if a text shows a piece of the mark as it is, percent-encoded, escaped, or in base64.
pub(crate) fn assert_hidden(name: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for way in [text.to_string(), percent_decoded(&text), unescaped(&text), from_base64(&text)] {
        if let Some(at) = shown_at(&way) {
            let around: String = way.chars().skip(at.saturating_sub(200)).take(500).collect();
            panic!("{name} shows the mark:\n{around}");
        }
    }
}

/// Where a text has a piece of the mark, in characters.
fn shown_at(text: &str) -> Option<usize> {
    let text = text.to_lowercase();
    let pieces = (0..=MARK.len() - PIECE_LEN).map(|from| &MARK[from..from + PIECE_LEN]);
    let at = pieces.filter_map(|piece| text.find(piece)).min()?;
    Some(text[..at].chars().count())
}

/// A text with `%41` as `A`, also where it is encoded twice.
fn percent_decoded(text: &str) -> String {
    let once = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    once(&once(text))
}

/// A text without what JSON and HTML put between the characters of a secret.
fn unescaped(text: &str) -> String {
    text.replace("\\u00", "").replace(['\\', '\n', '\r', ' '], "")
}

/// Everything in a text that may be base64, decoded from each of its first four characters, because it may begin anywhere.
fn from_base64(text: &str) -> String {
    let is_base64 = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '-' | '_');
    let words = text.split(|character| !is_base64(character)).filter(|word| word.len() >= PIECE_LEN);
    let starts = words.flat_map(|word| (0..4).map(move |start| &word[start..]));
    starts.filter_map(|word| decoded(&word.replace('-', "+").replace('_', "/"))).collect::<Vec<_>>().join("\n")
}

/// The text of a word in base64, without what is left of its last characters.
fn decoded(word: &str) -> Option<String> {
    let whole = word.len() / 4 * 4;
    let bytes = STANDARD_NO_PAD.decode(word.get(..whole)?).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
