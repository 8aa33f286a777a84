//! Tests that the value of a Secret is written nowhere else, whatever the value is.

use paylab_e2e::Node;

use crate::support::{Namespace, Test, experiment, message, written_texts};

pub(crate) const TESTS: &[Test] =
    &[("an_unusable_database_secret_is_named_and_its_value_is_never_shown", unusable_database_secrets)];

/// The key of every Secret.
const KEY: &str = "ledger-url";
/// A part of every value. Letters and digits stay as they are in JSON and in URLs.
const MARK: &str = "planted4711";
/// Names of experiments, and database URLs that the service cannot use.
const UNUSABLE_URLS: [(&str, &str); 6] = [
    ("jdbc", "jdbc:postgresql://app:planted4711@db/x"),
    ("leading-blank", " postgres://app:planted4711@absent.invalid/x"),
    ("bare-token", "planted4711"),
    ("other-scheme", "mysql://app:planted4711@db/x"),
    ("absent-host", "postgres://app:a%2Fb%40planted4711%25%23@absent.invalid/x"),
    ("odd-password", "postgres://app:p@ss#/?planted4711%zz@absent.invalid/x"),
];

fn unusable_database_secrets(node: &Node) {
    let ns = Namespace::restricted(node, "secret-values");
    for (name, url) in UNUSABLE_URLS {
        assert!(url.contains(MARK), "{name}");
        let (secret, literal) = (secret_name(name), format!("--from-literal={KEY}={url}"));
        ns.kubectl(&["create", "secret", "generic", &secret, &literal]);
        let database = format!("{{secretKeyRef: {{name: {secret}, key: {KEY}}}}}");
        ns.apply(&experiment(name, &format!("  service: {{database: {database}}}\n  activeDeadline: 15s\n")));
    }
    for (name, _) in UNUSABLE_URLS {
        let status = ns.final_status(name);
        assert!(status["phase"] == "Failed" || status["verdict"] == "Inconclusive", "{status:#}");
        assert_names_the_source(name, message(&status));
    }
    let texts = written_texts(node, &ns);
    for (name, _) in UNUSABLE_URLS {
        let log = format!("log of pod/{name}-payment-service");
        let has_log = texts.iter().any(|(name, text)| name.starts_with(&log) && !text.is_empty());
        assert!(has_log, "the service of {name} has logged why it failed");
    }
    let leaks: Vec<_> = texts.iter().filter(|(_, text)| text.to_lowercase().contains(MARK)).collect();
    assert!(leaks.is_empty(), "the value of a Secret is shown: {leaks:#?}");
}

/// The name of an experiment's Secret. It is not part of the experiment's name, which is in the names of pods.
fn secret_name(experiment: &str) -> String {
    format!("database-of-{experiment}")
}

/// The message tells where the value comes from: the Secret and its key, or the service's option.
fn assert_names_the_source(experiment: &str, message: &str) {
    let names_secret = message.contains(&secret_name(experiment)) && message.contains(KEY);
    let names_option = ["--database", "PAYLAB_DATABASE"].iter().any(|option| message.contains(option));
    assert!(names_secret || names_option, "{experiment}: {message}");
}
