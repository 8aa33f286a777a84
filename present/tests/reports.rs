//! The forms of an outcome, compared with snapshots.

use std::time::Duration;

use expect_test::expect_file;
use paylab_core::{
    chronicle::Chronicle,
    outcome::{Outcome, Setting},
    payment::PaymentId,
    plan::Plan,
};
use paylab_present::{diagram::Diagram, json, junit, run::Run, text::TextReport};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};
use serde_json::json;

/// The outcome of a run in which everything goes as predicted.
fn outcome(plan: Plan) -> Outcome {
    let setting = Setting {
        experiment: "a-lesson".to_owned(),
        file: Some("lesson.yaml".to_owned()),
        concurrency: None,
        target: None,
        database: Some("sqlite".to_owned()),
        evidence: None,
        elapsed: Some(Duration::from_millis(420)),
        series: None,
    };
    Outcome { setting, ..Evidence::of(plan).conclude() }
}

/// Text without its colours.
fn plain(text: &str) -> String {
    text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "").replace("\u{1b}[31m", "").replace("\u{1b}[32m", "")
}

#[test]
fn the_report_of_a_violated_claim_shows_totals_faults_and_proof() {
    expect_file!["snapshots/violated.txt"].assert_eq(&plain(&TextReport(&outcome(lesson(&json!({})))).to_string()));
}

#[test]
fn the_report_of_an_upheld_claim_shows_its_exposures() {
    expect_file!["snapshots/upheld.txt"].assert_eq(&plain(&TextReport(&outcome(safe_lesson())).to_string()));
}

#[test]
fn json_has_the_fields_of_the_status() {
    expect_file!["snapshots/violated.json"].assert_eq(&json::outcome(&outcome(lesson(&json!({})))).unwrap());
}

#[test]
fn a_diagram_shows_where_a_delay_holds_the_request_and_where_the_client_gives_up() {
    let diagram = |at: &str, lasts: &str| {
        let faults = json!([{"name": "slow", "probability": 1.0, "delay": {"at": at, "for": lasts}, "attempts": [1]}]);
        let client = json!({"retry": {"attemptTimeout": "1s"}});
        Diagram::of(&lesson(&json!({"faults": faults, "client": client})), PaymentId(0)).to_string()
    };
    let all = ["BeforeRequest", "MidRequest", "BeforeResponse", "MidResponse", "AfterResponse"]
        .map(|at| format!("{at}\n{}\n\n{}", diagram(at, "200ms"), diagram(at, "3s")));
    expect_file!["snapshots/delays.txt"].assert_eq(&all.join("\n\n"));
}

#[test]
fn a_diagram_shows_where_recovery_begins() {
    let client = json!({"retry": {"maxAttempts": 1}, "recovery": {"attempts": 3}});
    let faults = json!([{"name": "deaf", "probability": 1.0, "reset": {"at": "BeforeResponse"}}]);
    let diagram = Diagram::of(&lesson(&json!({"client": client, "faults": faults})), PaymentId(0)).to_string();
    expect_test::expect![[r#"
        payment 0   2 attempts, 2 entries: DUPLICATED (+1.00 EUR)

              client             proxy              service            ledger
          1     |---- POST ------->|---- POST -------->|--- entry 1 ---->|
                |                  x<----- 200 --------| deaf
                |<----- RST -------|
          after the load, on a path that no fault strikes any more:
          2     |---- POST ------->|---- POST -------->|--- entry 2 ---->|
                |<----- 200 -------|<----- 200 --------|
          the client believes: it is paid   the ledger says: paid twice"#]]
    .assert_eq(&diagram);
}

#[test]
fn junit_has_a_case_for_each_invariant_and_each_doubt() {
    let violated = outcome(lesson(&json!({})));
    let lesson_outcome = outcome(lesson(&json!({"expect": "Violated"})));
    let mut evidence = Evidence::of(safe_lesson());
    evidence.record_footer.connections += 1;
    let doubted = Outcome { setting: violated.setting.clone(), ..evidence.conclude() };
    let chronicle = Chronicle::default();
    let runs = [&violated, &lesson_outcome, &doubted].map(|outcome| Run {
        outcome,
        chronicle: &chronicle,
        yaml: "",
        comparison: None,
    });
    expect_file!["snapshots/junit.xml"].assert_eq(&junit::runs(&runs).unwrap());
}
