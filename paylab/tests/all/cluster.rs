//! `paylab report --from`: the evidence that real load pods have logged is read through the API of a scripted cluster.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Output,
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use operator::evidence::{EXPERIMENT_KEY, FORMAT, KIND, RUN_KEY, StoredRun, StoredShare, share_key};
use paylab_core::{
    judge::report::Report,
    outcome::{Outcome, Setting},
};
use paylab_part::evidence_log::{assemble, sha256};
use paylab_present::status;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::binary::{Running, command, named, printed, text};

const UID: &str = "7c1f2d9e-0000-4000-8000-000000000001";
const EXPERIMENT_PATH: &str = "/apis/paylab.dev/v1alpha1/namespaces/school/chaosexperiments/lesson";
const EVIDENCE_PATH: &str = "/api/v1/namespaces/school/configmaps/lesson-evidence";

/// The lesson that pays twice, with so many workers.
fn lesson(workers: u32) -> String {
    named(
        "lesson",
        &format!(
            "{{claim: ExactlyOnce, expect: Violated, seed: 42, minExposures: 5, payments: {{count: 60}}, \
             client: {{idempotencyKey: PerPayment, workers: {workers}}}, faults: [\
             {{name: request-lost, probability: 0.3, reset: {{at: BeforeRequest}}}}, \
             {{name: response-lost, probability: 0.3, reset: {{at: BeforeResponse}}}}]}}"
        ),
    )
}

/// What makes evidence bad.
type Change<'a> = dyn Fn(&mut Cluster) + 'a;

/// A cluster without pods: what its API has under each path.
#[derive(Debug, Clone)]
struct Cluster {
    folder: std::sync::Arc<TempDir>,
    objects: BTreeMap<&'static str, Value>,
}

