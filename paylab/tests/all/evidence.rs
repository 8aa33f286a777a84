//! The evidence of a run: what is kept of it, what is made from it later, and what is refused with a sentence.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::binary::{named, paylab, printed, text};

const FAULTS: &str = "faults: [{name: request-lost, probability: 0.3, reset: {at: BeforeRequest}}, \
    {name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}]";

fn experiment(name: &str, expect: &str, dedup: &str) -> String {
    let client = "client: {idempotencyKey: PerPayment, concurrency: 4}";
    named(
        name,
        &format!(
            "{{claim: ExactlyOnce, expect: {expect}, seed: 42, minExposures: 5, payments: {{count: 60}}, {client}, \
             service: {{dedup: {dedup}}}, {FAULTS}}}"
        ),
    )
}

fn naive() -> String {
    experiment("naive", "Violated", "None")
}

fn safe() -> String {
    experiment("safe", "Upheld", "UniqueKey")
}

/// Runs an experiment and keeps its evidence in a folder.
fn kept(experiment: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    let output = run_into(&evidence, experiment);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    (folder, evidence)
}

fn run_into(evidence: &Path, experiment: &str) -> Output {
    paylab(&["run", "-", "--quiet", "--evidence", evidence.to_str().unwrap()], experiment)
}

fn on(command: &str, directory: &Path, rest: &[&str]) -> Output {
    paylab(&[&[command, directory.to_str().unwrap()], rest].concat(), "")
}

fn outcome(evidence: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(evidence.join("outcome.json")).unwrap()).unwrap()
}

/// The lines of `attempts.ndjson.zst`, without the footer.
fn attempts(evidence: &Path) -> Vec<Value> {
    let bytes = zstd::decode_all(fs::File::open(evidence.join("attempts.ndjson.zst")).unwrap()).unwrap();
    let mut lines: Vec<Value> =
        bytes.split(|byte| *byte == b'\n').filter_map(|it| serde_json::from_slice(it).ok()).collect();
    assert!(lines.pop().unwrap()["footer"]["lines"].as_u64().unwrap() == lines.len() as u64);
    lines
}

/// The refusal of a directory: the exit code for usage, and a sentence on standard error.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(64), "{}", printed(output));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    text(&output.stderr)
}

#[test]
fn every_attempt_of_a_payment_that_broke_something_is_kept_as_the_three_witnesses_saw_it() {
    let (_folder, evidence) = kept(&naive());
    let (outcome, attempts) = (outcome(&evidence), attempts(&evidence));
    let duplicated = outcome["report"]["ledger"]["duplicated"].as_u64().unwrap();
    assert!(duplicated > 5, "{outcome}");
    let mut broken: Vec<_> = attempts.iter().filter(|line| line["anomalies"] == json!(["Duplicated"])).collect();
    broken.dedup_by_key(|line| line["payment"].as_u64());
    assert_eq!(broken.len() as u64, duplicated);
    for line in &attempts {
        let (client, proxy) = (&line["client"], &line["proxy"]);
        assert_eq!((&proxy["payment"], &proxy["attempt"]), (&line["payment"], &line["attempt"]), "{line}");
        assert_eq!(proxy["coins"].as_array().unwrap().len(), 2, "{line}");
        let (start, took) = (client["startUs"].as_u64().unwrap(), client["tookUs"].as_u64().unwrap());
        let at_proxy = line["proxyAtUs"].as_u64().unwrap();
        assert!((start..=start + took).contains(&at_proxy), "the proxy read it between its two ends: {line}");
        assert!(proxy["took_us"].as_u64().unwrap() > 0 || took < 1_000, "{line}");
        assert!(!line["entries"].as_array().unwrap().is_empty(), "every payment was acknowledged at last: {line}");
    }
    let rows = &outcome["chronicle"]["matrix"]["rows"];
    let payments: u64 = rows.as_object().unwrap().values().map(|row| row["all"]["payments"].as_u64().unwrap()).sum();
    assert_eq!(payments, 60);
    let twice = rows["BookedTwice"]["cells"]["AnswerLost"]["payments"].as_u64().unwrap();
    assert_eq!(rows["BookedTwice"]["all"]["payments"].as_u64(), Some(twice), "only a lost answer makes a duplicate");
}

