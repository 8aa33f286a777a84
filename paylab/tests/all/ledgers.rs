//! A run begins with a ledger of its own: an old one is found under every name that it has, and is never written to.

use std::{fs, os::unix::fs::symlink, path::Path, process::Output};

use paylab::lab::{Database, Lab};
use paylab_core::run_id::RunId;
use paylab_testbed::Durability;
use serde_json::json;
use tempfile::TempDir;

use crate::support::binary::{command, experiment, printed, text};

/// A folder with an experiment that takes little time and has a verdict.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spec = "{claim: AtMostOnce, seed: 1, minExposures: 1, payments: {count: 10}, client: {idempotencyKey: PerPayment}, \
                service: {dedup: UniqueKey}, faults: [{name: lost, probability: 0.5, reset: {at: BeforeResponse}}]}";
    fs::write(folder.path().join("x.yaml"), experiment(spec)).unwrap();
    folder
}

fn run(folder: &Path, database: &str) -> Output {
    command(&["run", "x.yaml", "--database", database]).current_dir(folder).output().unwrap()
}

fn assert_refused(output: &Output, path: &str) {
    let errors = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""), "{errors}");
    assert!(errors.contains(&format!("{path} already exists; a run needs a ledger of its own")), "{path}: {errors}");
}

#[test]
fn a_ledger_file_stays_and_is_found_under_every_name_that_sqlite_opens_it_by() {
    let folder = folder();
    let first = run(folder.path(), "sqlite:v.db");
    assert_eq!(first.status.code(), Some(0), "{}", printed(&first));
    symlink("v.db", folder.path().join("link.db")).unwrap();
    symlink("none.db", folder.path().join("dangling.db")).unwrap();
    fs::hard_link(folder.path().join("v.db"), folder.path().join("hard.db")).unwrap();
    let kept = fs::read(folder.path().join("v.db")).unwrap();
    let absolute = folder.path().join("v.db").display().to_string();
    for (database, path) in [
        ("sqlite:v.db", "v.db"),
        ("sqlite:v.db?mode=rwc", "v.db"),
        ("sqlite:v.db?mode=rw&cache=shared", "v.db"),
        ("sqlite://v.db", "v.db"),
        ("sqlite:%76.db", "v.db"),
        ("sqlite:./v.db", "./v.db"),
        (&format!("sqlite:{absolute}"), &*absolute),
        (&format!("sqlite://{absolute}?mode=rwc"), &*absolute),
        ("sqlite:link.db", "link.db"),
        ("sqlite:hard.db", "hard.db"),
        ("sqlite:dangling.db", "dangling.db"),
    ] {
        assert_refused(&run(folder.path(), database), path);
    }
    assert_eq!(fs::read(folder.path().join("v.db")).unwrap(), kept, "the evidence of the first run is unchanged");
    assert!(!folder.path().join("none.db").exists());
}

#[test]
fn a_name_with_a_blank_is_the_same_file_however_it_is_written() {
    for (first, second) in [("sqlite:a b.db", "sqlite:a%20b.db"), ("sqlite:a%20b.db", "sqlite:a b.db")] {
        let folder = folder();
        let ran = run(folder.path(), first);
        assert_eq!(ran.status.code(), Some(0), "{}", printed(&ran));
        assert!(folder.path().join("a b.db").is_file());
        assert_refused(&run(folder.path(), second), "a b.db");
    }
}

#[test]
fn a_log_that_was_left_beside_the_file_is_evidence_too() {
    let folder = folder();
    fs::write(folder.path().join("v.db-wal"), "an earlier run").unwrap();
    assert_refused(&run(folder.path(), "sqlite:v.db"), "v.db-wal");
    assert!(!folder.path().join("v.db").exists());
}

#[test]
fn a_database_without_a_file_that_is_written_is_refused_with_the_reason() {
    for (database, reason) in [
        ("sqlite::memory:", "in memory"),
        ("sqlite:%3Amemory%3A", "in memory"),
        ("sqlite:v.db?mode=memory", "in memory"),
        ("sqlite:v.db?mode=ro", "for reading only"),
        ("sqlite:v.db?vfs=memdb", "names a vfs"),
        ("sqlite:file:v.db", "a second URL"),
        ("sqlite:", "names no file"),
    ] {
        let folder = folder();
        for command_line in [&["run", "x.yaml"][..], &["serve", "--port", "0"]] {
            let line = [command_line, &["--database", database]].concat();
            let output = command(&line).current_dir(folder.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(64), "{line:?}: {}", printed(&output));
            assert!(text(&output.stderr).contains(reason), "{line:?}: {}", printed(&output));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{database}: nothing was created");
    }
}

#[test]
fn serve_needs_a_ledger_of_its_own_too() {
    let folder = folder();
    fs::write(folder.path().join("v.db"), "").unwrap();
    let output = command(&["serve", "--port", "0", "--database", "sqlite:v.db?mode=rwc"]);
    assert_refused(&{ output }.current_dir(folder.path()).output().unwrap(), "v.db");
}

#[test]
fn a_temporary_ledger_is_in_the_folder_that_the_variable_names_whatever_characters_it_has() {
    let folder = folder();
    for name in ["a b", "100%25", "what?mode=ro", "a#b"] {
        let temporary = folder.path().join(name);
        fs::create_dir(&temporary).unwrap();
        let output = command(&["run", "x.yaml"]).current_dir(folder.path()).env("TMPDIR", &temporary).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", printed(&output));
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{name}: it is removed after the run");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "nothing was written elsewhere");
}

#[test]
fn the_schema_of_a_run_must_not_exist_before_it() {
    let Some(postgres) = paylab_testbed::postgres(Durability::Fast) else { return };
    let (plan, run): (_, RunId) = (crate::support::plan(json!({"payments": {"count": 10}})), "twice".parse().unwrap());
    let database = Database::Postgres(postgres.url().into());
    let first = Lab::start(&plan, &run, &database).unwrap();
    let second = Lab::start(&plan, &run, &database).unwrap_err();
    assert!(format!("{second:#}").contains("already exists"), "{second:#}");
    first.stop().unwrap();
    Lab::start(&plan, &run, &database).unwrap().stop().unwrap();
}
