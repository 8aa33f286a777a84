//! What admission makes of an object. A policy, a webhook, a quota or a limit is in force some time after it was created, because the API server
//! hears of it by a watch.

use std::time::Duration;

use anyhow::ensure;
use paylab_e2e::{Node, eventually};

/// The time limit for the API server to hear of what was created.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// Waits until admission answers with this text when somebody creates the object, which is not created: in what the object would be, or in the
/// refusal.
pub(crate) fn await_admission(node: &Node, object: &str, text: &str) {
    let answered = || {
        let answer = node.dry_run(object).unwrap_or_else(|refusal| format!("{refusal:#}"));
        ensure!(answer.contains(text), "the answer is {answer}");
        Ok(())
    };
    eventually(text, HEARD_WITHIN, answered).unwrap();
}