#[test]
fn explain_tells_what_happened_beside_what_was_predicted() {
    let (_folder, evidence) = kept(&naive());
    let broken = attempts(&evidence).into_iter().find(|line| line["anomalies"] == json!(["Duplicated"])).unwrap();
    let payment = broken["payment"].to_string();
    let told = on("explain", &evidence, &[&payment]);
    assert_eq!(told.status.code(), Some(0), "{}", printed(&told));
    let told = text(&told.stdout);
    for entry in broken["entries"].as_array().unwrap() {
        assert!(told.contains(&format!("entry {}", entry["id"])), "{told}");
    }
    for expected in [
        "as it was measured",
        "predicted",
        "the same",
        "response-lost",
        "the ledger says: paid",
        "The service booked attempt",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(refusal(&on("explain", &evidence, &["60"])).contains("60 is no payment of this experiment; use 0 to 59"));
    assert!(
        refusal(&on("explain", &evidence, &["3", "--seed", "7"]))
            .contains("--seed and --concurrency have no meaning here")
    );
}

#[test]
fn a_report_from_evidence_says_what_the_run_has_said() {
    for (experiment, verdict) in [(naive(), "Violated"), (safe(), "Upheld")] {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence");
        let junit = folder.path().join("run.xml");
        let place = evidence.to_str().unwrap();
        let run = paylab(
            &["run", "-", "--output", "json", "--evidence", place, "--junit", junit.to_str().unwrap()],
            &experiment,
        );
        let again = on("report", &evidence, &["--output", "json"]);
        assert_eq!(again.status.code(), Some(0), "{}", printed(&again));
        assert_eq!(text(&run.stdout), text(&again.stdout));
        let status: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(status["verdict"], verdict);
        let later = folder.path().join("later.xml");
        assert_eq!(on("report", &evidence, &["--junit", later.to_str().unwrap()]).status.code(), Some(0));
        let [run, later] = [junit, later].map(|file| fs::read_to_string(file).unwrap());
        // Each file has an id of its own.
        let suites = |xml: &str| xml.split_once("<testsuite ").unwrap().1.to_owned();
        assert_eq!(suites(&run), suites(&later));
    }
}

#[test]
fn the_kept_experiment_gives_the_same_run_again() {
    let (_folder, evidence) = kept(&naive());
    let file = evidence.join("experiment.yaml");
    let again = paylab(&["run", file.to_str().unwrap(), "--output", "json"], "");
    let status: Value = serde_json::from_slice(&again.stdout).unwrap();
    let report = outcome(&evidence)["report"].clone();
    assert_eq!(status["ledger"]["entries"], report["ledger"]["entries"]);
    assert_eq!(status["attempts"]["total"], report["attempts"]["total"]);
    assert_eq!(status["seed"], 42);
}

#[test]
fn several_experiments_have_a_directory_each_and_one_report() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    let output = run_into(&evidence, &format!("{}---\n{}", naive(), safe()));
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(evidence.join("naive/outcome.json").exists() && evidence.join("safe/outcome.json").exists());
    let report = on("report", &evidence, &[]);
    let told = printed(&report);
    assert!(told.contains("VIOLATED ExactlyOnce") && told.contains("UPHELD ExactlyOnce"), "{told}");
}

#[test]
fn a_directory_with_something_else_in_it_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path();
    fs::write(evidence.join("notes.txt"), "mine").unwrap();
    let refused = refusal(&run_into(evidence, &naive()));
    assert!(refused.contains("holds something else (notes.txt); name a directory that is new or empty"), "{refused}");
    assert_eq!(fs::read_dir(evidence).unwrap().count(), 1);
    let file = evidence.join("notes.txt");
    assert!(refusal(&run_into(&file, &naive())).contains("is a file; name a directory"));
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}

