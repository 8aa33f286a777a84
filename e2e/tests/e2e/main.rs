//! Tests of the operator and the chart on real Kubernetes, which need root and Debian; see the README. `cargo test --package
//! paylab-e2e -- crash` runs the tests with that word in their names. A node is started only when one of its tests runs.
#![expect(clippy::unwrap_used, reason = "a test fails at the first error")]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "errors, durations and counts are its output")]

mod api;
mod cluster;
mod ipv6;
mod lanes;
mod namespaced;
mod support;

use std::process::ExitCode;

use self::lanes::Lane;

/// The lanes run at the same time, because a node waits for most of its time; the suites of one run one after another. They take about as long.
const LANES: &[Lane] = &[
    Lane { name: "one", suites: &[cluster::SUITE, ipv6::SUITE] },
    Lane { name: "other", suites: &[api::SUITE, namespaced::SUITE] },
];

fn main() -> ExitCode {
    let passed = match lanes::chosen(LANES) {
        Some(lane) => !lane.suites.iter().map(|suite| suite.run()).collect::<Vec<_>>().contains(&false),
        None => lanes::run_each(LANES),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
