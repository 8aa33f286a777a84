//! Tests of the operator and the chart on real Kubernetes, which need root and Debian; see the README. `cargo test --package
//! paylab-e2e -- crash` runs the tests with that word in their names. A node is started only when one of its tests runs.
#![expect(clippy::unwrap_used, reason = "a test fails at the first error")]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "errors, durations and counts are its output")]

mod api;
mod cluster;
mod ipv6;
mod namespaced;
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let passed = [api::SUITE, cluster::SUITE, namespaced::SUITE, ipv6::SUITE].map(support::Suite::run);
    if passed.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