#[test]
fn the_evidence_of_an_earlier_run_is_replaced_and_that_is_told() {
    let (_folder, evidence) = kept(&naive());
    let before = outcome(&evidence)["runId"].clone();
    let output = run_into(&evidence, &safe());
    assert!(text(&output.stderr).contains("replacing the evidence of an earlier run"), "{}", printed(&output));
    assert_ne!(outcome(&evidence)["runId"], before);
    assert_eq!(outcome(&evidence)["verdict"], "Upheld");
}

#[test]
fn a_directory_of_several_experiments_never_shows_one_of_an_earlier_run() {
    let (_folder, evidence) = kept(&safe());
    // One experiment was kept there, and now there are two.
    let both = format!("{}---\n{}", naive(), experiment("other", "Upheld", "UniqueKey"));
    assert_eq!(run_into(&evidence, &both).status.code(), Some(0));
    let told = printed(&on("report", &evidence, &[]));
    assert!(told.contains("VIOLATED ExactlyOnce") && !told.contains("safe"), "{told}");
    // Two others would leave those of before beside them.
    let others = format!("{}---\n{}", experiment("third", "Upheld", "UniqueKey"), naive());
    let refused = refusal(&run_into(&evidence, &others));
    assert!(refused.contains("holds the evidence of another experiment") && refused.contains("other"), "{refused}");
    assert_eq!(outcome(&evidence.join("other"))["verdict"], "Upheld", "nothing was removed");
}

#[test]
fn what_is_read_is_never_overwritten_by_a_report() {
    let (folder, evidence) = kept(&safe());
    for file in ["outcome.json", "experiment.yaml", "attempts.ndjson.zst"].map(|name| evidence.join(name)) {
        let before = fs::read(&file).unwrap();
        for option in ["--report", "--markdown", "--junit"] {
            let refused = refusal(&on("report", &evidence, &[option, file.to_str().unwrap()]));
            assert!(refused.contains("is read; name another"), "{refused}");
        }
        assert_eq!(fs::read(&file).unwrap(), before);
    }
    let mine = folder.path().join("mine.yaml");
    fs::write(&mine, safe()).unwrap();
    let refused = refusal(&on("run", &mine, &["--report", mine.to_str().unwrap()]));
    assert!(refused.contains("is read; name another"), "{refused}");
    assert_eq!(fs::read_to_string(&mine).unwrap(), safe());
}

/// Changes the field of an outcome.
fn change(evidence: &Path, field: &str, value: Value) {
    let mut changed = outcome(evidence);
    changed[field] = value;
    fs::write(evidence.join("outcome.json"), changed.to_string()).unwrap();
}

#[test]
fn what_is_no_whole_evidence_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    assert!(refusal(&on("report", &missing, &[])).contains("missing: does not exist; name a directory that"));
    assert!(
        refusal(&on("report", folder.path(), &[])).contains("is no evidence of a run, because it has no outcome.json")
    );

    let (_folder, evidence) = kept(&naive());
    let (_other_folder, other) = kept(&naive());
    let whole: Vec<_> = ["experiment.yaml", "outcome.json", "attempts.ndjson.zst"]
        .map(|name| (name, fs::read(evidence.join(name)).unwrap()))
        .into();
    let restore = || whole.iter().for_each(|(name, bytes)| fs::write(evidence.join(name), bytes).unwrap());
    let check = |expected: &str| {
        for command in [&["report"][..], &["explain", "3"]] {
            let refused = refusal(&on(command[0], &evidence, &command[1..]));
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
        restore();
    };
    change(&evidence, "format", json!(2));
    check("outcome.json: has format 2, and this version of paylab reads formats up to 1; use a newer version");
    change(&evidence, "kind", json!("something"));
    check("outcome.json: is of the kind \"something\"");
    change(&evidence, "verdict", json!("Upheld"));
    check("says Upheld, and this version of paylab concludes Violated from it");
    for (name, bytes) in &whole {
        fs::write(evidence.join(name), &bytes[..bytes.len() / 2]).unwrap();
        check(&format!("{name}: is "));
        fs::remove_file(evidence.join(name)).unwrap();
        check(if *name == "outcome.json" { "is no evidence" } else { "there is no such file" });
        // Nobody ever writes into this pipe.
        fs::remove_file(evidence.join(name)).unwrap();
        assert!(Command::new("mkfifo").arg(evidence.join(name)).status().unwrap().success());
        let refused = refusal(&on("report", &evidence, &[]));
        assert!(refused.contains(&format!("{name}: it is not a regular file")), "{refused}");
        fs::remove_file(evidence.join(name)).unwrap();
        restore();
    }
    fs::copy(other.join("attempts.ndjson.zst"), evidence.join("attempts.ndjson.zst")).unwrap();
    check("attempts.ndjson.zst: is of run ");
    fs::copy(other.join("outcome.json"), evidence.join("outcome.json")).unwrap();
    check("attempts.ndjson.zst: is of run ");
    let yaml = String::from_utf8(whole[0].1.clone()).unwrap().replace("probability: 0.3", "probability: 0.2");
    fs::write(evidence.join("experiment.yaml"), yaml).unwrap();
    check("experiment.yaml: is not the experiment of this run");
    let mut flipped = whole[2].1.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    fs::write(evidence.join("attempts.ndjson.zst"), flipped).unwrap();
    check("attempts.ndjson.zst: ");
    assert_eq!(on("report", &evidence, &[]).status.code(), Some(0), "the whole evidence is still read");
}

