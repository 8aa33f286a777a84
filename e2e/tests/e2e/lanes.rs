//! Runs suites at the same time, each lane in a process of its own, and shows their output line by line. It must not know what they test.

use std::{
    env,
    io::{BufRead as _, BufReader, Read},
    process::{Command, Stdio},
    thread,
};

use crate::support::Suite;

/// Names the lane that this process runs.
const LANE_ENV: &str = "PAYLAB_E2E_LANE";

/// Suites that run one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) suites: &'static [Suite],
}

/// The lane that this process is to run, unless it is the one that starts them.
pub(crate) fn chosen(lanes: &[Lane]) -> Option<Lane> {
    let name = env::var(LANE_ENV).ok()?;
    let lane = lanes.iter().find(|lane| lane.name == name);
    Some(*lane.unwrap_or_else(|| panic!("{LANE_ENV}: there is no lane {name}")))
}

/// Runs every lane with the arguments of this process; true when all tests passed.
pub(crate) fn run_each(lanes: &[Lane]) -> bool {
    let program = env::current_exe().unwrap();
    thread::scope(|scope| {
        let lanes: Vec<_> = lanes
            .iter()
            .map(|lane| {
                let mut command = Command::new(&program);
                command.args(env::args_os().skip(1)).env(LANE_ENV, lane.name);
                let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
                scope.spawn(move || show(stdout, |line| println!("{}: {line}", lane.name)));
                scope.spawn(move || show(stderr, |line| eprintln!("{}: {line}", lane.name)));
                child
            })
            .collect();
        let ended: Vec<_> = lanes.into_iter().map(|mut child| child.wait().unwrap().success()).collect();
        !ended.contains(&false)
    })
}

/// Shows each line whole, so that those of two lanes do not mix.
fn show(output: impl Read, print: impl Fn(&str)) {
    for line in BufReader::new(output).split(b'\n') {
        print(&String::from_utf8_lossy(&line.unwrap()));
    }
}
