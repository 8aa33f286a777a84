//! `paylab shrink` as a user runs it: every deterministic violation of Paylab's own modes ends at one payment and at most two faults, and shows
//! the same class in ten of ten runs; a race ends with its rate.

use std::{fs, path::Path, sync::Mutex, thread};

use paylab_apis::{Conduct, Shape};
use paylab_core::targets::ours::Dedup;
use paylab_resource::{
    file,
    nemesis::{ALL, Expected, Subject},
};
use serde_json::{Value, json};

use crate::support::{
    apis::start,
    binary::{experiment, paylab, printed, text},
};

/// How many shrinks run at the same time: each waits for half of its time.
const AT_ONCE: usize = 4;

/// Shrinks one file, and returns what was told and the small file.
fn shrunk(path: &Path, more: &[&str]) -> (String, String) {
    let output = paylab(&[&["shrink", path.to_str().unwrap(), "--quiet"], more].concat(), "");
    assert_eq!(output.status.code(), Some(0), "{}: {}", path.display(), printed(&output));
    (text(&output.stderr), text(&output.stdout))
}

/// The class of a run of a file, its payments and its attempts.
fn class_of(path: &Path, more: &[&str]) -> (Value, Value, Value) {
    let output = paylab(&[&["run", path.to_str().unwrap(), "--output", "json"], more].concat(), "");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    (status["reason"].clone(), status["payments"]["intended"].clone(), status["attempts"]["total"].clone())
}

#[test]
fn every_violation_of_the_modes_ends_at_one_payment_and_at_most_two_faults() {
    let folder = tempfile::tempdir().unwrap();
    let emitted = paylab(&["gauntlet", "--payments", "40", "--emit", folder.path().to_str().unwrap()], "");
    assert_eq!(emitted.status.code(), Some(0), "{}", printed(&emitted));
    let broken = Dedup::ALL.into_iter().flat_map(|mode| {
        let subject = Subject::ours(mode, 42);
        let cells = ALL.iter().filter_map(move |nemesis| match nemesis.expected(&subject) {
            Expected::Broken(class) => Some((nemesis.experiment(&subject).metadata.name.unwrap(), class)),
            Expected::Holds | Expected::Blind => None,
        });
        cells.collect::<Vec<_>>()
    });
    let left: Mutex<Vec<_>> = Mutex::new(broken.collect());
    assert!(left.lock().unwrap().len() > 20);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((name, class)) = left.lock().unwrap().pop() else { return };
                    let (told, small) = shrunk(&folder.path().join(format!("{name}.yaml")), &[]);
                    let experiment = file::parse(&small, 0).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
                    assert!(told.contains("seen in 10 of 10 runs: 1 payment of 40"), "{name}: {told}");
                    assert!(experiment.plan.count == 1 && experiment.plan.faults().len() <= 2, "{name}: {small}");
                    let path = folder.path().join(format!("{name}-again.yaml"));
                    fs::write(&path, &small).unwrap();
                    assert_eq!(class_of(&path, &[]).0, json!(format!("{class:?}")), "{name}: {small}");
                }
            });
        }
    });
}

