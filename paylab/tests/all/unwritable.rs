//! Standard output and standard error that cannot be written: a full disk is told with the verdict and exit code 70, a reader that has
//! gone is no error, and nothing panics.

use std::{
    fs::File,
    io,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::binary::{Running, command, text};

const LESSON: &str = "examples/pay-exactly-once.yaml";
const SECOND: &str = "examples/pay-too-little.yaml";

/// A stream that takes nothing because the disk is full.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has gone.
fn gone() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn output_to(stdout: Stdio, command: &mut Command) -> Output {
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// Command lines that print a result and end.
const PRINTING: [&[&str]; 9] = [
    &["run", LESSON],
    &["run", LESSON, "--quiet"],
    &["run", LESSON, "--output", "json"],
    &["predict", LESSON],
    &["predict", LESSON, "--output", "json"],
    &["explain", LESSON, "1"],
    &["crd"],
    &["completions", "bash"],
    &["run", "--help"],
];

#[test]
fn a_full_disk_is_told_without_a_panic() {
    for line in PRINTING {
        let output = output_to(full(), &mut command(line));
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{line:?}: {errors}");
        let told = errors.contains("cannot write to standard output: the disk is full");
        assert!(told && errors.lines().count() == 1 && !errors.contains("panicked"), "{line:?}: {errors}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    for line in PRINTING {
        let output = output_to(gone(), &mut command(line));
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{line:?}");
    }
}

#[test]
fn a_verdict_that_cannot_be_printed_is_in_the_message_and_in_the_junit_file() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let line = ["run", LESSON, SECOND, "--junit", junit.to_str().unwrap()];
    let output = output_to(full(), &mut command(&line));
    assert_eq!(output.status.code(), Some(70));
    let errors: Vec<_> = text(&output.stderr).lines().map(str::to_owned).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let told = "cannot write to standard output: the disk is full; the verdict is: UPHELD";
    for (error, (file, claim)) in errors.iter().zip([(LESSON, "ExactlyOnce"), (SECOND, "AtMostOnce")]) {
        assert!(error.starts_with(&format!("paylab: {file}: {told} {claim}: ")), "{error}");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("pay-exactly-once") && xml.contains("pay-too-little"), "{xml}");
}

#[test]
fn a_junit_file_that_cannot_be_written_takes_nothing_from_the_report() {
    let output = output_to(Stdio::piped(), &mut command(&["run", LESSON, "--junit", "/dev/full"]));
    assert_eq!(output.status.code(), Some(70));
    assert!(text(&output.stdout).contains("UPHELD ExactlyOnce"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("cannot write --junit /dev/full: the disk is full"), "{output:?}");
    assert!(Path::new("/dev/full").exists());
}

#[test]
fn messages_that_cannot_be_written_change_no_exit_code() {
    for (line, code) in [
        (&["run", "/nowhere.yaml"][..], 64),
        (&["run", LESSON, "--database", "postgres://nobody@127.0.0.1:1/none"], 70),
        (&["run", LESSON, "--log", "debug"], 0),
        (&["run", "--nothing"], 64),
        (&["payment-service", "--database", "postgres://nobody@127.0.0.1:1/none"], 70),
    ] {
        let status = command(line).stdout(Stdio::null()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{line:?}");
    }
}

const SERVE: [&str; 9] = ["serve", "--service-port", "0", "--proxy-port", "0", "--port", "0", "--page-port", "0"];

#[test]
fn serve_ends_when_it_cannot_tell_its_addresses_and_goes_on_without_a_reader() {
    let output = output_to(full(), &mut command(&SERVE));
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{errors}");
    assert!(errors.contains("cannot write to standard output") && !errors.contains("panicked"), "{errors}");
    let mut served = command(&SERVE);
    let child = served.stdout(gone()).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Running::attend(child);
    running.line("reset proxy ready");
    let (code, log) = running.terminate();
    assert_eq!(code, Some(0), "{log:?}");
    assert!(!log.concat().contains("panicked"), "{log:?}");
}
