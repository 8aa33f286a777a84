//! Ten marked secrets of every odd shape: nothing that is printed, logged or kept shows a mark, however a service or a database repeats it.

use std::{path::Path, process::Output};

use paylab_testbed::{Durability, mariadb, postgres};
use serde_json::json;

use crate::support::{
    binary::{Running, ask, command, experiment, printed},
    foreign::{Answer, Request, Shop, honest, json_answer, list, start},
    marks::{MARK, assert_hidden, forms_of, secrets},
};

/// An experiment of 24 payments that sends every secret in a header and in its body, and some of them in its path and in that of the ledger.
fn file() -> String {
    let of_each = |line: fn(usize) -> String| (0..secrets().len()).map(line).collect::<Vec<_>>().join(", ");
    let headers = of_each(|number| format!("X-Token-{number}: \"Bearer {{secret.token_{number}}}\""));
    let fields = of_each(|number| format!("credential_{number}: \"{{secret.token_{number}}}\""));
    let spec = r#"
  claim: ExactlyOnce
  seed: 42
  payments: {count: 24}
  client: {idempotencyKey: PerPayment, retry: {maxAttempts: 3}}
  faults: [{name: response-lost, probability: 0.3, reset: {at: BeforeResponse}}]
  target:
    url: http://127.0.0.1:1
    headers: {HEADERS}
    pay:
      post: "/payments?k={secret.token_0}&l={secret.token_3}"
      headers: {Idempotency-Key: "{key}"}
      json: {reference: "{reference}", amount: "{amount.minor}", FIELDS}
      answers: [{status: [200], json: {"$.replayed": [true]}, means: Repeat}, {status: [200, 201], means: Acknowledged}]
      identity: "$.id"
    ledger:
      list:
        get: "/payments?token={secret.token_4}&other={secret.token_7}"
        items: "$.data[*]"
        reference: "$.reference"
        minor: "$.amount"
        currency: "$.currency"
        next: {url: "$.next"}
      settle: {quiet: 20ms, within: 400ms}
"#;
    experiment(&spec.replace("HEADERS", &headers).replace("FIELDS", &fields))
}

/// How a service repeats what it was given.
type Repeats = fn(&[String], &Request, &mut Shop) -> Answer;

/// Every way to repeat a secret, with what `check` and `run` may say of it.
const REPEATS: [(&str, Repeats); 8] = [
    ("refuses", |forms, _, shop| {
        shop.asked += 1;
        let form = &forms[usize::try_from(shop.asked).unwrap() % forms.len()];
        (
            400 + u16::try_from(shop.asked % 4).unwrap(),
            format!("X-Echo: {}\r\n", header(form)),
            format!("bad credential {form}!"),
        )
    }),
    ("accepts", |forms, request, shop| {
        if request.method == "GET" {
            return list(request, shop);
        }
        let (_, headers, body) = honest(request, shop);
        let form = &forms[shop.booked.len() % forms.len()];
        (202, format!("{headers}X-Echo: {}\r\n", header(form)), format!("{form}{body}"))
    }),
    ("names", |forms, request, shop| {
        let (status, headers, body) = honest(request, shop);
        let form = serde_json::to_string(&forms[shop.booked.len() % forms.len()]).unwrap();
        let named = body.replace("\"id\":", &format!("\"id\":{form},\"old\":"));
        (status, headers, if request.method == "POST" { named } else { body })
    }),
    ("books", |forms, request, shop| {
        // Its ledger has other items, and entries in a currency of this name.
        let (status, headers, body) = honest(request, shop);
        if request.method == "POST" {
            return (status, headers, body);
        }
        let mut page: serde_json::Value = serde_json::from_str(&body).unwrap();
        for (item, form) in page["data"].as_array_mut().unwrap().iter_mut().zip(forms.iter().cycle()) {
            item["currency"] = json!(form);
        }
        page["data"].as_array_mut().unwrap().push(json!({"reference": forms[0], "amount": 1, "currency": forms[1]}));
        json_answer(status, &page)
    }),
    ("hides", |forms, request, shop| {
        let (status, headers, body) = honest(request, shop);
        // A message shows the beginning of the page, which ends in the middle of the secret.
        let page = || json_answer(200, &json!({"other": [format!("{}{}", "x".repeat(180), forms[0])]}));
        if request.method == "POST" { (status, headers, body) } else { page() }
    }),
    ("leads", |forms, request, shop| {
        let (status, headers, body) = honest(request, shop);
        let page = || json_answer(200, &json!({"data": [], "next": format!("http://{}/", forms[0])}));
        if request.method == "POST" { (status, headers, body) } else { page() }
    }),
    ("redirects", |forms, request, shop| {
        let (status, headers, body) = honest(request, shop);
        let location = format!("Location: http://h/{}\r\n", header(&forms[2]));
        if request.method == "POST" { (status, headers, body) } else { (307, location, String::new()) }
    }),
    ("babbles", |forms, request, shop| {
        let (status, headers, body) = honest(request, shop);
        if request.method == "POST" { (status, headers, body) } else { (200, String::new(), forms.join(" ")) }
    }),
];

