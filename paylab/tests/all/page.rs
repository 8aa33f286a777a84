//! The page of `paylab serve`, asked over sockets as a browser asks: who may drive it, what its buttons book, and what it shows of others.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::binary::{Running, ask, command};

/// `paylab serve` on free ports.
struct Lesson {
    running: Running,
    service: String,
    proxy: String,
    api: String,
    page: String,
}

impl Lesson {
    fn start() -> Self {
        let ports = ["serve", "--service-port", "0", "--proxy-port", "0", "--port", "0", "--page-port", "0"];
        let mut running = Running::start(command(&ports).args(["--seed", "42"]));
        let lines = BufReader::new(running.child.stdout.take().unwrap()).lines().take(4).map(Result::unwrap);
        let addresses: Vec<_> =
            lines.map(|line| line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()).collect();
        let [service, proxy, api, page] = addresses.try_into().unwrap();
        Self { running, service, proxy, api, page }
    }

    /// Asks the page with these lines in the head.
    fn asked(&self, line: &str, head: &[String], body: &str) -> String {
        let head: String = head.iter().flat_map(|line| [line, "\r\n"]).collect();
        let mut stream = TcpStream::connect(&self.page).unwrap();
        // A thousand payments take their time on a busy machine.
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(stream, "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn host(&self) -> String {
        format!("Host: {}", self.page)
    }

    /// Presses a button of the page.
    fn press(&self, path: &str, body: &Value) -> (u16, Value) {
        let head = [self.host(), format!("Origin: http://{}", self.page), JSON.to_owned()];
        let answer = self.asked(&format!("POST {path}"), &head, &body.to_string());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn pay(&self, payments: &str, until: &str, key: &str) -> Value {
        let (status, done) =
            self.press("/api/pay", &json!({"payments": payments, "until": until, "key": key, "seed": 42}));
        assert_eq!(status, 200, "{done}");
        done
    }

    fn break_connections(&self) {
        assert_eq!(self.press("/api/toxics", &json!({"requestLost": 0.3, "answerLost": 0.3})).0, 204);
    }

    /// The total of the ledger, as curl reads it.
    fn total(&self) -> String {
        let answer = ask(&self.service, "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        answer.rsplit("\r\n").next().unwrap().to_owned()
    }

    fn events(&self) -> Events {
        let mut stream = TcpStream::connect(&self.page).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /api/events HTTP/1.1\r\n{}\r\n\r\n", self.host()).unwrap();
        Events(BufReader::new(stream))
    }
}

/// The longest silence of the page.
const PATIENCE: Duration = Duration::from_secs(180);
const JSON: &str = "Content-Type: application/json";

/// The states that the page is sent.
struct Events(BufReader<TcpStream>);

impl Events {
    /// Waits for a state.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the events have ended");
            if let Some(state) = line.strip_prefix("data: ").map(|json| serde_json::from_str(json).unwrap())
                && wanted(&state)
            {
                return state;
            }
        }
    }
}

#[test]
fn only_the_page_itself_can_drive_the_lesson() {
    let lesson = Lesson::start();
    let (ours, origin) = (lesson.host(), format!("Origin: http://{}", lesson.page));
    let elsewhere = "Origin: http://evil.example".to_owned();
    let rebound = "Host: evil.example:8088".to_owned();
    let routes = [
        ("/api/pay", json!({"payments": "One", "until": "Tried", "key": "None", "seed": 42})),
        ("/api/toxics", json!({"requestLost": 0.5, "answerLost": 0.5})),
        ("/api/mode", json!({"dedup": "None"})),
        ("/api/clear", json!({})),
        ("/api/stop", json!({})),
    ];
    for (path, body) in &routes {
        for head in [
            vec![ours.clone(), elsewhere.clone(), JSON.to_owned()],
            vec![ours.clone(), JSON.to_owned()],
            vec![rebound.clone(), "Origin: http://evil.example:8088".to_owned(), JSON.to_owned()],
            vec![ours.clone(), origin.clone(), "Sec-Fetch-Site: cross-site".to_owned(), JSON.to_owned()],
            vec![origin.clone(), JSON.to_owned()],
        ] {
            let answer = lesson.asked(&format!("POST {path}"), &head, &body.to_string());
            assert!(answer.starts_with("HTTP/1.1 403 ") || answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        }
        // What a form of another page can send without asking first is no JSON.
        let form = [ours.clone(), origin.clone(), "Content-Type: text/plain".to_owned()];
        let answer = lesson.asked(&format!("POST {path}"), &form, &body.to_string());
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    }
    for path in ["/", "/page.js", "/report", "/api/events"] {
        let answer = lesson.asked(&format!("GET {path}"), std::slice::from_ref(&rebound), "");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
    }
    let toxics = ask(&lesson.api, "GET /proxies/payment HTTP/1.0\r\n\r\n");
    assert!(toxics.contains("\"toxics\":[]") && lesson.total() == "0.0", "nothing was done: {toxics}");
    for (path, body) in &routes {
        let (status, answer) = lesson.press(path, body);
        assert!(matches!(status, 200 | 204), "{path}: {status} {answer}");
    }
    let page = lesson.asked("GET /", &[ours, "Sec-Fetch-Site: cross-site".to_owned()], "");
    let policy = page.lines().find(|line| line.starts_with("content-security-policy: ")).unwrap();
    assert!(policy.contains("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(lesson.running.terminate().0, Some(0));
}

#[test]
fn shares_of_which_one_is_none_are_refused_before_any_is_set() {
    let lesson = Lesson::start();
    for (shares, problem) in [
        (json!({"requestLost": 0.3, "answerLost": 7}), "answerLost: 7 is no share from 0 to 1"),
        (json!({"requestLost": -0.1, "answerLost": 0.3}), "requestLost: -0.1 is no share from 0 to 1"),
    ] {
        let (status, answer) = lesson.press("/api/toxics", &shares);
        assert!(status == 400 && answer.to_string().contains(problem), "{status} {answer}");
        let toxics = ask(&lesson.api, "GET /proxies/payment HTTP/1.0\r\n\r\n");
        assert!(toxics.contains("\"toxics\":[]"), "{toxics}");
    }
    assert_eq!(lesson.running.terminate().0, Some(0));
}

#[test]
fn its_buttons_book_the_totals_of_the_lesson() {
    let lesson = Lesson::start();
    lesson.break_connections();
    for (until, key, verdict, total) in [
        ("Tried", "None", "Violated", "695.0"),
        ("Acknowledged", "None", "Violated", "1455.0"),
        ("Acknowledged", "PerPayment", "Upheld", "1000.0"),
    ] {
        let done = lesson.pay("Thousand", until, key);
        assert_eq!(
            (done["verdict"].as_str(), lesson.total().as_str()),
            (Some(verdict), total),
            "{until} {key}: {done}"
        );
    }
    let report = lesson.asked("GET /report", &[lesson.host()], "");
    assert!(report.contains("1000 of 1000 payments booked exactly once"), "the report of the last thousand");
    for mode in ["UniqueKey", "None", "None"] {
        // Also the mode that runs already is one with an empty ledger.
        assert_eq!(lesson.press("/api/mode", &json!({"dedup": mode})).0, 200, "{mode}");
        assert_eq!(lesson.total(), "0.0");
    }
    let done = lesson.pay("Thousand", "Acknowledged", "PerPayment");
    assert_eq!(
        (done["verdict"].as_str(), lesson.total().as_str()),
        (Some("Violated"), "1455.0"),
        "no key is looked at"
    );
    assert_eq!(lesson.running.terminate().0, Some(0));
}

#[test]
fn one_payment_is_told_attempt_by_attempt() {
    let lesson = Lesson::start();
    lesson.break_connections();
    assert_eq!(lesson.pay("One", "Acknowledged", "None")["attempts"], json!([{"fate": "Answered", "status": 200}]));
    let second = lesson.pay("One", "Acknowledged", "None");
    let fates: Vec<_> = second["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["fate"]).collect();
    let lost = ["RequestLost", "RequestLost", "RequestLost", "AnswerLost", "RequestLost", "AnswerLost", "Answered"];
    assert_eq!(fates, lost);
    assert_eq!((&second["payment"], &second["risenMinor"], lesson.total().as_str()), (&json!(1), &json!(300), "4.0"));
    assert_eq!(lesson.press("/api/clear", &json!({})).0, 200);
    // The same payments again, with a key.
    lesson.pay("One", "Acknowledged", "PerPayment");
    let second = lesson.pay("One", "Acknowledged", "PerPayment");
    let statuses: Vec<_> = second["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(json!(statuses), json!([null, null, null, 200, null, 208, 208]));
    assert_eq!((&second["risenMinor"], lesson.total().as_str()), (&json!(100), "2.0"));
    let (status, refused) =
        lesson.press("/api/pay", &json!({"payments": "Two", "until": "Tried", "key": "None", "seed": 42}));
    assert!(status == 422 && refused["detail"].as_str().unwrap().contains("payments"), "{status} {refused}");
    assert_eq!(lesson.running.terminate().0, Some(0));
}

#[test]
fn what_others_do_is_shown_as_it_happens() {
    let lesson = Lesson::start();
    let mut events = lesson.events();
    events.until(|state| state["toxics"] == json!({"requestLost": 0.0, "answerLost": 0.0, "others": []}));
    let body = r#"{"src":"bianca","dest":"marc","amount":"1"}"#;
    let pay = format!(
        "POST /payments/ HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..3 {
        assert!(ask(&lesson.proxy, &pay).starts_with("HTTP/1.1 200 "));
    }
    // What was sent and what was booked are asked for one after another, so that a payment may come in between.
    let state = events.until(|state| {
        let seen = (&state["outside"]["sent"], &state["ledger"]["entries"], &state["ledger"]["bookedMinor"]);
        seen == (&json!(3), &json!(3), &json!(300))
    });
    assert_eq!(state["outside"], json!({"sent": 3, "requestsLost": 0, "answersLost": 0}));
    assert_eq!(state["page"]["intendedMinor"], json!(0));
    let toxic = r#"{"type":"reset_peer","stream":"downstream","toxicity":0.3}"#;
    let other = r#"{"type":"latency","stream":"upstream"}"#;
    for toxic in [toxic, other] {
        let length = toxic.len();
        let create = format!("POST /proxies/payment/toxics HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{toxic}");
        assert!(ask(&lesson.api, &create).contains(" 200 "));
    }
    events.until(|state| {
        state["toxics"] == json!({"requestLost": 0.0, "answerLost": 0.3, "others": ["upstream latency"]})
    });
    let clear = "DELETE /payments/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(ask(&lesson.service, clear).starts_with("HTTP/1.1 200 "));
    events.until(|state| state["ledger"]["bookedMinor"] == 0 && state["outside"]["sent"] == 0);
    // An open page does not hold the end.
    assert_eq!(lesson.running.terminate().0, Some(0));
}