#[test]
fn the_smallest_lesson_is_one_payment_whose_first_answer_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.yaml");
    let (told, printed) = shrunk(Path::new("examples/never-pay-too-little.yaml"), &["-o", file.to_str().unwrap()]);
    assert_eq!(printed, "", "the experiment is in the file");
    assert!(told.contains("run it: paylab run "), "{told}");
    expect_test::expect![[r#"
        # TWICE, seen in 10 of 10 runs: 1 payment of 1000, 2 attempts, 1 of 2 faults
        apiVersion: paylab.dev/v1alpha1
        kind: ChaosExperiment
        metadata:
          name: never-pay-too-little-small
        spec:
          claim: ExactlyOnce
          client:
            concurrency: 1
          expect: Violated
          faults:
          - attempts:
            - 1
            name: response-lost
            probability: 1.0
            reset:
              at: BeforeResponse
          payments:
            count: 1
          seed: 42
    "#]]
    .assert_eq(&fs::read_to_string(&file).unwrap());
    assert_eq!(class_of(&file, &[]), (json!("Duplicated"), json!(1), json!(2)));
}

#[test]
fn what_was_acknowledged_and_not_booked_is_lost_with_one_payment_that_is_killed_after_its_answer() {
    // In the experiment it is another payment that kills the service.
    let spec = "{claim: ExactlyOnce, seed: 42, payments: {count: 40}, client: {idempotencyKey: PerPayment, concurrency: 1}, \
                service: {dedup: AckThenApply, processingTime: 100ms}, \
                faults: [{name: killed, probability: 0.2, kill: {at: BeforeRequest}}]}";
    let output = paylab(&["shrink", "-", "--quiet"], &experiment(spec));
    let (told, small) = (text(&output.stderr), text(&output.stdout));
    assert!(told.contains("ACKED, LOST, seen in 10 of 10 runs: 1 payment of 40, 1 attempt, 1 of 1 fault"), "{told}");
    assert!(small.contains("at: AfterResponse") && small.contains("processingTime: 100ms"), "{small}");
}

#[test]
fn a_kill_that_strikes_beside_a_booking_gets_the_time_to_strike_in_it() {
    // Nobody reads a request, commits the first step and is killed within 4 ms for certain.
    let spec = "{claim: ExactlyOnce, seed: 42, payments: {count: 40}, client: {idempotencyKey: PerPayment, concurrency: 1}, \
                service: {dedup: KeyThenApply, processingTime: 12ms}, \
                faults: [{name: killed, probability: 0.5, attempts: [1], kill: {at: AfterRequest, after: 4ms}}]}";
    let output = paylab(&["shrink", "-", "--quiet"], &experiment(spec));
    let (told, small) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("ACKED, LOST, ") && told.contains(": 1 payment of 40, 2 attempts, 1 of 1 fault"), "{told}");
    // On a fast and idle machine it is certain as it is.
    let is_certain = told.contains("seen in 10 of 10 runs");
    let has_time = small.contains("processingTime: 36ms") || small.contains("processingTime: 108ms");
    assert!(is_certain || has_time, "{told}{small}");
}

#[test]
fn a_race_ends_with_its_rate() {
    // With a short pause between look and booking, two requests at once are both booked, and which of them depends on the machine.
    let spec = "{claim: ExactlyOnce, seed: 42, payments: {count: 300}, client: {idempotencyKey: PerPayment, concurrency: 16, hedge: 3}, \
                service: {dedup: CheckThenInsert, processingTime: 5ms}}";
    let output = paylab(&["shrink", "-", "--quiet", "--budget", "20s", "--runs", "120"], &experiment(spec));
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(told.contains("seen in ") && told.contains(" runs: "), "{told}");
    assert!(file::parse(&text(&output.stdout), 0).is_ok(), "{}", printed(&output));
}

#[test]
fn a_broken_service_of_a_users_is_shrunk_too() {
    let service = format!("http://{}", start(Shape::Stripe, Conduct::Broken));
    let target = ["--target", service.as_str()];
    let (told, small) = shrunk(Path::new("examples/targets/stripe.yaml"), &target);
    assert!(told.contains(": 1 payment of 500"), "{told}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.yaml");
    fs::write(&file, small).unwrap();
    assert_eq!(class_of(&file, &target).0, json!("Duplicated"));
}

#[test]
fn a_run_that_holds_and_bad_options_are_refused_in_clear_words() {
    let holds = experiment(
        "{claim: ExactlyOnce, seed: 42, payments: {count: 60}, client: {idempotencyKey: PerPayment}, service: {dedup: UniqueKey}, \
         faults: [{name: lost, probability: 0.3, reset: {at: BeforeResponse}}]}",
    );
    for (arguments, told) in [
        (&["shrink", "-"][..], "nothing breaks its claim, so that there is nothing to be shrunk; UPHELD"),
        (&["shrink", "-", "--runs", "0"], "--runs"),
        (&["shrink", "-", "--budget", "soon"], "such as 250ms or 5s"),
        (&["shrink", "/nowhere.yaml"], "there is no such file"),
        (
            &["shrink", "examples/pay-exactly-once.yaml", "-o", "examples/pay-exactly-once.yaml"],
            "is read; name another",
        ),
    ] {
        let output = paylab(arguments, &holds);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", printed(&output));
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {}", printed(&output));
    }
    let unclear = experiment("{claim: ExactlyOnce, payments: {count: 5}}");
    let output = paylab(&["shrink", "-"], &unclear);
    assert_eq!(output.status.code(), Some(2), "nothing is known of it: {}", printed(&output));
}
