//! Tests of totals: they are the same as on one machine, to the cent, however many pods and databases there are.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use operator::evidence::fetch_with;
use paylab::{
    commands::{report::page_of, run::measure},
    lab::Database,
};
use paylab_core::outcome::Setting;
use paylab_e2e::Node;
use paylab_present::status;
use paylab_resource::file;
use paylab_testbed::postgres::{Durability, postgres};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{Namespace, Test, condition, example, experiment, message, slow_experiment};

pub(crate) const TESTS: &[Test] = &[
    ("the_four_lessons_have_the_same_status_as_on_one_machine", the_four_lessons),
    ("three_workers_have_the_same_totals_as_one", three_workers),
    ("two_replicas_on_postgresql_pay_exactly_once", two_replicas),
    ("ten_experiments_at_once_have_their_own_totals", ten_at_once),
    ("progress_is_reported_while_the_load_runs", progress),
    ("the_report_of_an_experiment_is_made_when_its_pods_are_gone", report_without_pods),
    ("an_experiment_without_a_seed_can_be_repeated_with_the_seed_it_drew", drawn_seed),
];

/// What `paylab run --output json` prints for this file.
fn run_locally(text: &str) -> Value {
    let plan = file::parse(text, 0).unwrap().plan;
    json!(status::outcome(&measure(&plan, &Database::Temporary, Setting::default()).unwrap()))
}

/// A status without the fields that only a cluster has, and without the run id.
pub(super) fn comparable(mut status: Value) -> Value {
    for field in ["runId", "observedGeneration", "startTime", "completionTime", "conditions"] {
        status.as_object_mut().unwrap().remove(field);
    }
    status
}

/// Entries, lost and duplicated payments, attempts, and repeats.
fn totals(status: &Value) -> [i64; 5] {
    [
        &status["ledger"]["entries"],
        &status["payments"]["lost"],
        &status["payments"]["duplicated"],
        &status["attempts"]["total"],
        &status["attempts"]["repeats"],
    ]
    .map(|total| total.as_i64().unwrap_or(-1))
}

fn the_four_lessons(node: &Node) {
    let ns = Namespace::restricted(node, "lessons");
    let lessons = [
        ("pay-too-little", [695, 305, 0, 1000, 0]),
        ("never-pay-too-little", [1455, 0, 329, 2079, 0]),
        ("avoid-paying-twice", [1455, 0, 329, 2079, 0]),
        ("pay-exactly-once", [1000, 0, 0, 2079, 329]),
    ];
    for (lesson, _) in lessons {
        ns.apply(&example(lesson));
    }
    for (lesson, expected) in lessons {
        ns.kubectl(&["wait", "--for=condition=Verified", "--timeout=2m", &format!("payx/{lesson}")]);
        let status = ns.final_status(lesson);
        assert_eq!(totals(&status), expected, "{lesson}: {}", message(&status));
        assert_eq!(comparable(status), comparable(run_locally(&example(lesson))), "{lesson}");
    }
    ns.wait_until_no_lab_objects();
}

fn three_workers(node: &Node) {
    let ns = Namespace::restricted(node, "workers");
    ns.apply(&experiment("three", "  expect: Violated\n  client: {workers: 3, retry: {attemptTimeout: 30s}}\n"));
    let status = ns.final_status("three");
    assert_eq!(totals(&status), [1455, 0, 329, 2079, 0], "{}", message(&status));
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
}

fn two_replicas(node: &Node) {
    let ns = Namespace::restricted(node, "replicas");
    let server = postgres(Durability::Fast).expect("this test needs PostgreSQL");
    let (before, rest) = server.url().split_once('@').unwrap();
    let (host, database) = rest.split_once('/').unwrap();
    let forwarded = forward(node.gateway(), host.parse().unwrap()).unwrap();
    let url = format!("{before}@{forwarded}/{database}");
    ns.kubectl(&["create", "secret", "generic", "ledger", &format!("--from-literal=url={url}")]);
    let service = |dedup| {
        format!("service: {{dedup: {dedup}, replicas: 2, database: {{secretKeyRef: {{name: ledger, key: url}}}}}}")
    };
    let client = "client: {idempotencyKey: PerPayment, retry: {attemptTimeout: 30s}}";
    ns.apply(&experiment("unique-key", &format!("  {client}\n  {}\n", service("UniqueKey"))));
    ns.apply(&experiment("memory", &format!("  expect: Violated\n  {client}\n  {}\n", service("Memory"))));
    let unique = ns.final_status("unique-key");
    assert_eq!(
        (totals(&unique), unique["verdict"].as_str()),
        ([1000, 0, 0, 2079, 329], Some("Upheld")),
        "{}",
        message(&unique)
    );
    // Each of the two replicas remembers only the keys of its own requests, so it books repeats of the other's.
    let memory = ns.final_status("memory");
    assert_eq!(memory["verdict"], "Violated", "{}", message(&memory));
}