/// A text as the value of a header.
fn header(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Every secret in every form; the form with this number comes first.
fn all_forms(first: usize) -> Vec<String> {
    let by_secret: Vec<_> = secrets().iter().map(|(_, secret)| forms_of(secret)).collect();
    let most = by_secret.iter().map(Vec::len).max().unwrap();
    let mut forms: Vec<_> =
        (0..most).flat_map(|form| by_secret.iter().filter_map(move |of| of.get(form).cloned())).collect();
    forms.rotate_left(first);
    forms
}

/// Starts a service that repeats secrets, from this form on.
fn repeating(repeats: Repeats, first: usize) -> String {
    let forms = all_forms(first);
    format!("http://{}", start(move |request, shop| repeats(&forms, request, shop)))
}

/// What a command with the secrets has printed.
fn with_secrets(arguments: &[&str]) -> Output {
    let mut paylab = command(arguments);
    for (number, (_, secret)) in secrets().into_iter().enumerate() {
        paylab.env(format!("PAYLAB_SECRET_TOKEN_{number}"), secret);
    }
    paylab.output().unwrap()
}

/// Every file in a folder, with its name, unpacked.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let is_packed = path.extension().is_some_and(|ending| ending == "zst");
            let text = if is_packed { zstd::decode_all(&bytes[..]).unwrap() } else { bytes };
            found.push((path.display().to_string(), text));
        }
    }
    found
}

#[test]
fn a_secret_of_any_shape_is_in_nothing_that_a_command_prints_or_writes() {
    let folder = tempfile::tempdir().unwrap();
    let file_path = folder.path().join("experiment.yaml");
    std::fs::write(&file_path, file()).unwrap();
    let file_path = file_path.to_str().unwrap();
    for (number, (way, repeats)) in REPEATS.into_iter().chain([REPEATS[0]; 4]).enumerate() {
        // Only the first answers are shown, so that each service begins with other forms.
        let target = repeating(repeats, number * 11);
        let name = format!("{way}-{number}");
        let out = |ending: &str| folder.path().join(format!("{name}.{ending}")).display().to_string();
        let (html, junit, markdown, evidence) = (out("html"), out("xml"), out("md"), out("evidence"));
        let files = ["--report", &html, "--junit", &junit, "--markdown", &markdown, "--evidence", &evidence];
        let checked = with_secrets(&["check", file_path, "--target", &target]);
        let text = with_secrets(&[&["run", file_path, "--target", &target][..], &files].concat());
        let json = with_secrets(&["run", file_path, "--target", &target, "--output", "json", "--log", "trace"]);
        let printed = [checked, text, json].map(|output| printed(&output));
        printed.iter().for_each(|printed| assert_hidden(&name, printed.as_bytes()));
        assert!(printed.iter().any(|printed| printed.to_lowercase().contains("(secret)")), "{name}: {printed:?}");
    }
    let written = files(folder.path());
    assert!(written.len() > REPEATS.len() * 4, "{}", written.len());
    written.iter().for_each(|(name, bytes)| assert_hidden(name, bytes));
}

#[test]
fn a_gauntlet_and_a_shrunken_run_show_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file_path = folder.path().join("experiment.yaml");
    std::fs::write(&file_path, file()).unwrap();
    let file_path = file_path.to_str().unwrap();
    for (number, (way, repeats)) in REPEATS.into_iter().enumerate().take(4) {
        let target = repeating(repeats, number * 7);
        let out = |ending: &str| folder.path().join(format!("{way}.{ending}")).display().to_string();
        let (html, shrunk) = (out("html"), out("yaml"));
        let gauntlet = ["gauntlet", file_path, "--only", "lost-answer", "--payments", "12", "--report", &html];
        let shrink = ["shrink", file_path, "--runs", "2", "-o", &shrunk];
        for arguments in [&gauntlet[..], &shrink] {
            let output = with_secrets(&[arguments, &["--target", &target]].concat());
            assert_hidden(&format!("{arguments:?}"), printed(&output).as_bytes());
        }
    }
    files(folder.path()).iter().for_each(|(name, bytes)| assert_hidden(name, bytes));
}

