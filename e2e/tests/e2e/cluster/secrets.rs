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
    };
    // Again and again while the parts are there, because those of a lab that has ended are stopped; what has logged is not read again.
    let mut silent: Vec<_> = all.iter().flat_map(|(ns, urls)| urls.iter().map(move |(name, _)| (*ns, *name))).collect();
    let all_have_logged = || {
        let pods: String = namespaces.iter().map(|ns| ns.kubectl(&["get", "pods", "--output=name"])).collect();
        silent.retain(|(ns, name)| !has_logged(ns, name, &pods));
        let names: Vec<_> = silent.iter().map(|(_, name)| name).collect();
        ensure!(names.is_empty(), "{names:?} have not logged why they failed");
        Ok(())
    };
    eventually("the logs of the services", COMPLETED_WITHIN, all_have_logged).unwrap();
    assert_nothing_shown();
    for (ns, urls) in &all {
        for (name, _) in *urls {
            let status = ns.final_status(name);
            assert!(status["phase"] == "Failed" || status["verdict"] == "Inconclusive", "{status:#}");
            assert_names_the_source(name, message(&status));
        }
    }
    assert_nothing_shown();
}

/// Whether the service of an experiment has logged something, none of which may be secret.
fn has_logged(ns: &Namespace<'_>, experiment: &str, pods: &str) -> bool {
    let service = format!("pod/{experiment}-payment-service");
    pods.lines().filter(|pod| pod.starts_with(&service)).any(|pod| {
        // One that has just been started anew has a log of before.
        ["--previous=false", "--previous=true"].iter().any(|instance| {
            let log = ns.try_kubectl(&["logs", pod, "--all-containers", instance]).unwrap_or_default();
            assert_hidden(&format!("log of {pod}"), log.as_bytes());
            !log.is_empty()
        })
    })
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
