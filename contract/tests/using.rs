//! Requests are filled, answers are paged through, and entries are read, as a contract says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet};

use paylab_contract::{
    Contract,
    ledger::{ForeignEntry, Ledger, page_name},
    spec::TargetSpec,
    template::Filling,
};
use paylab_core::{client::KeyPolicy, money::MinorUnits};
use serde_json::{Value, json};

const RUN: &str = "0123abcdef";

fn contract_for(target: &Value, key: KeyPolicy) -> Contract {
    let spec: TargetSpec = serde_json::from_value(target.clone()).unwrap();
    Contract::new(&spec, key, "spec.target").unwrap()
}

fn filling(key: &str) -> Filling<'_> {
    Filling {
        reference: "0123abcd-7",
        key,
        payment: 7,
        attempt: 2,
        run: RUN,
        amount: MinorUnits(1050),
        currency: "EUR",
        from: "bianca",
        to: "marc",
    }
}

/// A contract with this way to pay.
fn paying(pay: &Value) -> Value {
    json!({
        "url": "http://shop.example:9000/base/",
        "headers": {"Authorization": "Bearer {secret.token}"},
        "pay": pay,
        "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
    })
}

#[test]
fn a_request_is_filled_as_its_places_demand() {
    let secret = |name: &str| (name == "token").then(|| "s3cret&".to_owned());
    let key = json!({"Idempotency-Key": "{key}"});
    let body_of = |pay: &Value, policy: KeyPolicy| {
        let contract = contract_for(&paying(pay), policy).with_secrets(secret).unwrap();
        let filling = filling("k/1");
        let (mut path, mut headers) = (contract.origin.base().to_owned(), String::new());
        contract.pay.write_path(&filling, contract.secrets(), &mut path);
        contract.pay.write_headers(&filling, contract.secrets(), &mut headers);
        (path, headers, contract.pay.body(&filling, contract.secrets()))
    };
    let (path, headers, body) = body_of(
        &json!({"post": "/pay/{reference}", "headers": key, "json": {"ref": "{reference}", "minor": "{amount.minor}",
                "text": "{amount.decimal} {currency}", "list": [1, null, true, "{payment}"], "key": "{key}"}}),
        KeyPolicy::PerPayment,
    );
    assert_eq!(path, "/base/pay/0123abcd-7");
    assert_eq!(
        headers,
        "Authorization: Bearer s3cret&\r\nIdempotency-Key: k/1\r\nContent-Type: application/json\r\nAccept-Encoding: identity\r\n"
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        json!({"ref": "0123abcd-7", "minor": 1050, "text": "10.50 EUR", "list": [1, null, true, 7], "key": "k/1"})
    );

    let (_, headers, body) =
        body_of(&json!({"post": "/p", "form": {"a[b]": "{key}", "c": "x y {reference}"}}), KeyPolicy::PerPayment);
    assert!(headers.contains("Content-Type: application/x-www-form-urlencoded\r\n"), "{headers}");
    assert_eq!(body, "a%5Bb%5D=k%2F1&c=x+y+0123abcd-7");

    let text = json!({"post": "/p", "headers": {"Content-Type": "text/csv"}, "text": "{reference},{amount.minor}"});
    let (_, headers, body) = body_of(&text, KeyPolicy::PerPayment);
    assert_eq!((body.as_str(), headers.matches("Content-Type").count()), ("0123abcd-7,1050", 1));

    let (_, headers, body) =
        body_of(&json!({"post": "/p", "headers": key, "json": {"r": "{reference}", "key": "{key}"}}), KeyPolicy::None);
    assert_eq!((headers.contains("Idempotency"), body.as_str()), (false, r#"{"r":"0123abcd-7"}"#));
}

#[test]
fn a_secret_that_is_missing_is_named_and_none_is_printed() {
    let contract = contract_for(&paying(&json!({"post": "/p", "text": "{reference}"})), KeyPolicy::None);
    assert_eq!(contract.clone().with_secrets(|_| None).unwrap_err(), "token");
    let contract = contract.with_secrets(|_| Some("hunter2".to_owned())).unwrap();
    assert!(!format!("{contract:?}").contains("hunter2"));
    // A file ends with a line end, which no header can carry.
    let of_a_file = contract.clone().with_secrets(|_| Some("hunter2\n".to_owned())).unwrap();
    let mut headers = String::new();
    of_a_file.pay.write_headers(&filling(""), of_a_file.secrets(), &mut headers);
    assert_eq!(headers.lines().next(), Some("Authorization: Bearer hunter2"));
    // Not even its beginning, where a text was cut.
    for (text, shown) in [
        ("who is hunter2?", "who is (secret)?"),
        ("who is hunter", "who is (secret)"),
        ("who is hunt", "who is (secret)"),
        ("who hun", "who hun"),
    ] {
        assert_eq!(contract.secrets().redact(text), shown);
    }
}

/// Reads a list whose pages are these, from the first on.
fn read_list(
    list: &Value,
    pages: &BTreeMap<&str, (Value, Option<&str>)>,
) -> Result<(Vec<(String, i64)>, usize), String> {
    let target = json!({
        "url": "http://shop.example:9000/base",
        "pay": {"post": "/p", "text": "{reference}"},
        "ledger": {"list": list},
    });
    let contract = contract_for(&target, KeyPolicy::None);
    let Ledger::List(list) = &contract.ledger else { unreachable!("it is a list") };
    let first = contract.origin.path(&contract.ledger.path(&filling(""), contract.secrets()));
    let (mut here, mut entries, mut read) = (first, Vec::new(), 0);
    let mut seen = HashSet::new();
    loop {
        let (page, link) = pages.get(here.as_str()).ok_or_else(|| format!("asked for {here}"))?;
        read += 1;
        let is_ours = |reference: &str| contract.is_of_run(RUN, reference);
        list.read_page(page, &mut seen, is_ours, |reference, entry| {
            entries.push((reference.to_owned(), entry.amount.0))
        })?;
        match list.next_page(&contract.origin, &here, page, *link)? {
            None => return Ok((entries, read)),
            Some(next) => here = next,
        }
    }
}

fn item(reference: &str, minor: i64) -> Value {
    json!({"id": format!("id-{reference}"), "r": reference, "m": minor, "status": "ok"})
}

#[test]
fn the_kinds_of_paging_lead_from_page_to_page_to_the_end() {
    let (first, second) = (item("0123abcd-0", 100), item("0123abcd-1", 100));
    let expected = Ok((vec![("0123abcd-0".to_owned(), 100), ("0123abcd-1".to_owned(), 100)], 2));
    let list = |items: &str, next: Value| json!({"get": "/p?limit=1", "items": items, "reference": "$.r", "minor": "$.m", "next": next});

    let by_last = list("$.data[*]", json!({"query": {"starting_after": "$.data[-1].id"}, "while": "$.has_more"}));
    let pages = BTreeMap::from([
        ("/base/p?limit=1", (json!({"data": [first], "has_more": true}), None)),
        ("/base/p?limit=1&starting_after=id-0123abcd-0", (json!({"data": [second], "has_more": false}), None)),
    ]);
    assert_eq!(read_list(&by_last, &pages), expected);

    let by_cursor = list("$.data[*]", json!({"query": {"cursor": "$.cursor"}}));
    for end in
        [json!({"data": [second]}), json!({"data": [second], "cursor": null}), json!({"data": [second], "cursor": ""})]
    {
        let pages = BTreeMap::from([
            ("/base/p?limit=1", (json!({"data": [first], "cursor": "a b"}), None)),
            ("/base/p?limit=1&cursor=a+b", (end, None)),
        ]);
        assert_eq!(read_list(&by_cursor, &pages), expected);
    }

    let by_url = list("$._embedded.p[*]", json!({"url": "$._links.next.href"}));
    for href in ["http://shop.example:9000/base/p?page=2", "/base/p?page=2", "?page=2"] {
        let pages = BTreeMap::from([
            ("/base/p?limit=1", (json!({"_embedded": {"p": [first]}, "_links": {"next": {"href": href}}}), None)),
            ("/base/p?page=2", (json!({"_embedded": {"p": [second]}, "_links": {"next": null}}), None)),
        ]);
        assert_eq!(read_list(&by_url, &pages), expected, "{href}");
    }

    let by_link = list("$[*]", json!({"link": "next"}));
    let link = "</base/p?page=0>; rel=prev, </base/p?page=2>; title=\"more\"; rel=\"last next\"";
    let pages = BTreeMap::from([
        ("/base/p?limit=1", (json!([first]), Some(link))),
        ("/base/p?page=2", (json!([second]), Some("</base/p>; rel=first"))),
    ]);
    assert_eq!(read_list(&by_link, &pages), expected);
}

#[test]
fn an_item_that_is_on_two_pages_counts_once_where_items_have_names() {
    let (first, second) = (item("0123abcd-0", 100), item("0123abcd-1", 100));
    let pages = BTreeMap::from([
        ("/base/p", (json!({"data": [first, second], "next": "/base/p?page=2"}), None)),
        ("/base/p?page=2", (json!({"data": [second], "next": null}), None)),
    ]);
    let mut list =
        json!({"get": "/p", "items": "$.data[*]", "reference": "$.r", "minor": "$.m", "next": {"url": "$.next"}});
    assert_eq!(read_list(&list, &pages).unwrap().0.len(), 3);
    list["id"] = json!("$.id");
    assert_eq!(read_list(&list, &pages).unwrap().0.len(), 2);
}

#[test]
fn a_list_that_is_not_as_agreed_is_told_and_other_peoples_entries_are_passed_over() {
    let list = json!({"get": "/p", "items": "$.data[*]", "reference": "$.r", "minor": "$.m", "counts": {"$.status": ["ok", "done"]},
                      "next": {"url": "$.next"}});
    let one = |page: Value| read_list(&list, &BTreeMap::from([("/base/p", (page, None))]));
    let more = json!({"get": "/p", "items": "$.data[*]", "reference": "$.r", "minor": "$.m", "next": {"link": "next", "while": "$.more"}});
    let told = |more_is: Value| read_list(&more, &BTreeMap::from([("/base/p", (more_is, None))]));
    assert_eq!(told(json!({"data": [], "more": false})), Ok((Vec::new(), 1)));
    assert_eq!(told(json!({"data": []})), Err("there is neither true nor false at $.more".to_owned()));
    let pending = json!({"r": "0123abcd-3", "m": 100, "status": "pending"});
    let others = json!({"data": [item("99999999-0", 1), json!({"r": null}), json!({}), json!(7), pending]});
    assert_eq!(one(others), Ok((Vec::new(), 1)));
    assert_eq!(one(json!({"data": []})), Ok((Vec::new(), 1)));
    let problems = [
        one(json!({"error": "no"})),
        one(json!({"data": [json!({"r": "0123abcd-1", "status": "ok"})]})),
        one(json!({"data": [json!({"r": "0123abcd-1", "m": 1.5, "status": "ok"})]})),
        one(json!({"data": [], "next": "http://elsewhere.example/p"})),
        one(json!({"data": [], "next": "http://shop.example:9001/p"})),
    ]
    .map(|read| read.unwrap_err())
    .join("\n");
    expect_test::expect![[r#"
        a page has no items at $.data[*] and no empty list either
        the entry of 0123abcd-1 has no amount at $.m
        the entry of 0123abcd-1 has "1.5" at $.m, which is no amount in minor units
        the link to the next page leads to http://elsewhere.example, not to shop.example:9000
        the link to the next page leads to http://shop.example:9001, not to shop.example:9000"#]]
    .assert_eq(&problems);
}

#[test]
fn a_lookup_reads_the_entries_of_one_payment() {
    let target = json!({
        "url": "http://shop.example:9000",
        "pay": {"post": "/p", "text": "{reference}"},
        "ledger": {"lookup": {"get": "/p?ref={reference}&key={key}", "items": "$.p[*]", "major": "$.a", "currency": "$.c", "absent": [404, 410]}},
    });
    let contract = contract_for(&target, KeyPolicy::PerPayment);
    let Ledger::Lookup(lookup) = &contract.ledger else { unreachable!("it is a lookup") };
    assert_eq!(contract.ledger.path(&filling("k/1"), contract.secrets()), "/p?ref=0123abcd-7&key=k%2F1");
    let entry = |minor, currency: &str| ForeignEntry { amount: MinorUnits(minor), currency: Some(currency.to_owned()) };
    let read = lookup.read(&json!({"p": [{"a": "10.50", "c": "eur"}, {"a": 1, "c": "USD"}]}));
    assert_eq!(read, Ok(vec![entry(1050, "eur"), entry(100, "USD")]));
    assert_eq!(lookup.read(&json!({"p": []})), Ok(Vec::new()));
    assert_eq!(lookup.read(&json!({"p": [{"a": "10.50"}]})), Err("its entry has no currency at $.c".to_owned()));
    assert_eq!(lookup.absent, [404, 410]);
}

#[test]
fn a_page_has_one_name_in_whatever_order_its_parameters_are() {
    assert_eq!(page_name("/p?a=1&b=2"), page_name("/p?b=2&a=1"));
    assert_ne!(page_name("/p?a=1"), page_name("/p?a=2"));
}

#[test]
fn an_https_service_is_reached_at_its_own_port_by_its_own_name() {
    use paylab_contract::request::{Origin, Tls};
    for (url, address, host, name) in [
        ("https://pay.example", "pay.example:443", "pay.example", "pay.example"),
        ("https://pay.example:8443/v1/", "pay.example:8443", "pay.example:8443", "pay.example"),
        ("https://127.0.0.1:8443", "127.0.0.1:8443", "127.0.0.1:8443", "127.0.0.1"),
        ("https://[::1]", "[::1]:443", "[::1]", "::1"),
    ] {
        let origin = Origin::parse(url, None).unwrap();
        let tls = origin.tls.clone().unwrap();
        assert_eq!((origin.address.as_str(), origin.host.as_str(), tls.name.as_str()), (address, host, name));
        // Neither a page in plain HTTP nor one of another port is followed.
        assert!(origin.follow("/", &url.replace("https", "http")).is_err());
    }
    let with_ca = Origin::parse("https://pay.example", Some("PEM")).unwrap().tls;
    assert_eq!(with_ca, Some(Tls { name: "pay.example".to_owned(), ca: Some("PEM".to_owned()) }));
    assert_eq!(Origin::parse("http://pay.example", Some("PEM")).unwrap().tls, None);
}
