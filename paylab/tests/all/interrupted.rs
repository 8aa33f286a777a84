//! What a search and a table say when a signal ends them: what is known, and never a number of something that was not measured.

use std::{
    fs,
    io::Read as _,
    process::{Command, Stdio},
};

use crate::support::binary::{Running, command, experiment};

/// Half of its answers are lost, so that one payment alone shows that it is booked twice.
const TWICE: &str = "{claim: ExactlyOnce, expect: Violated, seed: 42, payments: {count: 60}, \
                     service: {dedup: None, processingTime: 20ms}, faults: \
                     [{name: request-lost, probability: 0.2, reset: {at: BeforeRequest}}, \
                     {name: response-lost, probability: 0.5, reset: {at: BeforeResponse}}]}";

/// Starts a command on a spec, interrupts it at the first line of its log with a text, and returns its exit code, its output and the rest of its
/// log.
fn interrupted(arguments: &[&str], spec: &str, at: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    fs::write(&file, experiment(spec)).unwrap();
    let (first, rest) = arguments.split_first().unwrap();
    let mut command: Command = command(&[&[*first, file.to_str().unwrap()], rest].concat());
    let mut running = Running::start(command.env("TMPDIR", folder.path()).stdin(Stdio::null()));
    let mut output = running.child.stdout.take().unwrap();
    running.line(at);
    running.signal("INT");
    let (code, log) = running.end();
    let mut printed = String::new();
    output.read_to_string(&mut printed).unwrap();
    (code, printed, log.join("\n"))
}

#[test]
fn a_shrink_that_is_interrupted_says_what_it_has_found_until_then() {
    let (code, small, log) = interrupted(&["shrink"], TWICE, "kept:   payment");
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("the search has ended early: it was interrupted"), "{log}");
    for wrong in [" 0 attempts", "of 0 runs", "a race", "(--"] {
        assert!(!log.contains(wrong), "{wrong}: {log}");
    }
    assert!(log.contains("TWICE, seen in ") && log.contains(": 1 payment of 60, "), "{log}");
    assert!(small.contains("count: 1"), "what it has found can be run: {small}");
}

#[test]
fn a_shrink_that_is_interrupted_before_a_run_has_ended_knows_nothing() {
    let held = "{claim: ExactlyOnce, seed: 42, payments: {count: 20}, \
                faults: [{name: held, probability: 1, delay: {at: BeforeRequest, for: 1s}}]}";
    let (code, small, log) = interrupted(&["shrink", "--log", "info"], held, "reset proxy ready");
    assert_eq!((code, small.as_str()), (Some(2), ""), "{log}");
    assert!(log.contains("nothing is known of it, because no run has come to its end: it was interrupted"), "{log}");
}

#[test]
fn a_gauntlet_that_is_interrupted_while_it_looks_for_the_smallest_run_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.yaml");
    let arguments = ["gauntlet", "--only", "lost-answer", "--smallest", small.to_str().unwrap()];
    let (code, table, log) = interrupted(&arguments, TWICE, "looking for the smallest run");
    assert_eq!(code, Some(1), "what was measured stays: {log}");
    assert!(table.contains("The claim is broken") || table.contains("TWICE "), "{table}");
    let last = table.lines().last().unwrap();
    let found = last.contains("the search has ended early: it was interrupted") && small.exists();
    let none = last.contains("No smaller run that shows the first was written: ") && last.contains("interrupted");
    assert!(found || (none && !small.exists()), "{last}");
    assert!(!last.contains(" 0 attempts"), "{last}");
}

#[test]
fn a_gauntlet_that_is_interrupted_says_nothing_about_the_nemeses_that_were_not_run() {
    let slow =
        TWICE.replace("processingTime: 20ms", "processingTime: 200ms").replace("dedup: None", "dedup: UniqueKey");
    let (code, table, log) = interrupted(&["gauntlet", "--log", "info"], &slow, "reset proxy ready");
    assert_eq!(code, Some(2), "{table}{log}");
    let last = table.lines().last().unwrap();
    assert_eq!(last, "Of 11 nothing is known.", "{table}");
    assert!(table.contains("it was not run, because the gauntlet was interrupted"), "{table}");
}

#[test]
fn a_series_that_is_interrupted_keeps_what_the_runs_before_have_shown() {
    let safe = TWICE.replace("dedup: None", "dedup: UniqueKey").replace("expect: Violated, ", "");
    let spec = safe.replace("{claim", "{client: {idempotencyKey: PerPayment, concurrency: 4}, claim");
    let arguments = ["run", "--until-bound", "1e-6", "--log", "info"];
    // The ledger of the third run is there, so that two have ended.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    fs::write(&file, experiment(&spec)).unwrap();
    let mut running =
        Running::start(&mut command(&[&[arguments[0], file.to_str().unwrap()], &arguments[1..]].concat()));
    let mut output = running.child.stdout.take().unwrap();
    for _ in 0..3 {
        running.line("reset proxy ready");
    }
    running.signal("INT");
    let (code, log) = running.end();
    let mut printed = String::new();
    output.read_to_string(&mut printed).unwrap();
    assert_eq!(code, Some(2), "{printed}{log:?}");
    assert!(printed.contains("it was interrupted; ") && !printed.contains("it was interrupted; 0 "), "{printed}");
}
