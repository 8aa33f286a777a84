//! Several experiments in one call: the order, the messages, the exit code, what is printed and what is kept.

use std::{fs, path::Path};

use serde_json::{Deserializer, Value};
use tempfile::TempDir;

use crate::support::binary::{named, paylab, printed, text};

/// Twenty payments, half of whose responses are lost: the unsafe service pays twice.
fn spec(expect: &str, dedup: &str) -> String {
    let client = "client: {idempotencyKey: PerPayment}";
    let faults = "faults: [{name: lost, probability: 0.5, reset: {at: BeforeResponse}}]";
    format!(
        "{{claim: ExactlyOnce, expect: {expect}, seed: 1, minExposures: 5, payments: {{count: 20}}, {client}, \
         service: {{dedup: {dedup}}}, {faults}}}"
    )
}

fn unsafe_path(name: &str) -> String {
    named(name, &spec("Violated", "None"))
}

fn safe_path(name: &str) -> String {
    named(name, &spec("Upheld", "UniqueKey"))
}

/// A folder with files, and the path of each.
fn files<const N: usize>(contents: [(&str, String); N]) -> (TempDir, [String; N]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = contents.map(|(name, content)| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    });
    (folder, paths)
}

fn verdicts(stdout: &[u8]) -> Vec<String> {
    let statuses = Deserializer::from_slice(stdout).into_iter::<Value>();
    statuses.map(|status| status.unwrap()["verdict"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn files_run_in_their_order_with_one_verdict_each_and_all_are_in_the_junit_file() {
    let two = format!("{}---\n{}", safe_path("second"), unsafe_path("third"));
    let (folder, [first, both]) = files([("1.yaml", unsafe_path("first")), ("2.yaml", two)]);
    let junit = folder.path().join("junit.xml");
    let junit = junit.to_str().unwrap();
    let output = paylab(&["run", &first, &both, "-", "--output", "json", "--junit", junit], &safe_path("last"));
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(verdicts(&output.stdout), ["Violated", "Upheld", "Violated", "Upheld"]);
    let xml = fs::read_to_string(junit).unwrap();
    let places: Vec<_> =
        ["first", "second", "third", "last"].map(|name| xml.find(&format!("name=\"{name}\"")).unwrap()).to_vec();
    assert!(places.is_sorted(), "{xml}");
}

#[test]
fn the_worst_result_decides_the_exit_code() {
    let few = named("few", "{claim: ExactlyOnce, seed: 1, payments: {count: 5}}");
    let unexpected = named("unexpected", &spec("Upheld", "None"));
    let (_folder, [good, few, unexpected]) =
        files([("good.yaml", safe_path("good")), ("few.yaml", few), ("unexpected.yaml", unexpected)]);
    for (list, code) in [
        (vec!["run", &good, &good], 0),
        (vec!["run", &unexpected, &good], 1),
        (vec!["run", &few, &unexpected, &good], 2),
    ] {
        let output = paylab(&list, "");
        assert_eq!(output.status.code(), Some(code), "{list:?}: {}", printed(&output));
    }
}

#[test]
fn quiet_prints_one_line_for_each_experiment() {
    let (_folder, [first, second]) = files([("1.yaml", unsafe_path("first")), ("2.yaml", safe_path("second"))]);
    let output = paylab(&["run", &first, &second, "-q"], "");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("first: VIOLATED ExactlyOnce: "), "{lines:?}");
    assert!(lines[1].starts_with("second: UPHELD ExactlyOnce: 20 of 20 payments booked exactly once"), "{lines:?}");
    let json = paylab(&["run", &first, "--quiet", "--output", "json"], "");
    assert_eq!(verdicts(&json.stdout), ["Violated"]);
}

#[test]
fn nothing_runs_before_every_file_is_valid_and_every_message_names_its_file() {
    let bad = named("bad", "{claim: ExactlyOnce, sed: 1}");
    let two = format!("{}---\n{}", safe_path("a"), named("b", "{claim: ExactlyOnce, payments: {count: 0}}"));
    let (_folder, [good, bad, two]) = files([("good.yaml", safe_path("good")), ("bad.yaml", bad), ("two.yaml", two)]);
    let output = paylab(&["run", &good, &bad, "/nowhere/x.yaml", &two], "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), String::new()));
    let errors: Vec<_> = text(&output.stderr).lines().map(str::to_owned).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    for (error, start) in errors.iter().zip([
        format!("{bad}: spec.sed: is not a known field"),
        "/nowhere/x.yaml: there is no such file".to_owned(),
        format!("{two}: document 2: spec.payments.count: 0 is too small"),
    ]) {
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn what_one_machine_cannot_do_is_refused_with_its_document_before_anything_runs() {
    let service = "{replicas: 2, database: {secretKeyRef: {name: ledger, key: url}}}";
    let large = named("large", &format!("{{claim: ExactlyOnce, service: {service}}}"));
    let (folder, [two]) = files([("two.yaml", format!("{}---\n{large}", safe_path("small")))]);
    let output = paylab(&["run", &two], "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), String::new()));
    let start = format!("{two}: document 2: spec.service.replicas: 2 replicas need one database");
    assert!(text(&output.stderr).starts_with(&start), "{}", text(&output.stderr));
    let ledger = folder.path().join("v.db");
    let database = format!("sqlite:{}", ledger.display());
    let (_folder, [good]) = files([("good.yaml", safe_path("good"))]);
    let shared = paylab(&["run", &good, &good, "--database", &database], "");
    assert_eq!(shared.status.code(), Some(64));
    assert!(text(&shared.stderr).contains("can hold the ledger of one experiment only"), "{}", printed(&shared));
    assert!(!Path::new(&ledger).exists());
}

#[test]
fn standard_input_is_read_once_and_predict_and_explain_take_one_file() {
    let twice = paylab(&["run", "-", "-"], &safe_path("a"));
    assert_eq!(twice.status.code(), Some(64));
    assert_eq!(text(&twice.stderr), "-: standard input can be read only once; name it once\n");
    let (_folder, [good]) = files([("good.yaml", safe_path("good"))]);
    assert_eq!(paylab(&["predict", &good, &good], "").status.code(), Some(64));
    assert_eq!(paylab(&["explain", &good, &good, "1"], "").status.code(), Some(64));
}

#[test]
fn a_lab_that_cannot_work_is_told_with_the_name_of_its_file() {
    let (_folder, [good]) = files([("good.yaml", safe_path("good"))]);
    let output = paylab(&["run", &good, "--database", "postgres://nobody@127.0.0.1:1/none"], "");
    assert_eq!(output.status.code(), Some(70));
    assert!(text(&output.stderr).starts_with(&format!("paylab: {good}: ")), "{}", printed(&output));
}

#[test]
fn the_command_that_repeats_a_run_has_its_file_as_a_shell_reads_it() {
    let (folder, [spaced]) = files([("it's mine.yaml", safe_path("spaced"))]);
    let report = text(&paylab(&["run", &spaced], "").stdout);
    let quoted = format!("paylab run '{}/it'\\''s mine.yaml' --seed 1", folder.path().display());
    assert!(report.contains(&quoted), "{report}");
}

#[test]
fn a_junit_file_that_cannot_be_written_is_refused_before_the_load_and_an_old_one_does_not_stay() {
    let (folder, [good, old]) = files([("good.yaml", safe_path("good")), ("old.xml", "old".to_owned())]);
    let nowhere = folder.path().join("none/junit.xml");
    let output = paylab(&["run", &good, "--junit", nowhere.to_str().unwrap()], "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), String::new()));
    assert!(text(&output.stderr).contains("--junit: cannot write"), "{}", printed(&output));
    let failed = paylab(&["run", &good, "--junit", &old, "--database", "postgres://nobody@127.0.0.1:1/none"], "");
    assert_eq!((failed.status.code(), Path::new(&old).exists()), (Some(70), false));
}
