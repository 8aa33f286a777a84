//! What `paylab` has started ends with it: when it is killed and can do nothing any more, and when it is interrupted while a service starts.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::binary::{Running, command, experiment};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(LOOK_PAUSE);
    }
}

/// The state of a process and its parent; `None`: there is none any more.
fn state_and_parent(process: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Whether a process has ended. One for which nobody has waited yet has ended too.
fn has_ended(process: u32) -> bool {
    state_and_parent(process).is_none_or(|(state, _)| state == "Z" || state == "X")
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes.filter(|process| state_and_parent(*process).is_some_and(|(_, of)| of == parent)).collect()
}

fn is_service(process: u32) -> bool {
    let line = fs::read_to_string(format!("/proc/{process}/cmdline"));
    // A shell has the whole command in one argument.
    line.is_ok_and(|line| line.split('\0').nth(1) == Some("payment-service"))
}

/// Payments that meet faults, one after the other, for a minute.
fn long(service: &str, fault: &str) -> String {
    let claim = if service == OURS { "ExactlyOnce" } else { "ExactTotal" };
    experiment(&format!(
        "{{claim: {claim}, seed: 42, payments: {{count: 600}}, client: {{idempotencyKey: PerPayment, concurrency: 1}}, {service}, \
         faults: [{{name: fault, probability: 0.2, {fault}}}]}}"
    ))
}

const OURS: &str = "service: {dedup: UniqueKey, processingTime: 100ms}";
const THEIRS: &str = "target: {url: \"http://127.0.0.1:9\", pay: {post: /payments/, json: {src: \"{from}\", dest: \"{to}\", amount: \
                      \"{amount.decimal}\"}, headers: {Idempotency-Key: \"{key}\"}, answers: [{status: [208], means: Repeat}]}, \
                      ledger: {total: {get: /stats, major: \"$\"}}}";
const KILLS: &str = "kill: {at: BeforeResponse}";
const RESETS: &str = "reset: {at: BeforeResponse}";

fn start(folder: &Path, spec: &str, more: &[&str]) -> Running {
    let file = folder.join("x.yaml");
    fs::write(&file, spec).unwrap();
    let arguments = [&["run", file.to_str().unwrap(), "--quiet"], more].concat();
    Running::start(command(&arguments).env("TMPDIR", folder).stdin(Stdio::null()))
}

/// A service that starts another process, which does not listen to anybody, and writes its number into a file.
fn with_a_child(folder: &Path) -> String {
    let (program, path) = (env!("CARGO_BIN_EXE_paylab"), folder.display());
    format!(
        "(trap '' TERM HUP INT; exec sleep 600) & echo $! > {path}/child.new; mv {path}/child.new {path}/child; {program} payment-service \
         --dedup UniqueKey --processing-time 100ms --database sqlite:{path}/ledger.db --listen 127.0.0.1:$PORT"
    )
}

fn written(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[test]
fn a_service_does_not_outlive_paylab_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path(), &long(OURS, KILLS), &[]);
    let paylab = running.child.id();
    let mut started = Vec::new();
    wait_until("a service and its guard", || {
        started = children_of(paylab);
        started.len() >= 2 && started.iter().any(|process| is_service(*process))
    });
    running.signal("KILL");
    running.child.wait().unwrap();
    wait_until("the end of the service and of the guard", || started.iter().all(|process| has_ended(*process)));
}

#[test]
fn all_that_a_command_has_started_ends_with_paylab_that_is_killed() {
    for fault in [KILLS, RESETS] {
        let folder = tempfile::tempdir().unwrap();
        let mut running =
            start(folder.path(), &long(THEIRS, fault), &["--target-command", &with_a_child(folder.path())]);
        let paylab = running.child.id();
        let mut started = Vec::new();
        wait_until("the command and what it starts", || {
            started = children_of(paylab);
            started.extend(started.clone().into_iter().flat_map(children_of));
            started.iter().any(|process| is_service(*process)) && folder.path().join("child").exists()
        });
        started.extend(written(&folder.path().join("child")));
        assert!(started.len() >= 4, "{fault}: the guard, the shell, the service and the other one: {started:?}");
        running.signal("KILL");
        running.child.wait().unwrap();
        wait_until(fault, || started.iter().all(|process| has_ended(*process)));
    }
}