#[test]
fn the_parts_log_no_secret_of_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let file_path = folder.path().join("experiment.yaml");
    for (number, (way, repeats)) in REPEATS.into_iter().enumerate().take(3) {
        let target = repeating(repeats, number * 5);
        std::fs::write(&file_path, file().replace("http://127.0.0.1:1", &target)).unwrap();
        let mut proxy =
            command(&["reset-proxy", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--log", "trace"]);
        let mut proxy = Running::start(proxy.args(["--upstream", target.trim_start_matches("http://")]));
        let listening = proxy.line("reset proxy ready");
        let address = |name: &str| {
            let (_, rest) = listening.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("{listening}"));
            format!("127.0.0.1:{}", rest.split(' ').next().unwrap())
        };
        let (listen, control) = (address(" port"), address("control"));
        let report = folder.path().join("report.json");
        let load =
            ["load-job", file_path.to_str().unwrap(), "--proxy", &listen, "--control", &control, "--log", "trace"];
        let further = ["--evidence-bytes", "100000", "--report", report.to_str().unwrap(), "--report-only"];
        let output = with_secrets(&[&load[..], &further].concat());
        assert_hidden(&format!("load of {way}"), printed(&output).as_bytes());
        assert_hidden(&format!("report of {way}"), &std::fs::read(&report).unwrap());
        let metrics = ask(&control, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(metrics.contains("paylab") || metrics.contains("# TYPE"), "{metrics}");
        assert_hidden(&format!("metrics of {way}"), metrics.as_bytes());
        let (_, log) = proxy.terminate();
        assert_hidden(&format!("log of the proxy, {way}"), log.join("\n").as_bytes());
    }
}

/// Database URLs of every wrong shape at this address, each with the mark in it: `HOST:PORT` of a server, or of nothing.
fn urls(address: &str) -> Vec<String> {
    let encoded: String = MARK.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        format!("jdbc:postgresql://app:{MARK}@{address}/x"),
        format!(" postgres://app:{MARK}@{address}/x"),
        MARK.to_owned(),
        format!("{MARK}://app:pw@{address}/x"),
        format!("sqlserver://app:{MARK}@{address}/x"),
        format!("mysql://{MARK}:{MARK}@{address}/{MARK}"),
        format!("postgres://{MARK}:{MARK}@{address}/{MARK}"),
        format!("postgres://postgres:a%2Fb%40{MARK}%25%23@{address}/{MARK}"),
        format!("postgres://app:p@ss#/?{MARK}%zz@{address}/x"),
        format!("\"postgres://app:'{MARK}'@{address}/x\""),
        format!("postgres://app:first\n{MARK}\n@{address}/x"),
        format!("postgres://pässwörd-{MARK}-€@{address}/x"),
        format!("postgres://:{MARK}@{address}/{MARK}"),
        format!("postgres://{encoded}:{encoded}@{address}/{encoded}"),
        format!("postgres://postgres@{address}/postgres?pasword={MARK}&sslmode={MARK}"),
        format!("postgres://postgres@{address}/{MARK}?{MARK}=x&application_name={MARK}"),
        format!("postgres://postgres@{address}/postgres?options[{MARK}.x]={MARK}&options=-c%20{MARK}=1"),
        format!("postgres://app:{}@{address}/x", MARK.repeat(300)),
        format!("sqlite:/{MARK}/no/such/directory/{MARK}.db?mode={MARK}"),
    ]
}

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Every URL at every address: where nothing listens, and where a database does.
fn everywhere() -> Vec<(String, String)> {
    let at = |url: &str| url.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let postgres = postgres(Durability::Fast).map(|server| at(server.url()));
    let mariadb = mariadb().map(|server| at(&server.url("x")));
    let addresses = [Some(NOWHERE.to_owned()), postgres, mariadb].into_iter().flatten();
    addresses.flat_map(|address| urls(&address).into_iter().map(move |url| (address.clone(), url))).collect()
}

