//! The number of file descriptors that a load needs is known before it begins: too few are refused, and as many as are asked for suffice.

use std::process::{Command, Output};

use crate::support::binary::{experiment, printed, root, text};

/// Runs an experiment in a shell that allows so many file descriptors.
fn run_with(limit: &str, file: &str, arguments: &[&str]) -> Output {
    let script = format!("ulimit {limit} && exec \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_paylab"), "run", file, "--quiet"]).args(arguments);
    shell.current_dir(root()).output().unwrap()
}

/// Every response is held, so that all attempts of a round are in flight at once.
fn crowd() -> String {
    experiment(
        "{claim: ExactlyOnce, seed: 1, minExposures: 1, payments: {count: 1200}, service: {dedup: UniqueKey}, \
         client: {idempotencyKey: PerPayment, concurrency: 150, workers: 2, hedge: 2, retry: {attemptTimeout: 20s}}, \
         faults: [{name: held, probability: 1, delay: {at: BeforeResponse, for: 500ms}}]}",
    )
}

fn number_behind(text: &str, words: &str) -> u64 {
    text.split(words).nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn too_few_descriptors_are_refused_with_the_number_the_limit_and_the_ways_out() {
    let lesson = "examples/pay-exactly-once.yaml";
    let output = run_with("-n 32", lesson, &[]);
    let errors = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""), "{errors}");
    let start = format!("{lesson}: spec.client.concurrency: 8 attempts in flight need ");
    assert!(errors.starts_with(&start) && errors.contains("this process may have 32"), "{errors}");
    assert!(errors.contains("raise the limit with: ulimit -n "), "{errors}");
    let large = run_with("-n 100", lesson, &["--concurrency", "64"]);
    assert_eq!(large.status.code(), Some(64));
    let fewer = number_behind(&text(&large.stderr), "use --concurrency ").to_string();
    let output = run_with("-n 100", lesson, &["--concurrency", &fewer]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
}

#[test]
fn as_many_descriptors_as_are_asked_for_suffice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crowd.yaml");
    std::fs::write(&file, crowd()).unwrap();
    let file = file.to_str().unwrap();
    let refused = run_with("-n 200", file, &[]);
    assert_eq!(refused.status.code(), Some(64), "{}", printed(&refused));
    let needed = number_behind(&text(&refused.stderr), "ulimit -n ");
    let short = run_with(&format!("-n {}", needed - 1), file, &[]);
    assert_eq!(short.status.code(), Some(64), "{}", printed(&short));
    let enough = run_with(&format!("-n {needed}"), file, &[]);
    assert_eq!((enough.status.code(), text(&enough.stderr).as_str()), (Some(0), ""), "{}", printed(&enough));
}

#[test]
fn a_soft_limit_is_raised() {
    let output = run_with("-Sn 32", "examples/pay-exactly-once.yaml", &[]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{}", printed(&output));
}
