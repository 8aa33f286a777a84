//! A contract that cannot work is refused, each problem with the path of its field and what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use paylab_contract::{Contract, spec::TargetSpec};
use paylab_core::client::KeyPolicy;

const GOOD: &str = "
url: http://127.0.0.1:9000
pay: {post: /payments, json: {reference: '{reference}', amount: '{amount.minor}'}}
ledger: {list: {get: /payments, items: '$.data[*]', reference: $.reference, minor: $.amount}}
";

fn refused_for(yaml: &str, key: KeyPolicy) -> String {
    let spec: TargetSpec = serde_saphyr::from_str(yaml).unwrap();
    let errors = Contract::new(&spec, key, "spec.target").map(|_| ()).unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is said about the good contract with one part replaced.
fn refused(part: &str, replacement: &str) -> String {
    assert!(GOOD.contains(part), "{part}");
    refused_for(&GOOD.replace(part, replacement), KeyPolicy::PerPayment)
}

#[test]
fn a_good_contract_is_read() {
    let spec: TargetSpec = serde_saphyr::from_str(GOOD).unwrap();
    for key in [KeyPolicy::None, KeyPolicy::PerPayment, KeyPolicy::PerAttempt] {
        assert!(Contract::new(&spec, key, "spec.target").is_ok());
    }
}

#[test]
fn an_url_that_cannot_be_used_is_refused_with_what_can() {
    let urls = ["localhost:9000", "http://u:p@a.example", "http://a.example/?x=1", "ftp://a.example", "http://"];
    let refusals = urls.map(|url| refused("http://127.0.0.1:9000", url)).join("\n");
    expect_test::expect![[r#"
        spec.target.url: is not an http or https URL; use http://HOST:PORT, such as http://127.0.0.1:9000, or https://HOST
        spec.target.url: holds a user name or a password; put them into target.headers as {secret.NAME}
        spec.target.url: must not have a query or a fragment; use http://HOST:PORT, such as http://127.0.0.1:9000, or https://HOST
        spec.target.url: is not an http or https URL; use http://HOST:PORT, such as http://127.0.0.1:9000, or https://HOST
        spec.target.url: is not a URL (empty host); use http://HOST:PORT, such as http://127.0.0.1:9000, or https://HOST"#]].assert_eq(&refusals);
}

#[test]
fn unknown_placeholders_and_broken_paths_are_named() {
    let refusals = [
        refused("'{amount.minor}'", "'{amount}'"),
        refused("amount: '{amount.minor}'", "deep: {list: [1, '{refrence}']}"),
        refused("/payments, json", "'payments?{x}', json"),
        refused("'$.data[*]'", "'$.data[*'"),
        refused("$.amount", "amount"),
        refused("/payments, items", "'/payments?key={key}', items"),
        refused("minor: $.amount", "minor: $.amount, major: $.amount"),
        refused("minor: $.amount", "currency: $.currency"),
        refused("pay: {", "pay: {text: x, "),
        refused("reference: '{reference}', ", ""),
        refused("pay: {", "pay: {identity: '$.id[', "),
        refused("pay: {", "pay: {headers: {Host: x, 'a b': x, X: \"a\\nb\"}, "),
        refused("pay: {", "pay: {answers: [{means: Repeat}, {status: [201], means: Acknowledged}], "),
        refused("pay: {", "pay: {answers: [{json: {'$.': [1]}, means: Repeat}], "),
    ]
    .join("\n");
    expect_test::expect![[r#"
        spec.target.pay.json.amount: {amount} is not a placeholder; known are {reference}, {key}, {payment}, {attempt}, {run}, {amount.minor}, {amount.decimal}, {currency}, {from}, {to}, {secret.NAME}
        spec.target.pay.json.deep.list[1]: {refrence} is not a placeholder; known are {reference}, {key}, {payment}, {attempt}, {run}, {amount.minor}, {amount.decimal}, {currency}, {from}, {to}, {secret.NAME}
        spec.target.pay.post: "payments?{x}" is not a path; begin with / and use no spaces
        spec.target.ledger.list.items: "$.data[*" is not a JSONPath: in long-hand segment, expected closing ']' at character 9; use one such as $.data[*]
        spec.target.ledger.list.minor: "amount" is not a JSONPath: parser error at character 1; use one such as $.data[*]
        spec.target.ledger.list.get: has {key}, but a list is about all payments; use lookup instead
        spec.target.ledger.list: needs exactly one amount: minor or major
        spec.target.ledger.list: needs exactly one amount: minor or major
        spec.target.pay: has several bodies; use at most one of json, form and text
        spec.target.pay: sends neither {reference} nor {key}, so no payment could be told from another; put {reference} where the ledger shows it again
        spec.target.pay: sends neither {reference} nor {key}, so no payment could be told from another; put {reference} where the ledger shows it again
        spec.target.pay.identity: "$.id[" is not a JSONPath: parser error at character 5; use one such as $.data[*]
        spec.target.pay.headers.Host: is set by Paylab; remove it
        spec.target.pay.headers.X: has a line end or another control character
        spec.target.pay.headers.a b: is not the name of a header
        spec.target.pay.answers[0]: matches every answer, so that the rules after it never count; move it to the end
        spec.target.pay.answers[0].json: "$." is not a JSONPath: in dot member name, must start with lowercase alpha or '_' at character 3; use one such as $.data[*]"#]].assert_eq(&refusals);
}

#[test]
fn references_must_lead_back_to_their_payment() {
    for reference in
        ["{payment}", "{run}", "{run}{payment}", "{payment}-{run}", "{run}-{payment}-x", "{run}-{attempt}", "x"]
    {
        let refusal = refused("url:", &format!("reference: '{reference}'\nurl:"));
        assert!(
            refusal.contains("does not lead back to its payment; use {run}, something between, and {payment}"),
            "{refusal}"
        );
    }
}

#[test]
fn ledgers_are_refused_that_are_none_or_two_or_ask_for_nobody() {
    let lookup = "lookup: {get: '/payments/{reference}', minor: $.amount}";
    let list = &GOOD[GOOD.find("{list").unwrap()..];
    let refusals = [
        refused(list, "{}"),
        refused(list, &format!("{{{lookup}, {}", &list[1..])),
        refused(list, "{lookup: {get: /payments, minor: $.amount}}"),
        refused_for(&GOOD.replace(list, "{lookup: {get: '/payments?key={key}', minor: $.amount}}"), KeyPolicy::None),
        refused(list, "{list: {get: /p, items: '$[*]', reference: $.r, minor: $.m, next: {while: $.more}}}"),
    ]
    .join("\n");
    expect_test::expect![[r#"
        spec.target.ledger: is empty; say where the money is read: list, lookup, sql or total
        spec.target.ledger: has several ledgers; use one of list, lookup, sql and total
        spec.target.ledger.lookup.get: does not say which payment it is about; put {reference} or {key} into it
        spec.target.ledger.lookup.get: has {key}, but only client.idempotencyKey: PerPayment gives each payment one key; use {reference}
        spec.target.ledger.list.next: needs exactly one of query, url and link"#]].assert_eq(&refusals);
}

#[test]
fn queries_and_totals_are_refused_that_cannot_be_used_or_show_a_password() {
    let list = &GOOD[GOOD.find("{list").unwrap()..];
    let sql = |sql: &str| refused(list, &format!("{{sql: {{{sql}}}}}"));
    let refusals = [
        sql("url: 'postgres://u:hunter2@h/d', query: select 1, minor: m"),
        sql("url: 'postgres://u@h/d?password=hunter2', query: select 1, minor: m"),
        sql("url: 'postgres://{run}@h/d', query: select 1, minor: m"),
        sql("url: 'sqlite:f', query: 'select {reference}', minor: m"),
        sql("url: 'sqlite:f', query: select 1, minor: m, major: m"),
        sql("url: 'sqlite:f', query: select 1, minor: 'm) from x --', reference: 1a, currency: ''"),
        refused(list, "{total: {get: '/stats?key={key}', minor: $.m}}"),
        refused(list, "{total: {get: stats, minor: $.m}}"),
        refused(list, "{total: {get: /stats}}"),
    ]
    .join("\n");
    expect_test::expect![[r#"
        spec.target.ledger.sql.url: holds a password that everybody can read; write it as {secret.NAME}
        spec.target.ledger.sql.url: holds a password that everybody can read; write it as {secret.NAME}
        spec.target.ledger.sql.url: has a placeholder that has no value here; use only {secret.NAME}
        spec.target.ledger.sql.query: has a placeholder that has no value here; use only {run}
        spec.target.ledger.sql: needs exactly one amount: minor or major
        spec.target.ledger.sql.reference: "1a" is not the name of a column; give the query's column a simple one, as in: select x as amount
        spec.target.ledger.sql.minor: "m) from x --" is not the name of a column; give the query's column a simple one, as in: select x as amount
        spec.target.ledger.sql.currency: "" is not the name of a column; give the query's column a simple one, as in: select x as amount
        spec.target.ledger.total.get: is about one payment, but a total is about all; use lookup instead
        spec.target.ledger.total.get: "stats" is not a path; begin with / and use no spaces
        spec.target.ledger.total: needs exactly one amount: minor or major"#]].assert_eq(&refusals);
    for good in [
        "{sql: {url: 'postgres://u:{secret.password}@h/d', query: \"select * from p where r like '{run}-%';\", major: m}}",
        "{sql: {url: '{secret.ledger}', query: select 1, reference: Ref_1, minor: m, currency: c}}",
        "{total: {get: '/stats?run={run}', major: $}}",
    ] {
        let spec: TargetSpec = serde_saphyr::from_str(&GOOD.replace(list, good)).unwrap();
        assert!(Contract::new(&spec, KeyPolicy::PerPayment, "spec.target").is_ok(), "{good}");
    }
}

#[test]
fn a_client_without_keys_sends_none_and_is_refused_where_one_is_needed() {
    let needs_key = GOOD.replace("amount: '{amount.minor}'", "id: 'x-{key}'");
    let refusal = refused_for(&needs_key, KeyPolicy::None);
    assert!(refusal.starts_with("spec.client.idempotencyKey: None sends no key"), "{refusal}");
}
