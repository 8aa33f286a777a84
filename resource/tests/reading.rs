//! A laptop reads a file as `kubectl` and the API server do. What each document of the tables becomes was found out with
//! sigs.k8s.io/yaml 1.6.0 and k8s.io/apiextensions-apiserver 0.35.4.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use expect_test::expect;
use paylab_core::{fault::effect::Effect, field_error::FieldError, plan::Plan};
use paylab_resource::file::{self, FILE_LEN_MAX};

const GOOD: &str = "apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: a}
spec:
  claim: ExactlyOnce
";
const FAULT: &str = "name: a, probability: 0.1, reset: {at: Connect}";

/// The seed of an experiment that names none.
const DRAWN: u64 = 77;

fn with(more: &str) -> String {
    format!("{GOOD}  {more}\n")
}

fn plan(text: &str) -> Plan {
    file::parse(text, DRAWN).unwrap_or_else(|errors| panic!("{text} is refused: {errors:?}")).plan
}

fn refusal(text: &str) -> String {
    let errors = file::parse_all(text, || DRAWN).expect_err(text);
    errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn numbers_are_read_as_the_api_server_reads_them() {
    for (count, read) in
        [("1e+06", 1_000_000), ("1e3", 1000), ("5.0", 5), ("5.", 5), ("1_000", 1000), ("052", 42), ("!!int \"5\"", 5)]
    {
        assert_eq!(plan(&with(&format!("payments: {{count: {count}}}"))).count, read, "{count}");
    }
    for (seed, read) in [
        ("052", 42),
        ("0o52", 42),
        ("0x2A", 42),
        ("09", 9),
        ("+42", 42),
        ("1e18", 1_000_000_000_000_000_000),
        ("9223372036854775807", i64::MAX.unsigned_abs()),
        ("-0", 0),
        ("-0.0", 0),
        ("null", DRAWN),
        ("~", DRAWN),
        ("", DRAWN),
    ] {
        assert_eq!(plan(&with(&format!("seed: {seed}"))).seed(), read, "{seed}");
    }
    assert_eq!(plan(&with("client: {rate: 1e2}")).client.rate, Some(100.0));
    assert!(
        (plan(&with("faults: [{name: a, probability: 3e-1, reset: {at: Connect}}]")).faults()[0].probability - 0.3)
            .abs()
            < 1e-9
    );
}

#[test]
fn a_field_that_is_null_has_its_default() {
    let smallest = plan(GOOD);
    for more in [
        "faults:",
        "client:",
        "client: {retry: null, hedge: ~}",
        "payments: {count: null, amount: null, from: null}",
        "activeDeadline: null",
        "service: {database: null, replicas: 1, keyTtl: null}",
    ] {
        assert_eq!(plan(&with(more)), smallest, "{more}");
    }
    let fault = &plan(&with(&format!("faults: [{{{FAULT}, delay: null, attempts: null, payments: null}}]"))).faults()
        [0]
    .clone();
    assert!(matches!(fault.effect, Effect::Reset(_)));
}

#[test]
fn whatever_kubectl_reads_is_read() {
    let json = r#"{"apiVersion":"paylab.dev/v1alpha1","kind":"ChaosExperiment",
	"metadata":{"name":"\u0061"},"spec":{"claim":"ExactlyOnce"}}"#;
    let flow =
        "{apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, metadata: {name: a}, spec: {claim: ExactlyOnce}}";
    for text in [
        &format!("{GOOD}---\n"),
        &format!("{GOOD}--- # nothing\n# more\n---\n"),
        &format!("{GOOD}...\n"),
        &format!("---\n---\n{GOOD}"),
        &format!("\u{feff}{GOOD}"),
        &GOOD.replace('\n', "\r\n"),
        &format!("{GOOD}status:\n"),
        &format!("{GOOD}status: {{phase: Completed}}\n"),
        &GOOD.replace("{name: a}", "{name: a, creationTimestamp: null, labels: {team: shop}, annotations:}"),
        &GOOD.replace("{name: a}", "{name: a, creationTimestamp: 2026-01-31T12:00:00Z, managedFields: [{manager: kubectl, fieldsV1: {a: {}}}]}"),
        &with("\"payments\":\n    from: !!str bianca\n    to: >-\n      marc"),
        &with("payments: &p {count: 1000}"),
        json,
        flow,
    ] {
        assert_eq!(plan(text), plan(GOOD), "{text}");
    }
    let merged = plan(&with(
        "faults:\n  - {name: a, probability: 0.1, reset: &r {at: Connect}}\n  - {name: b, probability: 0.1, reset: {<<: *r}}",
    ));
    assert_eq!(merged.faults()[0].effect, merged.faults()[1].effect);
    // Strict decoding on a cluster refuses a key that a merge has already given.
    let overridden = refusal(&with(&format!("faults:\n  - &f {{{FAULT}}}\n  - {{<<: *f, name: b}}")));
    assert!(overridden.contains("spec.faults[1].name: is given twice"), "{overridden}");
}

