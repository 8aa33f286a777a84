//! The first signal ends a command in order, a second one at once, and neither leaves anything behind.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::binary::{Running, ask, experiment, named, root};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// The binary as a terminal starts it. Whatever `nohup` has started would hand on to it that SIGHUP is ignored.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_paylab")]).args(arguments);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// A run whose requests are held by the proxy.
struct Held {
    running: Running,
    control: u16,
    /// Where temporary ledgers are.
    temporary: TempDir,
}

fn held_for(time: &str) -> String {
    format!(
        "{{claim: ExactlyOnce, seed: 1, payments: {{count: 20}}, client: {{retry: {{attemptTimeout: 60s}}}}, \
         faults: [{{name: held, probability: 1, delay: {{at: BeforeRequest, for: {time}}}}}]}}"
    )
}

impl Held {
    /// Starts it, and returns when its requests are in flight.
    fn start(time: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("held.yaml");
        fs::write(&file, experiment(&held_for(time))).unwrap();
        Self::start_with(&mut command(&["run", file.to_str().unwrap(), "--log", "info"]))
    }

    fn start_with(command: &mut Command) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut running = Running::start(command.env("TMPDIR", temporary.path()));
        let control = running.logged("reset proxy ready", "control");
        let held = Self { running, control, temporary };
        let begun = Instant::now();
        while held.in_flight() == 0 {
            assert!(begun.elapsed() < PATIENCE, "no request is in flight");
            thread::sleep(LOOK_PAUSE);
        }
        assert_eq!(entries(held.temporary.path()), 1, "the ledger's folder");
        held
    }

    fn in_flight(&self) -> u64 {
        let request = "GET /paylab/counters HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = ask(&format!("127.0.0.1:{}", self.control), request);
        let counters: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        counters["in_flight"].as_u64().unwrap()
    }
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn every_first_signal_ends_a_run_in_order() {
    let runs: Vec<_> = ["HUP", "TERM", "INT"].map(|signal| (signal, Held::start("2s"))).into_iter().collect();
    for (signal, held) in &runs {
        held.running.signal(signal);
    }
    for (signal, held) in runs {
        let Held { running, control: _, temporary } = held;
        let (code, log) = running.end();
        let told = log.iter().find(|line| line.contains("waiting for the requests in flight"));
        let second = if signal == "INT" { "a second ^C ends it at once" } else { "a second SIGTERM ends it at once" };
        assert!(told.is_some_and(|line| line.contains(second)), "{signal}: {log:?}");
        assert_eq!((code, entries(temporary.path())), (Some(2), 0), "{signal}: {log:?}");
    }
}

#[test]
fn a_second_signal_ends_a_run_at_once_and_the_ledger_is_removed() {
    for (first, second, code) in [("INT", "INT", 130), ("TERM", "TERM", 143), ("HUP", "INT", 130)] {
        let mut held = Held::start("30s");
        held.running.signal(first);
        held.running.line("waiting for the requests in flight");
        held.running.signal_until_end(second);
        let (ended, log) = held.running.end();
        assert_eq!((ended, entries(held.temporary.path())), (Some(code), 0), "{first} {second}: {log:?}");
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one_request() {
    let held = Held::start("2s");
    let id = held.running.child.id().to_string();
    let sent = Command::new("sh").args(["-c", "kill -s TERM $1; kill -s INT $1; kill -s TERM $1", "sh", &id]).status();
    assert!(sent.unwrap().success());
    let (code, log) = held.running.end();
    assert_eq!(code, Some(2), "{log:?}");
}

#[test]
fn a_second_hang_up_changes_nothing() {
    let mut held = Held::start("2s");
    held.running.signal("HUP");
    held.running.line("waiting for the requests in flight");
    held.running.signal("HUP");
    assert_eq!(held.running.end().0, Some(2));
}

#[test]
fn a_hang_up_that_is_ignored_from_the_start_stays_ignored() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("held.yaml");
    fs::write(&file, experiment(&held_for("500ms"))).unwrap();
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_paylab")]);
    let held = Held::start_with(nohup.args(["run", file.to_str().unwrap(), "--log", "info"]));
    held.running.signal("HUP");
    let (code, log) = held.running.end();
    // Nothing put the claim to the test, which is why there is no verdict; but the load was not stopped.
    let told = log.iter().any(|line| line.contains("waiting for"));
    assert!(!told && code.is_some_and(|code| code <= 2), "{code:?} {log:?}");
}

#[test]
fn experiments_that_a_signal_keeps_from_running_are_told() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("held.yaml");
    fs::write(&file, ["a", "b", "c"].map(|name| named(name, &held_for("2s"))).join("---\n")).unwrap();
    let held = Held::start_with(&mut command(&["run", file.to_str().unwrap(), "--log", "info"]));
    held.running.signal("TERM");
    let (code, log) = held.running.end();
    assert!(log.iter().any(|line| line.ends_with("paylab: 2 of 3 experiments were not run")), "{log:?}");
    assert_eq!(code, Some(2));
}

#[test]
fn a_part_that_waits_for_its_connections_ends_at_once_on_a_second_signal() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("l.db").display());
    for (signals, code) in [(&["TERM"][..], 0), (&["TERM", "TERM"], 143), (&["HUP", "INT"], 130)] {
        let mut service =
            Running::start(&mut command(&["payment-service", "--listen", "127.0.0.1:0", "--database", &database]));
        let ready = service.line("payment service ready");
        let address = ready.split("address=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let mut half = TcpStream::connect(address).unwrap();
        half.write_all(b"POST /payments/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .unwrap();
        // The service has begun to read the body: a connection on which it has read nothing does not hold it.
        half.read_exact(&mut [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()]).unwrap();
        let begun = Instant::now();
        service.signal(signals[0]);
        service.line("waiting for what is in flight");
        match signals.get(1) {
            Some(second) => service.signal_until_end(second),
            None => drop(half),
        }
        let (ended, log) = service.end();
        assert_eq!(ended, Some(code), "{signals:?} after {:?}: {log:?}", begun.elapsed());
    }
}
