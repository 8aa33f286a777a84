//! Tests of operator and chart on real Kubernetes: as root, on Debian, see the README. `cargo test --package paylab-e2e -- crash`
//! runs those with that word in their names; a node is brought up only where one of its tests runs.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "errors and counts are its output")]

mod api;
mod cluster;
mod namespaced;
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let passed = [api::PROGRAM, cluster::PROGRAM, namespaced::PROGRAM].map(support::Program::run);
    if passed.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
