//! Tests that the value of a Secret is written nowhere else, whatever the value is.

use anyhow::ensure;
use paylab_e2e::{Node, eventually};

use crate::support::{
    COMPLETED_WITHIN, Namespace, Test, experiment,
    marks::{MARK, assert_hidden},
    message, written_texts,
};

pub(crate) const TESTS: &[Test] =
    &[("an_unusable_database_secret_is_named_and_its_value_is_never_shown", unusable_database_secrets)];

/// The key of every Secret.
const KEY: &str = "ledger-url";

/// Names of experiments, and database URLs that the service cannot use. Each has the mark in it.
fn unusable_urls() -> Vec<(&'static str, String)> {
    let encoded: String = MARK.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        ("jdbc", format!("jdbc:postgresql://app:{MARK}@db/x")),
        ("leading-blank", format!(" postgres://app:{MARK}@absent.invalid/x")),
        ("bare-token", MARK.to_owned()),
        ("other-scheme", format!("mysql://app:{MARK}@db/x")),
        ("absent-host", format!("postgres://app:a%2Fb%40{MARK}%25%23@absent.invalid/x")),
        ("odd-password", format!("postgres://app:p@ss#/?{MARK}%zz@absent.invalid/x")),
        ("quotes", format!("\"postgres://app:'{MARK}'@absent.invalid/x\"")),
        ("lines", format!("postgres://app:first\n{MARK}\n@absent.invalid/x")),
        ("unicode", format!("postgres://app:pässwörd-{MARK}-€@absent.invalid/x")),
        ("no-user", format!("postgres://:{MARK}@absent.invalid/x")),
        ("encoded", format!("postgres://app:{encoded}@absent.invalid/x")),
        ("parameter", format!("postgres://app@absent.invalid/x?pasword={MARK}&sslmode={MARK}")),
        ("long", format!("postgres://app:{}@absent.invalid/x", MARK.repeat(300))),
    ]
}

fn unusable_database_secrets(node: &Node) {
    let urls = unusable_urls();
    // In two namespaces, so that all are under way at once.
    let (some, others) = urls.split_at(urls.len() / 2);
    let namespaces = ["secret-values", "secret-values-too"].map(|name| Namespace::restricted(node, name));
    let all: Vec<_> = namespaces.iter().zip([some, others]).collect();
    for (ns, urls) in &all {
        for (name, url) in *urls {
            let (secret, literal) = (secret_name(name), format!("--from-literal={KEY}={url}"));
            ns.kubectl(&["create", "secret", "generic", &secret, &literal]);
            let database = format!("{{secretKeyRef: {{name: {secret}, key: {KEY}}}}}");
            ns.apply(&experiment(name, &format!("  service: {{database: {database}}}\n  activeDeadline: 100s\n")));
        }
    }
    let assert_nothing_shown = || {
        let texts: Vec<_> = namespaces.iter().flat_map(|ns| written_texts(node, ns)).collect();
        texts.iter().for_each(|(name, text)| assert_hidden(name, text.as_bytes()));
        texts
    };
    // Again and again while the parts are there, because those of a lab that has ended are stopped.
    let mut logs = String::new();
    let all_have_logged = || {
        let texts = assert_nothing_shown().into_iter().filter(|(_, text)| !text.is_empty());
        logs.extend(texts.map(|(name, _)| name + "\n"));
        let silent: Vec<_> =
            urls.iter().filter(|(name, _)| !logs.contains(&format!("log of pod/{name}-payment-service"))).collect();
        ensure!(silent.is_empty(), "{silent:?} have not logged why they failed");
        Ok(())
    };
    eventually("the logs of the services", COMPLETED_WITHIN, all_have_logged).unwrap();
    for (ns, urls) in &all {
        for (name, _) in *urls {
            let status = ns.final_status(name);
            assert!(status["phase"] == "Failed" || status["verdict"] == "Inconclusive", "{status:#}");
            assert_names_the_source(name, message(&status));
        }
    }
    assert_nothing_shown();
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