#[test]
fn several_documents_are_several_experiments_in_their_order() {
    let second = GOOD.replace("name: a", "name: b");
    let text = format!("---\n{GOOD}---\n---\n# nothing\n---\n{second}  seed: 5\n---\n{GOOD}---\n");
    let mut drawn = 0;
    let read = file::parse_all(&text, || {
        drawn += 1;
        drawn
    });
    let read: Vec<_> =
        read.unwrap().into_iter().map(|one| (one.resource.metadata.name.unwrap(), one.plan.seed())).collect();
    assert_eq!(read, [("a".to_owned(), 1), ("b".to_owned(), 5), ("a".to_owned(), 2)]);
    let errors = file::parse(&text, 0).unwrap_err();
    assert_eq!(errors, [FieldError::new("", "holds 3 experiments; exactly one is expected here")]);

    let bad = format!("{GOOD}---\n{}---\n- 1\n---\n{GOOD}   seed: 5\n", GOOD.replace("ExactlyOnce", "Twice"));
    expect![[r#"
        document 2: spec.claim: "Twice" is not allowed; use "AtMostOnce", "AtLeastOnce", "ExactlyOnce", "ExactTotal"
        document 3: is not a resource; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        document 4: line 20, column 8: a colon is not allowed here; check the indentation, or put the text in quotes"#]].assert_eq(&refusal(&bad));
}

#[test]
fn what_is_no_experiment_is_refused_with_what_is_expected() {
    let told: Vec<_> =
        ["", "# nothing\n", "null\n---\n", "hello", "- 1", "5", &"x".repeat(FILE_LEN_MAX + 1)].map(refusal).into();
    expect![[r#"
        is empty; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        is empty; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        is empty; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        is not a resource; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        is not a resource; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        is not a resource; an experiment has apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, a metadata.name and a spec with a claim
        has more than 1048576 bytes"#]].assert_eq(&told.join("\n"));
}

#[test]
fn broken_yaml_is_refused_with_its_line_and_column() {
    let told: Vec<_> = [
        "\tseed: 5",
        " seed: 5",
        "seed: 5: 6",
        "payments: {count: 5",
        "payments: {count: 5]",
        "payments: [1 2: 3]",
        "payments: {from: \"abc}",
        "payments: {from: @abc}",
        "payments: *nope",
        "payments: &p {a: *p}",
        "payments: {<<: 5}",
        "payments: {from: !!int x}",
        "payments: {from: !!binary YWJj}",
        "payments: {from: \"a\\qb\"}",
        "? [a]\n  : x",
        "null: x",
        "seed: .inf",
        "seed: \u{1}",
        "seed: 5\n...\nseed: 6",
        "seed: 5\n--- seed: 6",
        "seed: 5\n] ",
        "- 1",
        "seed: 5\n{a: b}",
    ]
    .map(|more| refusal(&with(more)))
    .into();
    expect![[r#"
        line 5, column 10: a tab is not allowed here; indent with blanks
        line 6, column 8: a colon is not allowed here; check the indentation, or put the text in quotes
        line 6, column 10: a colon is not allowed here; check the indentation, or put the text in quotes
        line 6, column 13: the bracket { is never closed
        line 6, column 13: the bracket { is closed by ]
        spec.payments: a list is not an object with fields
        line 6, column 20: the quote is never closed
        line 6, column 20: a text cannot begin with @; put it in quotes
        line 6, column 13: no anchor of this name was defined above
        line 6, column 20: an anchor cannot contain itself
        line 6, column 18: << needs a mapping, or a list of mappings
        line 6, column 26: "x" is not what its tag !!int says
        line 6, column 29: the tag !!binary is not allowed; write the text itself
        line 6, column 20: the text in quotes has an unknown escape; write \\ for a backslash
        line 6, column 5: a key must be a text
        line 6, column 3: a key must be a text
        line 6, column 9: .inf is not a number that can be used here
        line 6, column 9: the control character U+0001 is not allowed
        line 8, column 1: nothing may follow the end of the document
        document 2: line 7, column 4: only a comment may follow the separator ---
        line 7, column 1: this bracket closes nothing
        line 6, column 5: a key and a colon are expected here; check the indentation
        line 7, column 1: a key and a colon are expected here; check the indentation"#]]
    .assert_eq(&told.join("\n"));
    expect!["document 1: line 1, column 1: a directive such as %YAML is not allowed"]
        .assert_eq(&refusal(&format!("%YAML 1.1\n---\n{GOOD}")));
    expect!["line 2, column 1: a line of --- is expected between two documents"]
        .assert_eq(&refusal("{\"a\": 1}\n{\"a\": 1}"));
}

#[test]
fn fields_that_the_api_server_refuses_are_refused_with_their_bounds() {
    let told: Vec<_> = [
        with("seed: 9223372036854775808"),
        with("seed: 18446744073709551616"),
        with("seed: 1e19"),
        with("seed: 1e22"),
        with("seed: 1e999"),
        with("seed: -052"),
        with("seed: \"5\""),
        with("seed: 2001-12-14"),
        with("client: {concurrency: 99999999999}"),
        with("payments: {count: 5.5}"),
        with("payments: {from: no}"),
        with("payments: {from: y}"),
        with("payments: {from: 123}"),
        with("payments: {amount: 1}"),
        with("payments:\n    from: |\n      abc"),
        with("faults: [null]"),
        with("faults: [{name: a, probability: 0.1, reset: {at: null}}]"),
        with("service: {database: {secretKeyRef: null}}"),
        with("service: {database: null, replicas: 2}"),
        with("colour: null"),
        with("5: x"),
        with("y: x"),
        GOOD.replace(" ExactlyOnce", ""),
        GOOD.replace("{name: a}", ""),
        GOOD.replace("{name: a}", "{name: }"),
        GOOD.replace("{name: a}", "{name: 5}"),
        GOOD.replace("{name: a}", "{name: a, colour: red}"),
        GOOD.replace("{name: a}", "{name: a, labels: {a: 5}, creationTimestamp: yesterday}"),
        GOOD.replace("spec:\n  claim: ExactlyOnce", "spec:"),
    ]
    .iter()
    .map(|text| refusal(text))
    .collect();
    expect![[r#"
        spec.seed: 9223372036854775808 is too large; at most 9223372036854775807 is allowed
        spec.seed: 1.8446744073709552e+19 is too large; at most 9223372036854775807 is allowed
        spec.seed: 10000000000000000000 is too large; at most 9223372036854775807 is allowed
        spec.seed: 1e+22 is too large; at most 9223372036854775807 is allowed
        spec.seed: "1e999" is not a whole number
        spec.seed: -42 is too small; at least 0 is allowed
        spec.seed: "5" is not a whole number
        spec.seed: "2001-12-14" is not a whole number
        spec.client.concurrency: 99999999999 is too large; at most 1024 is allowed
        spec.payments.count: 5.5 is not a whole number
        spec.payments.from: false is not a text (put it in quotes)
        spec.payments.from: true is not a text (put it in quotes)
        spec.payments.from: 123 is not a text (put it in quotes)
        spec.payments.amount: 1 is not a text (put it in quotes)
        spec.payments.from: "abc\n" is not an account or key; use letters, digits, dots, dashes and underscores
        spec.faults[0]: null is not an object with fields
        spec.faults[0].reset.at: is missing
        spec.service.database.secretKeyRef: is missing
        spec.service.replicas: several replicas need one database; set service.database.secretKeyRef to a Secret with the URL of a PostgreSQL, or use 1
        spec.colour: is not a known field; known are activeDeadline, claim, client, expect, faults, minExposures, payments, retain, seed, service, target
        spec.5: is not a known field; known are activeDeadline, claim, client, expect, faults, minExposures, payments, retain, seed, service, target
        spec.true: is not a known field; known are activeDeadline, claim, client, expect, faults, minExposures, payments, retain, seed, service, target
        spec.claim: is missing
        metadata: is missing
        metadata.name: is missing
        metadata.name: 5 is not a text (put it in quotes)
        metadata.colour: is not a known field; known are annotations, creationTimestamp, deletionGracePeriodSeconds, deletionTimestamp, finalizers, generateName, generation, labels, managedFields, name, namespace, ownerReferences, resourceVersion, selfLink, uid
        metadata.creationTimestamp: "yesterday" is not a time such as "2026-01-31T12:00:00Z"
        metadata.labels.a: 5 is not a text (put it in quotes)
        spec: is missing"#]].assert_eq(&told.join("\n"));
}

#[test]
fn a_key_that_is_given_twice_is_named() {
    let told: Vec<_> = [
        with("claim: AtMostOnce"),
        format!("{GOOD}spec: {{claim: AtMostOnce}}\n"),
        with("faults: [{name: a, name: b, probability: 0.1, probability: 0.2, reset: {at: Connect}}]"),
        r#"{"spec": {"claim": "ExactlyOnce", "claim": "AtMostOnce"}}"#.to_owned(),
    ]
    .iter()
    .map(|text| refusal(text))
    .collect();
    expect![[r#"
        spec.claim: is given twice, again in line 6
        spec: is given twice, again in line 6
        spec.faults[0].name: is given twice, again in line 6
        spec.faults[0].probability: is given twice, again in line 6
        spec.claim: is given twice, again in line 1"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_flood_of_errors_is_reported_in_twenty_lines_and_within_a_second() {
    let many = |line: &dyn Fn(usize) -> String| format!("{GOOD}{}", (0..60_000).map(line).collect::<String>());
    for (text, first) in [
        (many(&|n| format!("  k{n}: 1\n")), "spec.k0: is not a known field"),
        (many(&|_| "  k: 1\n".to_owned()), "spec.k: is given twice"),
        (format!("{GOOD}  faults: [{}]\n", vec!["1"; 60_000].join(",")), "spec.faults: has too many items"),
        (format!("{GOOD}---\na: [\n").repeat(5_000), "document 2: line 9, column 5"),
    ] {
        let start = Instant::now();
        let told = refusal(&text);
        let took = start.elapsed();
        let lines: Vec<_> = told.lines().collect();
        assert!(lines.len() == 20 && lines[0].starts_with(first), "{told}");
        assert!(lines[19].starts_with("and ") && lines[19].ends_with(" more"), "{told}");
        assert!(lines.iter().all(|line| line.len() < 300), "{told}");
        // Without optimization, and beside other tests, it takes some seconds.
        let allowed = if cfg!(debug_assertions) { 30 } else { 1 };
        assert!(took < Duration::from_secs(allowed), "{took:?}");
    }
}

#[test]
fn absurd_texts_are_refused_and_never_computed() {
    let deep = format!("{GOOD}  payments: {}", "[".repeat(500_000));
    let deep_object = format!("{GOOD}  payments: {}", "{a: ".repeat(200_000));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{},", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let told: Vec<_> = [deep, deep_object, bomb].iter().map(|text| refusal(text)).collect();
    expect![[r#"
        line 6, column 268: the text is nested too deep
        line 6, column 409: the text is nested more than 100 levels deep
        line 5, column 38: aliases copy more than 100000 values"#]]
    .assert_eq(&told.join("\n"));
}