/// Forwards connections from a port of `host`, which the node's pods can reach, to `target`, until this process ends.
fn forward(host: IpAddr, target: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((host, 0))?;
    let forwarded = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(target) else { continue };
            let (Ok(client_reader), Ok(server_writer)) = (client.try_clone(), server.try_clone()) else { continue };
            thread::spawn(move || copy(client_reader, server_writer));
            thread::spawn(move || copy(server, client));
        }
    });
    Ok(forwarded)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn ten_at_once(node: &Node) {
    let ns = Namespace::restricted(node, "ten");
    let documents: Vec<_> = (0..10)
        .map(|n| {
            let (name, dedup) = (format!("exp-{n}"), if n % 2 == 0 { "None" } else { "UniqueKey" });
            let expect = if n % 2 == 0 { "Violated" } else { "Upheld" };
            let spec = format!(
                "  expect: {expect}\n  client: {{idempotencyKey: PerPayment, retry: {{attemptTimeout: 30s}}}}\n  service: {{dedup: {dedup}}}\n"
            );
            experiment(&name, &spec)
        })
        .collect();
    ns.apply(&documents.join("\n---\n"));
    for n in 0..10 {
        let status = ns.final_status(&format!("exp-{n}"));
        let expected = if n % 2 == 0 { [1455, 0, 329, 2079, 0] } else { [1000, 0, 0, 2079, 329] };
        assert_eq!(totals(&status), expected, "exp-{n}: {}", message(&status));
        assert_eq!(condition(&status, "Verified"), Some("True"));
    }
    ns.wait_until_no_lab_objects();
}

fn progress(node: &Node) {
    let ns = Namespace::restricted(node, "progress");
    ns.apply(&slow_experiment("slow", ""));
    let first = ns.status_under_load("slow");
    assert_eq!((first["phase"].as_str(), first["progress"]["payments"].as_i64()), (Some("Loading"), Some(600)));
    assert!(first["verdict"].is_null(), "{first}");
    let acknowledged = |status: &Value| status["progress"]["acknowledged"].as_i64().unwrap_or_default();
    let later = ns.status_when("slow", |status| acknowledged(status) > acknowledged(&first));
    assert!(later["progress"]["attempts"].as_i64() > first["progress"]["attempts"].as_i64(), "{later}");
    ns.kubectl(&["delete", "payx", "slow"]);
}

fn drawn_seed(node: &Node) {
    let ns = Namespace::restricted(node, "drawn");
    let drawn =
        experiment("drawn", "  expect: Violated\n  client: {retry: {attemptTimeout: 30s}}\n  payments: {count: 200}\n")
            .replace("  seed: 42\n", "");
    ns.apply(&drawn);
    let status = ns.final_status("drawn");
    let seed = status["seed"].as_i64().unwrap();
    let again = run_locally(&drawn.replace("  claim:", &format!("  seed: {seed}\n  claim:")));
    assert_eq!(comparable(status), comparable(again));
}

/// Its lab is removed, and so are the pods and their logs; the evidence that they have left is removed with the experiment.
fn report_without_pods(node: &Node) {
    let ns = Namespace::restricted(node, "evidence");
    for workers in [1, 3] {
        let name = format!("told-{workers}");
        let spec = format!(
            "  expect: Violated\n  retain: Never\n  client: {{workers: {workers}, retry: {{attemptTimeout: 30s}}}}\n"
        );
        ns.apply(&experiment(&name, &spec));
        let status = ns.final_status(&name);
        assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
        ns.wait_until_no_lab_objects();
        let fetched = Runtime::new().unwrap().block_on(async {
            let kubeconfig = Kubeconfig::read_from(node.kubeconfig()).unwrap();
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            fetch_with(Client::try_from(config).unwrap(), &name, ns.name()).await.unwrap()
        });
        assert!(
            fetched.shares.len() == workers && fetched.shares.iter().all(Result::is_ok),
            "{:?}",
            fetched.run.shares
        );
        let page = page_of(fetched).unwrap();
        for expected in ["The guilty request", "<svg", "Booked twice", "329"] {
            assert!(page.contains(expected), "{name}: the page lacks {expected}");
        }
        assert!(page.len() <= 300_000 && !page.contains("have left no evidence"), "{name}: {} bytes", page.len());
        ns.kubectl(&["delete", "payx", &name, "--timeout=60s"]);
        let evidence = format!("configmap/{name}-evidence");
        ns.kubectl(&["wait", "--for=delete", &evidence, "--timeout=60s"]);
    }
}