#[test]
fn a_database_of_the_service_that_cannot_be_used_is_shown_by_no_command() {
    for (address, url) in everywhere() {
        let part = ["payment-service", "--listen", "127.0.0.1:0", "--log", "trace"];
        let by_variable = command(&part).env("PAYLAB_DATABASE", &url).output().unwrap();
        let by_option = |arguments: &[&str]| command(&[arguments, &["--database", &url]].concat()).output().unwrap();
        let run = ["run", "examples/pay-exactly-once.yaml", "--log", "trace"];
        let gauntlet = ["gauntlet", "--only", "lost-answer", "--payments", "5", "--log", "trace"];
        // It uses the database as a run does.
        let gauntlet = (address == NOWHERE).then(|| by_option(&gauntlet));
        for output in [by_variable, by_option(&part), by_option(&run)].into_iter().chain(gauntlet) {
            assert!(!output.status.success(), "{url}: {}", printed(&output));
            assert_hidden(&url.replace(MARK, "MARK"), printed(&output).as_bytes());
        }
    }
}

#[test]
fn why_a_database_cannot_be_reached_is_told_once() {
    let url = "postgres://app:pw@127.0.0.1:1/x";
    let service = ["payment-service", "--listen", "127.0.0.1:0", "--database", url];
    for arguments in [&service[..], &["run", "examples/pay-exactly-once.yaml", "--database", url]] {
        let told = printed(&command(arguments).output().unwrap());
        assert_eq!(told.matches("Connection refused").count(), 1, "{told}");
    }
}

#[test]
fn a_database_of_a_ledger_that_cannot_be_read_is_shown_by_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let service = format!("http://{}", start(honest));
    let path = folder.path().join("experiment.yaml");
    let whole = file();
    let (before, _) = whole.split_once("      list:").unwrap();
    let before: String =
        before.lines().filter(|line| !line.starts_with("    headers:")).map(|line| format!("{line}\n")).collect();
    let before = before.replace("?k={secret.token_0}&l={secret.token_3}", "");
    let before =
        before.split(", credential_0").next().unwrap().to_owned() + "}\n      identity: \"$.id\"\n    ledger:\n";
    let sql =
        "      sql: {url: \"{secret.ledger}\", query: \"select reference, amount from payments\", minor: amount}\n";
    std::fs::write(&path, format!("{before}{sql}      settle: {{quiet: 20ms, within: 400ms}}\n")).unwrap();
    for (address, url) in everywhere() {
        let evidence = folder.path().join("evidence");
        let run = ["run", path.to_str().unwrap(), "--target", &service];
        let mut by_secret = command(&run);
        by_secret.args(["--evidence", evidence.to_str().unwrap()]).env("PAYLAB_SECRET_LEDGER", &url);
        let by_secret = by_secret.output().unwrap();
        let gauntlet = ["gauntlet", path.to_str().unwrap(), "--only", "lost-answer", "--target", &service];
        let by_option = |arguments: &[&str]| command(&[arguments, &["--ledger-url", &url]].concat()).output().unwrap();
        let gauntlet = (address == NOWHERE).then(|| by_option(&gauntlet));
        for output in [by_secret, by_option(&run)].into_iter().chain(gauntlet) {
            assert!(!output.status.success(), "{url}: {}", printed(&output));
            assert_hidden(&url.replace(MARK, "MARK"), printed(&output).as_bytes());
        }
        files(&evidence).iter().for_each(|(name, bytes)| assert_hidden(name, bytes));
        std::fs::remove_dir_all(&evidence).unwrap();
    }
}

#[test]
fn a_supervisors_token_is_shown_neither_by_it_nor_by_the_proxy() {
    for (shape, token) in secrets() {
        let service = start(honest).to_string();
        let supervise =
            ["supervise", "--listen", "127.0.0.1:0", "--serves", &service, "--log", "trace", "--", "sleep", "60"];
        let supervisor = Running::start(command(&supervise).env("PAYLAB_SUPERVISOR_TOKEN", &token));
        let proxy = ["reset-proxy", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--log", "trace"];
        let mut proxy = command(&proxy);
        proxy.args(["--upstream", &service, "--supervisor", "127.0.0.1:1"]);
        let mut proxy = Running::start(proxy.env("PAYLAB_SUPERVISOR_TOKEN", &token));
        let ready = proxy.line("reset proxy ready");
        assert_hidden(shape, ready.as_bytes());
        for part in [supervisor, proxy] {
            let (_, log) = part.terminate();
            assert_hidden(shape, log.join("\n").as_bytes());
        }
    }
}