#[test]
fn a_signal_is_heard_while_a_service_starts_and_nothing_of_it_is_left() {
    for (arguments, fault) in [
        (&["run"][..], KILLS),
        (&["run"], RESETS),
        (&["gauntlet", "--only", "killed"], RESETS),
        (&["shrink"], RESETS),
        (&["check"], RESETS),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (file, started) = (folder.path().join("x.yaml"), folder.path().join("started"));
        fs::write(&file, long(THEIRS, fault)).unwrap();
        // It never answers.
        let never = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", started.display());
        let target = [file.to_str().unwrap(), "--target-command", &never];
        let mut running = Running::start(&mut command(&[arguments, &target].concat()));
        wait_until("its start", || started.exists());
        let asked = Instant::now();
        running.signal("INT");
        running.line("interrupted before the service had started; nothing was run");
        let (code, log) = running.end();
        assert_eq!(code, Some(2), "{arguments:?}: {log:?}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{arguments:?} took {:?}", asked.elapsed());
        assert!(has_ended(written(&started).unwrap()), "{arguments:?}");
    }
}

#[test]
fn a_signal_is_heard_while_a_killed_service_does_not_serve_again_and_nothing_of_it_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (program, path) = (env!("CARGO_BIN_EXE_paylab"), folder.path().display());
    // It serves the first time only.
    let once = format!(
        "if [ -e {path}/first ]; then echo $$ > {path}/again.new; mv {path}/again.new {path}/again; exec sleep 600; fi; touch {path}/first; \
         exec {program} payment-service --dedup UniqueKey --database sqlite:{path}/ledger.db --listen 127.0.0.1:$PORT"
    );
    let running = start(folder.path(), &long(THEIRS, KILLS), &["--target-command", &once]);
    let again = folder.path().join("again");
    wait_until("its second start", || again.exists());
    let asked = Instant::now();
    running.signal("INT");
    let (code, log) = running.end();
    assert_eq!(code, Some(2), "{log:?}");
    // Otherwise it would be waited for for a minute.
    assert!(asked.elapsed() < Duration::from_secs(40), "it took {:?}", asked.elapsed());
    assert!(has_ended(written(&again).unwrap()), "{log:?}");
}

#[test]
fn a_service_that_ends_by_itself_while_it_is_paid_is_told_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let (program, path) = (env!("CARGO_BIN_EXE_paylab"), folder.path().display());
    let dies = format!(
        "timeout --signal=KILL 3 {program} payment-service --dedup UniqueKey --processing-time 100ms --database sqlite:{path}/ledger.db \
         --listen 127.0.0.1:$PORT; echo last words; exit 3"
    );
    let spec = format!(
        "{{claim: ExactTotal, seed: 42, payments: {{count: 200}}, client: {{concurrency: 2, idempotencyKey: PerPayment, retry: {{maxAttempts: 1}}}}, {THEIRS}}}"
    );
    let mut running = start(folder.path(), &experiment(&spec), &["--target-command", &dies]);
    running.line("--target-command: your service has ended by itself (exit status: 3); its output ends with:");
    running.line("last words");
    running.end();
}

#[test]
fn a_supervisor_is_stopped_while_its_service_starts() {
    let mut supervise =
        command(&["supervise", "--listen", "127.0.0.1:0", "--serves", "127.0.0.1:9", "--", "sleep", "600"]);
    let mut running = Running::start(supervise.env("PAYLAB_SUPERVISOR_TOKEN", "secret"));
    let supervisor = running.child.id();
    let is_sleep =
        |process: &u32| fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name == "sleep\n");
    let mut started = Vec::new();
    wait_until("the command", || {
        started = children_of(supervisor);
        started.iter().any(is_sleep)
    });
    running.signal("TERM");
    running.line("interrupted before the service had started");
    running.child.wait().unwrap();
    wait_until("the end of the command", || started.iter().all(|process| has_ended(*process)));
}

#[test]
fn the_guard_ends_the_groups_that_are_left_when_its_input_is_closed() {
    use std::{io::Write as _, os::unix::process::CommandExt as _};

    let mut sleeps: Vec<_> =
        (0..2).map(|_| Command::new("sleep").arg("600").process_group(0).spawn().unwrap()).collect();
    let mut guard = command(&["guard"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = guard.stdin.take().unwrap();
    let [ended, left] = [0, 1].map(|index| sleeps[index].id());
    write!(input, "+{ended}\n+{left}\n-{ended}\n").unwrap();
    drop(input);
    assert!(guard.wait().unwrap().success());
    assert!(sleeps[1].wait().unwrap().code().is_none(), "it was killed");
    assert!(!has_ended(ended), "it is no business of the guard's any more");
    sleeps[0].kill().unwrap();
    sleeps[0].wait().unwrap();
}
