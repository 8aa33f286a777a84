//! `paylab wait --selector` with the API of a scripted cluster: all experiments are waited for, the worst exit code counts, and an API that is
//! away for a while is waited for too.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Output,
    thread,
};

use serde_json::{Value, json};

use crate::support::binary::{command, printed, text};

/// What the API answers to one request: a status and a body; `None`: it is away, and the connection is reset.
type Answer = Option<(u16, Value)>;

fn experiment(name: &str, verdict: Option<(&str, bool)>) -> Value {
    let status = verdict.map(|(verdict, as_expected)| {
        let verified = if as_expected { "True" } else { "False" };
        json!({"verdict": verdict, "message": format!("{} of {name}.", verdict.to_uppercase()), "completionTime": "2026-01-31T12:00:09Z",
               "conditions": [{"type": "Verified", "status": verified, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-31T12:00:09Z"}]})
    });
    json!({"apiVersion": "paylab.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": {"name": name},
           "spec": {"claim": "ExactlyOnce"}, "status": status})
}

fn list(items: &[Value]) -> Answer {
    let list =
        json!({"apiVersion": "paylab.dev/v1alpha1", "kind": "ChaosExperimentList", "metadata": {}, "items": items});
    Some((200, list))
}

/// Runs `paylab wait` with an API that gives these answers one after another, the last one again and again.
fn wait(arguments: &[&str], answers: Vec<Answer>) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the test's process.
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while lines.read_line(&mut head).unwrap_or(0) > 2 {}
            let Some((status, body)) = &answers[index.min(answers.len() - 1)] else { continue };
            let body = body.to_string();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "school"}}]});
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let mut wait = command(&[&["wait"], arguments].concat());
    wait.env("KUBECONFIG", &kubeconfig).env_remove("PAYLAB_NAMESPACE").output().unwrap()
}

const SELECTOR: [&str; 2] = ["--selector", "paylab.dev/gauntlet=shop"];

#[test]
fn all_experiments_are_waited_for_and_the_worst_exit_code_counts() {
    let (held, broken, unclear) = (
        experiment("a", Some(("Upheld", true))),
        experiment("b", Some(("Violated", false))),
        experiment("c", Some(("Inconclusive", false))),
    );
    for (ended, code) in
        [(vec![held.clone()], 0), (vec![held.clone(), broken.clone()], 1), (vec![held.clone(), broken, unclear], 2)]
    {
        let first = list(&[held.clone(), experiment("b", None)]);
        let answers = if ended.len() > 1 { vec![first, list(&ended)] } else { vec![list(&ended)] };
        let output = wait(&SELECTOR, answers);
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
        assert_eq!(text(&output.stdout).lines().count(), ended.len(), "{}", printed(&output));
        assert!(text(&output.stdout).starts_with("a: UPHELD of a.\n"), "{}", printed(&output));
    }
}

#[test]
fn an_api_that_is_started_anew_is_waited_for() {
    let unavailable =
        json!({"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "away", "status": "Failure"});
    let answers = vec![
        list(&[experiment("a", None)]),
        None,
        Some((503, unavailable)),
        list(&[experiment("a", Some(("Upheld", true)))]),
    ];
    let output = wait(&SELECTOR, answers);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "a: UPHELD of a.\n"),
        "{}",
        printed(&output)
    );
}

#[test]
fn what_does_not_exist_is_told_clearly_and_at_once() {
    let missing = json!({"kind": "Status", "code": 404, "reason": "NotFound", "status": "Failure",
        "message": "chaosexperiments.paylab.dev \"lesson\" not found"});
    for (arguments, answer, told) in [
        (&SELECTOR[..], list(&[]), "no experiment matches paylab.dev/gauntlet=shop; apply the experiments first"),
        (&["lesson"], Some((404, missing)), "there is no such experiment: lesson"),
    ] {
        let output = wait(arguments, vec![answer]);
        assert_eq!(output.status.code(), Some(70), "{}", printed(&output));
        assert!(text(&output.stderr).contains(told), "{}", printed(&output));
    }
    let output = wait(&[], vec![list(&[])]);
    assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
}

#[test]
fn what_has_not_ended_in_time_is_named_and_what_was_deleted_will_not_end() {
    let pending = list(&[experiment("a", Some(("Upheld", true))), experiment("b", None)]);
    let output = wait(&[&SELECTOR[..], &["--timeout", "700ms"]].concat(), vec![pending.clone()]);
    assert_eq!(output.status.code(), Some(70), "{}", printed(&output));
    assert!(text(&output.stderr).contains("b has not ended within 700ms"), "{}", printed(&output));
    let output = wait(&SELECTOR, vec![pending, list(&[experiment("a", Some(("Upheld", true)))])]);
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    assert!(text(&output.stdout).contains("b: it was deleted before it has ended"), "{}", printed(&output));
}
