//! What is wrong with a command line ends with exit code 64, even if only its use shows it; what the lab cannot do ends with 70 and its
//! cause.

use crate::support::binary::{command, paylab, printed, text};

const LESSON: &str = "examples/pay-exactly-once.yaml";

#[test]
fn a_mistake_of_the_command_line_is_no_failure_of_the_lab() {
    let bad_port = ["--database", "postgres://nobody@127.0.0.1:99999/none"];
    let listen = ["--listen", "127.0.0.1:0"];
    for (line, told) in [
        ([&["run", LESSON][..], &bad_port].concat(), "cannot be read: invalid port number"),
        ([&["payment-service"][..], &listen, &bad_port].concat(), "cannot be read: invalid port number"),
        ([&["serve", "--port", "0"][..], &bad_port].concat(), "cannot be read: invalid port number"),
        ([&["payment-service"][..], &listen, &["--key-ttl", "5s"]].concat(), "--dedup Replay only"),
        (vec!["payment-service", "--listen", "127.0.0.1:0", "--database", "jdbc:x"], "begins with jdbc:"),
        (vec!["run", LESSON, "--log", "foo=bar=baz"], "'--log <FILTER>': is not a filter; use off, error"),
        (vec!["payment-service", "--log", "foo=bar=baz"], "'--log <FILTER>': is not a filter"),
        (vec!["load-job", LESSON, "--shard", "5"], "worker 5 is not one of the experiment's 1"),
        (vec!["reset-proxy", "--port", "0", "--config", "/nowhere"], "--config /nowhere"),
    ] {
        let output = paylab(&line, "");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{line:?}: {errors}");
        assert!(errors.contains(told), "{line:?}: {errors}");
    }
    let variable = command(&["run", LESSON]).env("PAYLAB_LOG", "foo=bar=baz").output().unwrap();
    assert_eq!(variable.status.code(), Some(64), "{}", printed(&variable));
}

#[test]
fn serve_tells_why_it_cannot_use_its_database() {
    let line = ["serve", "--port", "0", "--database", "postgres://nobody@127.0.0.1:1/none"];
    let output = paylab(&line, "");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{errors}");
    assert!(errors.contains("the database server cannot be reached") && !errors.contains("cannot drop"), "{errors}");
}

#[test]
fn a_stray_argument_of_a_run_that_may_be_a_url_is_not_shown_and_a_missing_file_is() {
    for line in [
        &["run", "postgres://planta:plantb@plantc/plantd"][..],
        &["predict", "postgres://planta:plantb@plantc/plantd"],
        &["run", LESSON, "--database", "postgres://planta:x", "plantx", "planty@plantc/plantd"],
    ] {
        let output = paylab(line, "");
        assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
        assert!(!printed(&output).contains("plant"), "{}", printed(&output));
    }
    let missing = paylab(&["run", "/nowhere/postgres.yaml"], "");
    assert_eq!(text(&missing.stderr), "/nowhere/postgres.yaml: there is no such file\n");
}