#[test]
fn a_run_is_compared_with_an_earlier_one_of_the_same_faults() {
    let (folder, before) = kept(&experiment("service", "Violated", "None"));
    let (_after_folder, after) = kept(&experiment("service", "Upheld", "UniqueKey"));
    let compared = |now: &Path, earlier: &Path, rest: &[&str]| {
        on("report", now, &[&["--compare", earlier.to_str().unwrap()], rest].concat())
    };
    let duplicated = outcome(&before)["report"]["ledger"]["duplicated"].to_string();
    let mended = compared(&after, &before, &[]);
    let mended = (mended.status.code(), text(&mended.stdout));
    for expected in [
        format!("{:<26}{duplicated:>12}{:>12}", "payments duplicated", 0),
        format!("gone      Duplicated ({duplicated} payments)"),
        "new       nothing".to_owned(),
        "changed   the service (spec.service or spec.target)".to_owned(),
    ] {
        assert!(mended.0 == Some(0) && mended.1.contains(&expected), "{expected}: {}", mended.1);
    }
    let broken = text(&compared(&before, &after, &[]).stdout);
    assert!(broken.contains(&format!("new       Duplicated ({duplicated} payments)")), "{broken}");
    let same = text(&compared(&before, &before, &[]).stdout);
    assert!(same.contains(&format!("still     Duplicated ({duplicated} before, {duplicated} now)")), "{same}");
    assert!(same.contains("changed   nothing in the experiment"), "{same}");
    let [html, markdown] = ["report.html", "report.md"].map(|name| folder.path().join(name));
    let files = ["--report", html.to_str().unwrap(), "--markdown", markdown.to_str().unwrap()];
    assert_eq!(compared(&after, &before, &files).status.code(), Some(0));
    assert!(fs::read_to_string(html).unwrap().contains("Compared with the earlier run"));
    assert!(fs::read_to_string(markdown).unwrap().contains("| verdict | Violated | **Upheld** |"));
}

#[test]
fn runs_whose_difference_would_say_nothing_are_not_compared() {
    let (folder, evidence) = kept(&naive());
    let refused = |other: &str| {
        let (_other_folder, other) = kept(other);
        let output = on("report", &evidence, &["--compare", other.to_str().unwrap()]);
        refusal(&output)
    };
    for (changed, expected) in [
        (naive().replace("seed: 42", "seed: 43"), "the seed is 43 in the earlier run and 42 in this one"),
        (naive().replace("count: 60", "count: 61"), "the number of payments is 61"),
        (naive().replace("probability: 0.3", "probability: 0.4"), "what breaks connections is 2 faults"),
        (naive().replace("ExactlyOnce", "AtMostOnce"), "the claim is AtMostOnce"),
    ] {
        let refusal = refused(&changed);
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
    let nothing = on("report", &evidence, &["--compare", folder.path().join("absent").to_str().unwrap()]);
    assert!(refusal(&nothing).contains("does not exist"), "{}", printed(&nothing));
}