impl Cluster {
    /// Runs the lesson with real parts, as the pods of a lab do, and keeps what the operator keeps.
    fn after(workers: u32, evidence_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = lesson(workers);
        fs::write(folder.path().join("lesson.yaml"), &file).unwrap();
        // In this folder, because it makes a file there.
        let mut service = command(&["payment-service", "--listen", "127.0.0.1:0"]);
        let mut service = Running::start(service.current_dir(folder.path()));
        let service_at = format!("127.0.0.1:{}", port_in(&service.line("payment service ready"), "address"));
        let proxy_options = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--upstream", &service_at];
        let mut proxy = Running::start(&mut command(&[&["reset-proxy"], &proxy_options[..]].concat()));
        let ready = proxy.line("reset proxy ready");
        let [proxy_at, control] = ["port", "control"].map(|name| format!("127.0.0.1:{}", port_in(&ready, name)));
        let loads: Vec<_> = (0..workers)
            .map(|worker| {
                let mut load = command(&["load-job", "lesson.yaml", "--run-id", UID, "--report-only"]);
                load.args(["--proxy", &proxy_at, "--control", &control, "--service", &service_at])
                    .current_dir(folder.path());
                load.env("JOB_COMPLETION_INDEX", worker.to_string());
                load.env("PAYLAB_EVIDENCE_BYTES", evidence_bytes.to_string()).env("PAYLAB_LOG_FORMAT", "json");
                load.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let ended: Vec<_> = loads.into_iter().map(|load| load.wait_with_output().unwrap()).collect();
        for part in [proxy, service] {
            part.terminate();
        }
        let report = |output: &Output| {
            serde_json::from_slice::<Report>(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(output)))
        };
        let report = ended.iter().map(report).reduce(Report::merge).unwrap();
        let shares = ended.iter().map(|output| assemble(&text(&output.stderr), UID).map_err(|error| error.to_string()));
        Self::holding(folder, &file, report, shares.collect())
    }

    fn holding(folder: TempDir, file: &str, report: Report, shares: Vec<Result<Vec<u8>, String>>) -> Self {
        let plan = paylab_resource::file::parse(file, 0).unwrap().plan;
        let outcome = Outcome::of(&plan, report, Setting { experiment: "lesson".to_owned(), ..Setting::default() });
        let mut status = json!(status::outcome(&outcome));
        status["completionTime"] = json!("2026-01-01T00:00:00Z");
        let mut experiment: Value =
            serde_json::to_value(paylab_resource::file::parse(file, 0).unwrap().resource).unwrap();
        experiment["metadata"] = json!({"name": "lesson", "namespace": "school", "uid": UID});
        experiment["status"] = status;
        let stored = StoredRun {
            kind: KIND.to_owned(),
            format: FORMAT,
            run_id: UID.to_owned(),
            made_by: "0.1.0".to_owned(),
            experiment_sha256: sha256(file.as_bytes()),
            verdict: format!("{:?}", outcome.verdict),
            report: outcome.report,
            shares: shares
                .iter()
                .map(|share| match share {
                    Ok(bytes) => StoredShare::Sha256(sha256(bytes)),
                    Err(why) => StoredShare::Missing(why.clone()),
                })
                .collect(),
        };
        let binary: BTreeMap<_, _> = shares
            .iter()
            .enumerate()
            .filter_map(|(worker, share)| Some((share_key(worker), STANDARD.encode(share.as_ref().ok()?))))
            .collect();
        let owner = json!([{"apiVersion": "paylab.dev/v1alpha1", "kind": "ChaosExperiment", "name": "lesson", "uid": UID, "controller": true}]);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "lesson-evidence", "namespace": "school", "ownerReferences": owner},
            "data": {RUN_KEY: serde_json::to_string(&stored).unwrap(), EXPERIMENT_KEY: file}, "binaryData": binary});
        let objects = [(EXPERIMENT_PATH, experiment), (EVIDENCE_PATH, map)].into();
        Self { folder: std::sync::Arc::new(folder), objects }
    }

    fn experiment(&mut self) -> &mut Value {
        self.objects.get_mut(EXPERIMENT_PATH).unwrap()
    }

    fn evidence(&mut self) -> &mut Value {
        self.objects.get_mut(EVIDENCE_PATH).unwrap()
    }

    /// Changes what the evidence says about the run.
    fn change_run(&mut self, change: impl FnOnce(&mut Value)) {
        let data = &mut self.evidence()["data"][RUN_KEY];
        let mut run = serde_json::from_str(data.as_str().unwrap()).unwrap();
        change(&mut run);
        *data = json!(run.to_string());
    }

    /// Runs `paylab report --from` with this cluster.
    fn report(&self, arguments: &[&str]) -> Output {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let objects = self.objects.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut head) = (stream.unwrap(), String::new());
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                while lines.read_line(&mut head).unwrap_or(0) > 2 {}
                let path = head.split(' ').nth(1).unwrap_or_default().trim_end_matches('?').to_owned();
                let (status, body) = match objects.get(path.as_str()) {
                    Some(object) => ("200 OK", object.clone()),
                    None => (
                        "404 Not Found",
                        json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found", "status": "Failure"}),
                    ),
                };
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        let kubeconfig = self.folder.path().join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "school"}}]});
        fs::write(&kubeconfig, config.to_string()).unwrap();
        let from = if arguments.contains(&"--from") { &[][..] } else { &["--from", "lesson"] };
        command(&[&["report"], from, arguments].concat())
            .env("KUBECONFIG", &kubeconfig)
            .env_remove("PAYLAB_NAMESPACE")
            .output()
            .unwrap()
    }

    /// The sentence with which the evidence is refused.
    fn refusal(&self) -> String {
        let html = self.folder.path().join("refused.html");
        let output = self.report(&["--report", html.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
        assert!(output.stdout.is_empty() && !html.exists(), "nothing is shown: {}", printed(&output));
        text(&output.stderr)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

fn port_in(line: &str, name: &str) -> String {
    let address = line.split_once(&format!("{name}=")).unwrap().1.split(' ').next().unwrap();
    address.rsplit(':').next().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(path)).unwrap()
}

#[test]
fn an_experiment_on_a_cluster_is_reported_and_explained_without_its_pods() {
    for workers in [1, 3] {
        let cluster = Cluster::after(workers, 200_000);
        let shown = cluster.report(&[]);
        assert_eq!(shown.status.code(), Some(0), "{}", printed(&shown));
        assert!(text(&shown.stdout).contains("VIOLATED ExactlyOnce"), "{}", printed(&shown));
        let [html, markdown, evidence] = ["report.html", "report.md", "evidence"].map(|name| cluster.path(name));
        let made = cluster.report(&[
            "--report",
            &html,
            "--markdown",
            &markdown,
            "--evidence",
            &evidence,
            "--namespace",
            "school",
        ]);
        assert_eq!((made.status.code(), text(&made.stdout)), (Some(0), String::new()), "{}", printed(&made));
        let (html, markdown) = (read(&html), read(&markdown));
        for expected in ["The guilty request", "Booked twice", "<svg"] {
            assert!(html.contains(expected), "{workers} workers: the page lacks {expected}");
        }
        assert!(markdown.contains("What happened to it"), "{markdown}");
        // What was kept in a directory is evidence as that of a run on this machine.
        let outcome: Value = serde_json::from_str(&read(&format!("{evidence}/outcome.json"))).unwrap();
        let rows = outcome["chronicle"]["matrix"]["rows"].as_object().unwrap();
        assert_eq!(rows.values().map(|row| row["all"]["payments"].as_u64().unwrap()).sum::<u64>(), 60);
        let broken = outcome["report"]["anomalies"]["Duplicated"]["first"][0]["payment"].to_string();
        let told = command(&["explain", &evidence, &broken]).output().unwrap();
        assert!(text(&told.stdout).contains("the ledger says: paid"), "{}", printed(&told));
    }
}

#[test]
fn evidence_that_does_not_fit_is_cut_and_says_how_much_is_left_out() {
    let mut cluster = Cluster::after(1, 3_000);
    let bytes = STANDARD.decode(cluster.evidence()["binaryData"][share_key(0)].as_str().unwrap()).unwrap();
    assert!(bytes.len() <= 3_000, "{} bytes", bytes.len());
    let evidence = cluster.path("evidence");
    assert_eq!(cluster.report(&["--evidence", &evidence]).status.code(), Some(0));
    let outcome: Value = serde_json::from_str(&read(&format!("{evidence}/outcome.json"))).unwrap();
    let left_out = outcome["chronicle"]["brokenLeftOut"].as_u64().unwrap();
    assert!((1..outcome["report"]["ledger"]["duplicated"].as_u64().unwrap()).contains(&left_out), "{left_out}");
}

#[test]
fn a_worker_without_evidence_is_named_and_nothing_is_counted_without_it() {
    let mut cluster = Cluster::after(2, 200_000);
    cluster.change_run(|run| {
        run["shares"][1] = json!({"missing": "the log of pod lesson-load-job-1 has no evidence of the run"})
    });
    let html = cluster.path("report.html");
    let output = cluster.report(&["--report", &html]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let html = read(&html);
    assert!(
        html.contains("1 of 2 workers have left no evidence of single attempts"),
        "the page does not say what is missing"
    );
    assert!(!html.contains("Booked twice</th>"), "the page counts what it does not know");
}

#[test]
fn what_is_no_whole_evidence_of_the_run_is_refused_with_a_sentence() {
    let whole = Cluster::after(1, 200_000);
    let refused = |change: &Change<'_>| {
        let mut cluster = whole.clone();
        change(&mut cluster);
        cluster.refusal()
    };
    let share = share_key(0);
    let cases: [(&Change<'_>, &str); 12] = [
        (
            &|it| drop(it.objects.remove(EXPERIMENT_PATH)),
            "the namespace school has no experiment lesson; `kubectl get payx --all-namespaces` lists all",
        ),
        (&|it| drop(it.experiment()["status"].take()), "has not ended yet"),
        (
            &|it| it.experiment()["status"] = json!({"phase": "Failed", "message": "FAILED: no image; nothing is claimed.", "completionTime": "2026-01-01T00:00:00Z"}),
            "has ended before its load began, so there is no evidence: FAILED: no image",
        ),
        (
            &|it| drop(it.objects.remove(EVIDENCE_PATH)),
            "has a verdict and no evidence: there is no ConfigMap lesson-evidence",
        ),
        (
            &|it| it.evidence()["metadata"]["ownerReferences"][0]["uid"] = json!("other"),
            "is not the owner of the ConfigMap lesson-evidence",
        ),
        (
            &|it| it.change_run(|run| run["format"] = json!(2)),
            "has format 2, and this version of paylab reads formats up to 1; use a newer version",
        ),
        (&|it| it.experiment()["status"]["runId"] = json!("another"), "is of another run"),
        (
            &|it| it.experiment()["status"]["verdict"] = json!("Upheld"),
            "says Violated, and the experiment's status says Upheld",
        ),
        (
            &|it| it.experiment()["status"]["payments"]["duplicated"] = json!(1),
            "has other totals than the experiment's status",
        ),
        (&|it| drop(it.evidence()["binaryData"].take()), "is cut: it lacks share-0.ndjson.zst"),
        (
            &|it| it.evidence()["binaryData"][share.as_str()] = json!("AAAA"),
            "was changed: share-0.ndjson.zst has another checksum",
        ),
        (
            &|it| it.evidence()["data"][EXPERIMENT_KEY] = json!(lesson(2)),
            "was changed: experiment.yaml is not the experiment of this run",
        ),
    ];
    for (change, expected) in cases {
        let refusal = refused(change);
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
    let cut = refused(&|it| {
        let text = it.evidence()["data"][RUN_KEY].as_str().unwrap()[..100].to_owned();
        it.evidence()["data"][RUN_KEY] = json!(text);
    });
    assert!(cut.contains("cannot be read (run.json: EOF"), "{cut}");
}

#[test]
fn a_cluster_that_cannot_be_asked_is_no_verdict_about_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("absent");
    let mut report = command(&["report", "--from", "lesson"]);
    let output = report.env("KUBECONFIG", kubeconfig).env_remove("KUBERNETES_SERVICE_HOST").output().unwrap();
    assert_eq!(output.status.code(), Some(70), "{}", printed(&output));
    assert!(text(&output.stderr).contains("no cluster is configured"), "{}", printed(&output));
}
