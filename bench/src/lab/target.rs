//! The load's CPU time when it pays by a contract, compared with Paylab's own wire to the same service.

use super::lab_run::{Wire, run_by};
use crate::{
    samples::{Samples, rotated},
    settings::Settings,
};

/// The payments of one run; the lesson makes about twice as many attempts.
const PAYMENTS: u32 = 10_000;
const CONCURRENCY: u32 = 64;

/// Measures both, interleaved, and prints the ratio of the rounds.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let mut samples = Samples::new(settings.samples.as_deref());
    for round in 0..settings.rounds {
        for wire in rotated(&[Wire::Own, Wire::Contract], round) {
            let run = run_by(&settings.paylab, PAYMENTS, CONCURRENCY, wire)?;
            samples.record(wire.name(), "attempts", run.attempts)?;
            samples.record(wire.name(), "load_us", run.load.cpu_s * 1e6 / run.attempts)?;
        }
    }
    println!("### A contract, {PAYMENTS} payments, {CONCURRENCY} in flight, {} rounds, medians\n", settings.rounds);
    println!("| wire | attempts | load us per attempt | / own |");
    println!("|---|---|---|---|");
    for wire in [Wire::Own, Wire::Contract].map(Wire::name) {
        println!(
            "| {wire} | {:.0} | {:.1} | {:.2} |",
            samples.median(wire, "attempts"),
            samples.median(wire, "load_us"),
            samples.ratio(wire, Wire::Own.name(), "load_us"),
        );
    }
    println!();
    Ok(())
}
