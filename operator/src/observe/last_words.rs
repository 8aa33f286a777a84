//! What a container has said last, for people. Kubernetes takes the end of its log for its last words if it has left none. Pure.

use serde_json::Value;

/// How a part tells why it ends.
const OWN_WORDS: &str = "paylab: ";

/// The reason why a part has ended, if it has told one; else its log, without the form in which it is written.
pub(super) fn last_words(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    match lines.iter().rposition(|line| line.starts_with(OWN_WORDS)) {
        Some(own) => lines[own..].join("\n"),
        None => {
            lines.into_iter().map(|line| logged(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
        }
    }
}

/// The message of a line that is a JSON object, with its error; `None`: it is another line.
fn logged(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| Some(line.pointer(&format!("/fields/{name}")).or(line.get(name))?.as_str()?.to_owned());
    let message = field("message")?;
    Some(
        field("error")
            .filter(|error| !message.contains(error))
            .map_or(message.clone(), |error| format!("{message}: {error}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_only_the_reason_of_the_end_is_quoted_and_no_json() {
        let json = |message: &str| {
            format!(
                r#"{{"timestamp":"2026-01-01T00:00:00Z","level":"ERROR","fields":{{"message":"{message}","error":"refused"}},"target":"x"}}"#
            )
        };
        let own = "paylab: cannot open the ledger's database: refused\ncheck the URL";
        assert_eq!(last_words(&format!("{}\n{}\n{own}", json("one"), json("two"))), own);
        assert_eq!(
            last_words(&format!("{}\n{}", json("cannot connect"), json("it was refused"))),
            "cannot connect: refused\nit was refused"
        );
        for other in ["", "panicked at x", r#"{"runId":"a"}"#, "2026-01-01 INFO ready", "{"] {
            assert_eq!(last_words(other), other);
        }
    }
}
