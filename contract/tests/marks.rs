//! Marked secrets of every odd shape in texts of somebody else's: whatever their form, and wherever the text was cut, nothing of them is shown.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../paylab/tests/all/support/marks.rs"]
mod marks;

use marks::{MARK, assert_hidden, forms_of, secrets};
use paylab_contract::secrets::Secrets;

#[test]
fn no_form_of_a_secret_is_shown_wherever_the_text_is_cut() {
    for (shape, secret) in secrets() {
        let known: Secrets = [(shape.to_owned(), secret.clone())].into_iter().collect();
        // What is long repeats itself.
        let cuts_max = if secret.len() > 1000 { 12 } else { 100 };
        for form in forms_of(&secret) {
            let lens = || form.char_indices().map(|(at, _)| at).take(cuts_max);
            let printable = form.chars().filter(|character| !character.is_control()).collect();
            let whole = [form.clone(), format!("bad {form}, {form}!"), printable];
            let ends = lens().map(|at| format!("it ends with {}", &form[..at]));
            let stops = lens().map(|at| format!("it is {}... of 17", &form[..at]));
            let begins = lens().map(|at| format!("{} is how it begins", &form[at..]));
            for text in whole.into_iter().chain(ends).chain(stops).chain(begins) {
                let shown = known.redact(&text);
                assert_hidden(&format!("{shape}: {:.300}", text.replace(MARK, "MARK")), shown.as_bytes());
            }
        }
    }
}
