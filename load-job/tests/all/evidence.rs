//! A whole share: rules, lease, drains, evidence and report. The proxy, its control side and the service are scripted, so that each can
//! also fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use load_job::{Error, Load, Progress, execute, options::Options};
use paylab_core::{
    fault::{sampler::seed_of_run, spec::FaultSpec},
    judge::{doubt::Doubt, report::Report},
    witness::{
        ledger::{Elsewhere, Entry, LedgerFooter, LedgerItem, ServiceCounters},
        record::{End, Protocol, RecordFooter, RecordItem, RecordLine},
        seal::Sealer,
    },
};
use paylab_part::contract::Rules;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::scripted::{self, Act, Request, Server, load, pay, plan, plan_with, say, until};

const OK: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// The responses of the control side and the service to a path that contains this text, instead of the right ones.
type Overrides = BTreeMap<&'static str, Vec<Act>>;

/// A proxy that passes everything, its control side, and a service that books every request.
struct Parts {
    proxy: Arc<Server>,
    control: Server,
    service: Server,
    /// The requests to the last two, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Parts {
    async fn start(overrides: Overrides) -> Self {
        let proxy = Arc::new(Server::start(pay).await);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let part = |name: &'static str, evidence: fn(&Server) -> String| {
            let (proxy, asked, overrides) = (proxy.clone(), asked.clone(), overrides.clone());
            Server::start(move |request: &Request| {
                let line = request.text.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
                asked.lock().unwrap().push(format!("{name} {line}"));
                // Before the load, the ledger is always what it should be.
                let is_baseline = line.contains("/ledger") && proxy.requests().is_empty();
                let overridden = overrides.iter().find(|(path, _)| line.contains(*path) && !is_baseline);
                if let Some((_, acts)) = overridden {
                    return acts.clone();
                }
                if line.contains("/ledger") || line.contains("/record") { chunked(&evidence(&proxy)) } else { say(OK) }
            })
        };
        let (control, service) = (part("control", record).await, part("service", ledger).await);
        Self { proxy, control, service, asked }
    }

    fn load(&self, count: u64) -> Load {
        Load {
            control: self.control.address.clone(),
            service: self.service.address.clone(),
            ..load(plan(count, json!({})), &self.proxy.address)
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A body in chunks of 1000 bytes, so that lines are cut.
fn chunked(body: &str) -> Vec<Act> {
    let mut text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for chunk in body.as_bytes().chunks(1000) {
        text += &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap());
    }
    say(&(text + "0\r\n\r\n"))
}

fn sealed<T: Serialize, F: Serialize>(items: Vec<T>, footer: impl FnOnce(Sealer) -> F) -> String {
    let mut text: String = items.iter().map(|item| serde_json::to_string(item).unwrap() + "\n").collect();
    let mut sealer = Sealer::default();
    sealer.add(text.as_bytes());
    text += &serde_json::to_string(&footer(sealer)).unwrap();
    text + "\n"
}

fn record(proxy: &Server) -> String {
    let line = |(seq, request): (u64, &Request)| {
        RecordItem::Request(RecordLine {
            seq,
            t_us: seq,
            conn: request.connection as u64,
            nth: 1,
            payment: request.attempt().payment.0,
            attempt: request.attempt().attempt,
            attributed: true,
            protocol: Protocol::Http1,
            coins: Vec::new(),
            fault: None,
            at: None,
            bytes_up: 200,
            bytes_down: 100,
            forwarded_whole: true,
            status: Some(200),
            rst_client_ok: None,
            rst_service_ok: None,
            held_us: None,
            took_us: None,
            kill: None,
            bytes_reason: None,
            end: End::Relayed,
        })
    };
    let requests = proxy.requests();
    sealed((0..).zip(&requests).map(line).collect(), |sealer| {
        RecordItem::Footer(RecordFooter {
            seal: sealer.seal(),
            run_id: Some("run-1".to_owned()),
            requests: requests.len() as u64,
            connections: proxy.connections() as u64,
            unattributed: 0,
            unintended_resets: 0,
            unrecorded: 0,
            lapsed: 0,
        })
    })
}

fn ledger(proxy: &Server) -> String {
    let requests = proxy.requests();
    let entry = |(id, request): (i64, &Request)| {
        let reference = request.header("Paylab-Reference").map(str::to_owned);
        LedgerItem::Entry(Entry { id, reference, src: "bianca".into(), dest: "marc".into(), amount_minor: 100 })
    };
    sealed((1..).zip(&requests).map(entry).collect(), |sealer| {
        let requests = requests.len() as u64;
        LedgerItem::Footer(LedgerFooter {
            seal: sealer.seal(),
            total_minor: 100 * i64::try_from(requests).unwrap(),
            counters: ServiceCounters { requests, booked: requests, ..ServiceCounters::default() },
            elsewhere: Elsewhere::default(),
        })
    })
}

async fn report(load: &Load) -> Report {
    let (progress, never) = (Progress::default(), CancellationToken::new());
    tokio::time::timeout(scripted::WAIT_MAX, execute(load, &progress, &never))
        .await
        .expect("the load never ended")
        .unwrap()
}

/// The doubts of a run of ten payments with these overrides, and the requests to the control side and the service.
async fn doubts(overrides: Overrides) -> (Vec<Doubt>, Vec<String>) {
    let parts = Parts::start(overrides).await;
    let report = report(&parts.load(10)).await;
    assert_eq!((report.payments.acknowledged, report.attempts.total), (10, 10));
    (report.doubts.into_keys().collect(), parts.asked())
}

#[tokio::test]
async fn whole_evidence_is_read_after_the_drains_and_leaves_no_doubt() {
    let parts = Parts::start(Overrides::new()).await;
    let report = report(&parts.load(50)).await;
    assert_eq!(report.doubts.into_keys().collect::<Vec<_>>(), []);
    let (record, ledger) = (report.record.unwrap(), report.ledger.unwrap());
    assert_eq!((ledger.booked, ledger.entries, ledger.booked_minor), (50, 50, 5_000));
    assert_eq!((record.recorded, record.proxy.connections, ledger.service_requests), (50, 50, 50));
    assert_eq!(
        parts.asked(),
        [
            "control PUT /paylab/rules",
            "service GET /ledger?run=run-1&from=0&to=50",
            "control GET /drain?timeout_ms=15000",
            "control GET /paylab/record?from=0&to=50",
            "service GET /drain?timeout_ms=15000",
            "service GET /ledger?run=run-1&from=0&to=50",
            "service GET /ledger?run=run-1&from=0&to=50",
        ]
    );
}

#[tokio::test]
async fn the_rules_sent_to_the_proxy_are_those_of_the_plan() {
    let parts = Parts::start(Overrides::new()).await;
    let faults = json!([{"name": "late", "probability": 0.25, "reset": {"at": "AfterResponse"}, "attempts": [2]}]);
    let load = Load { plan: plan_with(1, json!({"faults": faults})), ..parts.load(1) };
    report(&load).await;
    let put = parts.control.requests()[0].clone();
    assert_eq!(put.header("Content-Type"), Some("application/json"));
    let rules: Rules = serde_json::from_str(put.body()).unwrap();
    let expected = Rules {
        run_id: "run-1".into(),
        seed: 42,
        faults: load.plan.faults().iter().map(FaultSpec::from).collect(),
        last_struck: None,
        lease_ms: 30_000,
    };
    assert_eq!(rules, expected);
}

#[tokio::test]
async fn the_lease_is_renewed_while_the_load_runs_even_when_a_renewal_fails() {
    let overrides = Overrides::from([("/paylab/lease", say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))]);
    let parts = Parts::start(overrides).await;
    let hanging = Server::start(|_| vec![Act::Silence]).await;
    let load = Load { proxy: hanging.address.clone(), lease: Duration::from_millis(60), ..parts.load(1) };
    let shutdown = CancellationToken::new();
    let renewals = || parts.asked().iter().filter(|asked| *asked == "control POST /paylab/lease").count();
    let enough = async {
        until(|| renewals() >= 4).await;
        shutdown.cancel();
    };
    let progress = Progress::default();
    let (report, ()) = tokio::join!(execute(&load, &progress, &shutdown), enough);
    assert!(report.unwrap().doubts.contains_key(&Doubt::LoadStopped));
    let body = parts.control.requests().into_iter().find(|request| request.text.starts_with("POST")).unwrap();
    assert_eq!(body.body(), r#"{"run_id":"run-1"}"#);
}

#[tokio::test]
async fn a_truncated_ledger_or_record_is_reported_as_a_doubt() {
    let cut =
        |text: &str| vec![Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{text}")), Act::Close];
    assert_eq!(doubts(Overrides::from([("/ledger", cut("{\"entry\":"))])).await.0, [Doubt::LedgerFlawed]);
    let (without_record, _) = doubts(Overrides::from([("/paylab/record", cut(""))])).await;
    assert!(without_record.contains(&Doubt::RecordFlawed), "{without_record:?}");
    let (broken, _) = doubts(Overrides::from([("/ledger", vec![Act::Reset])])).await;
    assert_eq!(broken, [Doubt::LedgerFlawed]);
}

#[tokio::test]
async fn a_ledger_that_may_still_change_is_not_read() {
    let busy = say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let (found, asked) = doubts(Overrides::from([("/drain", busy)])).await;
    assert!(found.contains(&Doubt::LedgerFlawed) && found.contains(&Doubt::RecordFlawed), "{found:?}");
    assert_eq!(asked.last().unwrap(), "control GET /drain?timeout_ms=15000");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_rules_is_an_error_and_no_payment_is_sent() {
    let refusal = say("HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nbad rules");
    let parts = Parts::start(Overrides::from([("/paylab/rules", refusal)])).await;
    let run = async |load: &Load| execute(load, &Progress::default(), &CancellationToken::new()).await.unwrap_err();
    let error = run(&parts.load(1)).await.to_string();
    let address = &parts.control.address;
    assert_eq!(
        error,
        format!(
            "cannot put the rules at the proxy's control address {address}: the answer was 400: bad rules; \
             start the proxy first or check --control"
        )
    );
    let dead = Load { control: "127.0.0.1:1".to_owned(), ..parts.load(1) };
    assert!(run(&dead).await.to_string().contains("127.0.0.1:1: Connection refused"), "{}", run(&dead).await);
    let beyond = Load { worker: 1, ..parts.load(1) };
    assert!(matches!(run(&beyond).await, Error::Worker { worker: 1, workers: 1 }));
    assert_eq!(parts.proxy.connections(), 0);
}

#[tokio::test]
async fn an_error_of_control_traffic_names_its_cause() {
    let send = |text: &str| vec![Act::Send(text.to_owned()), Act::Close];
    let head = "HTTP/1.1 200 OK\r\n";
    let long = format!("HTTP/1.1 422 No\r\nContent-Length: 400\r\n\r\n{}", "x".repeat(400));
    for (acts, cause) in [
        (send("SSH-2.0-OpenSSH\r\n\r\n"), "what answered does not speak HTTP"),
        (vec![Act::Close], "the answer was cut off"),
        (vec![Act::Reset], "Connection reset by peer"),
        (send(&format!("{head}Content-Length: 4\r\n\r\nbo")), "the answer was cut off"),
        (send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n")), "the answer was cut off"),
        (vec![Act::Send(format!("{head}Content-Length: 4\r\n\r\nbo")), Act::Reset], "Connection reset by peer"),
        (send(&long), &format!("the answer was 422: {};", "x".repeat(300))),
    ] {
        let parts = Parts::start(Overrides::from([("/paylab/rules", acts)])).await;
        let error = execute(&parts.load(1), &Progress::default(), &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains(cause), "{cause}: {error}");
        assert!(std::error::Error::source(&error).is_none(), "a source would be printed twice: {error}");
    }
}

/// Options for an experiment file with this spec, with the addresses of these parts.
fn options(parts: &Parts, directory: &std::path::Path, spec: &str) -> Options {
    let experiment = directory.join("experiment.yaml");
    let head = "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {name: x}\nspec:\n  ";
    std::fs::write(&experiment, format!("{head}{spec}\n")).unwrap();
    Options {
        experiment,
        run_id: Some("run-1".parse().unwrap()),
        seed: None,
        proxy: parts.proxy.address.clone(),
        control: parts.control.address.clone(),
        service: parts.service.address.clone(),
        target: None,
        worker: 0,
        report: Some(directory.join("report.json")),
        report_only: true,
        evidence_bytes: None,
        lease: "30s".parse().unwrap(),
        patience: "0s".parse().unwrap(),
    }
}

/// Runs the experiment of the options, as `paylab load-job` does.
async fn run(options: &Options) -> Result<Report, Error> {
    let run = options.run_id.clone().unwrap_or_else(|| "drawn".parse().unwrap());
    let text = std::fs::read_to_string(&options.experiment).unwrap();
    let plan = paylab_resource::file::parse(&text, seed_of_run(&run)).unwrap().plan;
    Ok(load_job::run(options.clone(), run, plan, None, CancellationToken::new()).await?.report)
}

#[tokio::test]
async fn the_report_is_written_to_the_file_that_the_options_name() {
    let parts = Parts::start(Overrides::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let options = options(&parts, directory.path(), "{claim: AtLeastOnce, seed: 7, payments: {count: 20}}");
    let report = run(&options).await.unwrap();
    assert_eq!((report.seed, report.entries(), report.doubts.len()), (7, Some(20), 0));
    let left = std::fs::read_to_string(options.report.clone().unwrap()).unwrap();
    assert!(left.len() <= 4096);
    assert_eq!(serde_json::from_str::<Report>(&left).unwrap(), report);
}

#[tokio::test]
async fn workers_of_a_run_without_a_seed_derive_the_same_one() {
    let parts = Parts::start(Overrides::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let spec = "{claim: AtLeastOnce, payments: {count: 2}, client: {workers: 2}}";
    let first = options(&parts, directory.path(), spec);
    let second = Options { worker: 1, ..first.clone() };
    let seeds = [run(&first).await.unwrap().seed, run(&second).await.unwrap().seed];
    assert_eq!(seeds[0], seeds[1]);
    let nameless = run(&Options { run_id: None, ..first.clone() }).await;
    assert!(matches!(nameless, Err(Error::RunId { workers: 2 })), "{nameless:?}");
}
