//! The HTML page and the Markdown of runs: what is in them, and that nothing a user controls is read as anything but text.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, time::Duration};

use paylab_core::{
    chronicle::{
        Chronicle, Counts,
        ending::PaymentEnd,
        fate::{AttemptFate, Fates},
        histogram::Histograms,
        matrix::Matrix,
        story::{AttemptStory, ClientTrace, EntryStory, PaymentStory},
    },
    judge::{
        anomaly::Anomaly,
        doubt::{Doubt, DoubtNote},
    },
    outcome::{Outcome, Setting},
    witness::{
        attempt::{Acknowledgement, AttemptOutcome, Belief, Ending, Uncertainty},
        record::RecordItem,
    },
};
use paylab_present::{html, markdown, run::Run};
use paylab_testbed::evidence::{Evidence, lesson, safe_lesson};
use serde_json::json;

const PLANTED: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>`*_|@you";

/// The chronicle that a load would write of evidence in which everything goes as predicted; `told` payments are told.
fn chronicle(evidence: &Evidence, told: u64) -> Chronicle {
    let (mut matrix, mut histograms, mut stories) = (Matrix::default(), Histograms::default(), Vec::new());
    let mut entries: BTreeMap<u64, Vec<EntryStory>> = BTreeMap::new();
    for entry in &evidence.entries {
        let payment = evidence.run.payment_of(entry.reference.as_deref().unwrap()).unwrap();
        entries.entry(payment.0).or_default().push(EntryStory { id: entry.id, amount_minor: entry.amount_minor });
    }
    for (payment, row) in evidence.history.rows() {
        let entries = entries.remove(&payment.0).unwrap_or_default();
        let booked = entries.len() as u64;
        let requests: Vec<_> = evidence.requests.iter().filter(|line| line.payment == payment.0).collect();
        let mut fates = Fates::default();
        for line in &requests {
            let fate = AttemptFate::of(line);
            fates.add(fate);
            *matrix.attempts.entry(fate).or_default() += 1;
        }
        matrix.count(payment.0, PaymentEnd::of(row, booked), fates);
        histograms.count(u64::from(row.attempts), Some(booked));
        if payment.0 < told {
            let attempts = requests.into_iter().map(|line| AttemptStory {
                attempt: line.attempt,
                client: Some(ClientTrace {
                    start_us: line.seq * 1_000,
                    took_us: 700,
                    outcome: if line.rst_client_ok.is_some() {
                        AttemptOutcome::Unknown(Uncertainty::Reset)
                    } else {
                        AttemptOutcome::Acknowledged(Acknowledgement::New)
                    },
                    status: None,
                }),
                proxy: Some(line.clone()),
                proxy_at_us: Some(line.seq * 1_000 + 50),
            });
            stories.push(PaymentStory {
                payment: payment.0,
                belief: Belief::Acknowledged,
                ending: Ending::Acknowledged,
                anomalies: if booked > 1 { vec![Anomaly::Duplicated] } else { Vec::new() },
                attempts: attempts.collect(),
                entries: Some(entries),
            });
        }
    }
    Chronicle { counts: Counts { matrix: Some(matrix), histograms, ..Counts::default() }, stories }
}

fn setting(name: &str) -> Setting {
    Setting {
        experiment: name.to_owned(),
        file: Some("lesson.yaml".to_owned()),
        database: Some("sqlite".to_owned()),
        evidence: Some("evidence".to_owned()),
        elapsed: Some(Duration::from_millis(420)),
        ..Setting::default()
    }
}

#[test]
fn the_page_of_a_violated_claim_begins_with_the_verdict_and_the_guilty_request() {
    let evidence = Evidence::of(lesson(&json!({})));
    let outcome = Outcome { setting: setting("a-lesson"), ..evidence.conclude() };
    let chronicle = chronicle(&evidence, 1000);
    let page =
        html::page(&[Run { outcome: &outcome, chronicle: &chronicle, yaml: "spec: {}", comparison: None }]).unwrap();
    assert!(page.len() <= 300_000, "{} bytes", page.len());
    let places: Vec<_> = [
        "<span>Violated</span>",
        "329 of 1000 payments were booked more than once",
        "The guilty request",
        "The service booked attempt",
        "What happened to attempts, what became of payments",
        "Booked twice",
        "Attempts per payment",
        "Doubts and findings",
    ]
    .map(|text| page.find(text).unwrap_or_else(|| panic!("no {text:?}")))
    .into();
    assert!(places.is_sorted(), "{places:?}");
    // Every link leads to something on the page, and there is nothing that could be loaded.
    for link in page.split("href=\"#").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
    for loaded in ["http://", "https://", "src=", "@import", "url(http", "<script", "<link"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
}

#[test]
fn the_page_of_an_upheld_claim_shows_a_payment_that_was_put_to_the_test() {
    let evidence = Evidence::of(safe_lesson());
    let outcome = Outcome { setting: setting("safe"), ..evidence.conclude() };
    let chronicle = chronicle(&evidence, 50);
    let page = html::page(&[Run { outcome: &outcome, chronicle: &chronicle, yaml: "", comparison: None }]).unwrap();
    for text in ["<span>Upheld</span>", "A payment put to the test", "The bug rate is below", "None. The record"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("The guilty request"));
}

#[test]
fn a_run_that_proves_nothing_says_what_would_help() {
    let mut evidence = Evidence::of(safe_lesson());
    evidence.record_footer.connections += 1;
    let outcome = Outcome { setting: setting("open"), ..evidence.conclude() };
    let chronicle = Chronicle::default();
    let run = Run { outcome: &outcome, chronicle: &chronicle, yaml: "", comparison: None };
    for text in [html::page(&[run]).unwrap(), markdown::runs(&[run])] {
        assert!(text.contains("Let nothing else connect to the proxy"), "{text}");
    }
    assert!(html::page(&[run]).unwrap().contains("<span>Inconclusive</span>"));
}

/// A run in which everything that somebody else can write has been planted with markup.
fn planted() -> (Outcome, Chronicle) {
    let evidence = Evidence::of(lesson(&json!({})));
    let mut chronicle = chronicle(&evidence, 20);
    for attempt in chronicle.stories.iter_mut().flat_map(|story| &mut story.attempts) {
        if let Some(line) = &mut attempt.proxy {
            line.fault = line.fault.as_ref().map(|_| PLANTED.to_owned());
        }
    }
    chronicle.counts.unread = Some(PLANTED.to_owned());
    let mut outcome = Outcome { setting: setting(PLANTED), ..evidence.conclude() };
    outcome.setting.file = Some(PLANTED.to_owned());
    outcome.setting.database = Some(PLANTED.to_owned());
    outcome.setting.evidence = Some(PLANTED.to_owned());
    outcome.report.run_id = PLANTED.to_owned();
    outcome.report.answers.keep_example(500, PLANTED.as_bytes());
    outcome.report.answers.count_not_understood(PLANTED);
    outcome.plan.currency = PLANTED.to_owned();
    outcome.report.doubt(Doubt::Strangers, DoubtNote { count: 1, first: None, detail: Some(PLANTED.to_owned()) });
    (outcome, chronicle)
}

#[test]
fn markup_in_names_statuses_and_answers_is_shown_as_text() {
    let (outcome, chronicle) = planted();
    let run = Run { outcome: &outcome, chronicle: &chronicle, yaml: PLANTED, comparison: None };
    let page = html::page(&[run, run]).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img"), "markup has got through");
    assert!(page.matches("&#60;script&#62;").count() > 10, "it is shown");
    let text = markdown::runs(&[run, run]);
    let mut is_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            assert!(!line.contains("<script") && !line.contains("<img") && !line.contains("@you"), "{line}");
        }
    }
    assert!(!is_code, "every fence is closed");
}

#[test]
fn markdown_fits_a_comment_however_many_experiments_there_are() {
    let evidence = Evidence::of(lesson(&json!({})));
    let outcome = Outcome { setting: setting("a-lesson"), ..evidence.conclude() };
    let chronicle = chronicle(&evidence, 10);
    let run = Run { outcome: &outcome, chronicle: &chronicle, yaml: "", comparison: None };
    let one = markdown::runs(&[run]);
    for text in [
        "### ❌ a-lesson",
        "| payments duplicated | 329 | 329 | 300.0 (272 to 329) |",
        "entry ",
        "paylab run lesson.yaml --seed 42",
    ] {
        assert!(one.contains(text), "{text}: {one}");
    }
    let many = markdown::runs(&vec![run; 200]);
    assert!(many.len() < 65_536 && many.contains("more experiments are not shown"), "{}", many.len());
}

#[test]
fn a_record_of_an_older_proxy_is_read() {
    let line = r#"{"request":{"seq":0,"t_us":1,"conn":0,"nth":1,"payment":3,"attempt":1,"attributed":true,"protocol":"Http1","coins":[],
        "fault":null,"at":null,"bytes_up":1,"bytes_down":1,"forwarded_whole":true,"status":200,"rst_client_ok":null,"rst_service_ok":null,
        "end":"Relayed"}}"#;
    let RecordItem::Request(line) = serde_json::from_str(line).unwrap() else { panic!("it is a request") };
    assert_eq!((line.took_us, AttemptFate::of(&line)), (None, AttemptFate::Passed));
}
