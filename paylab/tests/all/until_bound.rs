//! `--until-bound` as a user runs it: fresh payments until the bug rate is bounded, something breaks, or the budget is used up.

use serde_json::{Value, json};

use crate::support::binary::{experiment, paylab, printed, text};

/// 200 payments, of which about 70 answers are lost.
fn lossy(dedup: &str) -> String {
    experiment(&format!(
        "{{claim: ExactlyOnce, seed: 42, payments: {{count: 200}}, client: {{idempotencyKey: PerPayment}}, \
         service: {{dedup: {dedup}}}, faults: [{{name: response-lost, probability: 0.3, reset: {{at: BeforeResponse}}}}]}}"
    ))
}

fn run(spec: &str, more: &[&str], code: i32) -> Value {
    let output = paylab(&[&["run", "-", "--output", "json"], more].concat(), spec);
    assert_eq!(output.status.code(), Some(code), "{more:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn it_goes_on_with_fresh_seeds_until_the_bound_is_reached_and_each_run_can_be_repeated() {
    let status = run(&lossy("UniqueKey"), &["--until-bound", "0.01"], 0);
    let runs = status["series"]["runs"].as_u64().unwrap();
    assert!(runs > 2, "{status}");
    assert_eq!(status["series"]["lastSeed"], json!(42 + runs - 1));
    assert_eq!(status["payments"]["intended"], json!(200 * runs));
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("UPHELD ExactlyOnce: {} of {0} payments", 200 * runs)), "{message}");
    assert!(message.contains(&format!("in {runs} runs with the seeds 42 to {}", 41 + runs)), "{message}");
    // What was measured is the sum of what each seed predicts, and of what each run measures alone.
    assert_eq!(status["attempts"]["total"], status["prediction"]["exact"]["attempts"]);
    assert_eq!(status["lab"].get("findings"), None, "{status}");
    let alone = (42..42 + runs).map(|seed| run(&lossy("UniqueKey"), &["--seed", &seed.to_string()], 0));
    let exposures: u64 = alone.take(2).map(|status| status["lab"]["exposures"].as_u64().unwrap()).sum();
    assert!(exposures > 0 && status["lab"]["exposures"].as_u64().unwrap() > exposures, "{status}");
}

#[test]
fn it_ends_with_the_first_run_that_breaks_the_claim() {
    let status = run(&lossy("None"), &["--until-bound", "1e-6"], 1);
    assert_eq!((&status["verdict"], &status["seed"]), (&json!("Violated"), &json!(42)));
    assert_eq!(status.get("series"), None, "the outcome is that of one run");
}

#[test]
fn a_bound_that_the_budget_cannot_reach_is_inconclusive_and_said_at_once_if_it_is_known() {
    for (more, told, runs) in [
        (&["--until-bound", "1e-6", "--payments-most", "5000"][..], "and --payments-most is 5000", Some(0)),
        (&["--until-bound", "1e-6", "--budget", "1s"], "--budget 1s is used up", None),
        (&["--until-bound", "0.01", "--payments-most", "600"], "about ", Some(0)),
    ] {
        let status = run(&lossy("UniqueKey"), more, 2);
        let message = status["message"].as_str().unwrap();
        assert!(message.contains(told) && message.contains("are needed"), "{message}");
        assert_eq!(status["doubts"][0]["kind"], json!("BoundNotReached"));
        if let Some(runs) = runs {
            assert_eq!(status["series"]["runs"], json!(runs), "{message}");
        }
    }
    let calm = experiment("{claim: ExactlyOnce, payments: {count: 5}}");
    let status = run(&calm, &["--until-bound", "0.1"], 2);
    assert!(status["message"].as_str().unwrap().contains("whatever the number of payments; add faults"), "{status}");
}

#[test]
fn the_command_that_repeats_it_has_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lossy.yaml");
    std::fs::write(&file, lossy("UniqueKey")).unwrap();
    let limits = ["--until-bound", "1e-6", "--budget", "2s", "--payments-most", "600"];
    let output = paylab(&[&["run", file.to_str().unwrap()][..], &limits].concat(), "");
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    let again = format!("again: paylab run {} --seed 42 {}", file.display(), limits.join(" "));
    assert!(printed(&output).contains(&again), "{}", printed(&output));
}

#[test]
fn bad_bounds_are_refused_with_what_to_use() {
    for (more, told) in [
        (&["--until-bound", "0"][..], "use a number from 1e-9 to below 1"),
        (&["--until-bound", "often"], "use a number from 1e-9 to below 1"),
        (&["--budget", "1s"], "--until-bound"),
        (&["--until-bound", "0.1", "--evidence", "/nowhere"], "--evidence"),
        (&["--until-bound", "0.1", "--database", "sqlite:/nowhere/ledger.db"], "one run only; use sqlite"),
    ] {
        let output = paylab(&[&["run", "-"], more].concat(), &lossy("UniqueKey"));
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", printed(&output));
        assert!(text(&output.stderr).contains(told), "{more:?}: {}", printed(&output));
    }
}

#[test]
fn a_gauntlet_states_the_bound_of_each_cell() {
    let options = ["gauntlet", "-", "--only", "lost-request,lost-answer", "--until-bound", "0.02", "--output", "json"];
    let output = paylab(&options, &lossy("UniqueKey"));
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    for cell in table["rows"][0]["cells"].as_array().unwrap() {
        assert!(cell["bugRateBound"].as_f64().unwrap() <= 0.02 && cell["exposures"].as_u64().unwrap() >= 149, "{cell}");
    }
}
