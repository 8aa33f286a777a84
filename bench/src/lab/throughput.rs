//! Attempts per second and CPU time of each part, compared with the TCP baseline.

use super::{
    lab_run::{LabRun, run},
    tcp_baseline,
};
use crate::{
    samples::{Samples, rotated},
    settings::Settings,
};

/// The payments of one run; the lesson makes about twice as many attempts.
const PAYMENTS: u32 = 10_000;
/// The exchanges of one run of the TCP baseline.
const EXCHANGES: u32 = 20_000;
const CONCURRENCIES: [u32; 2] = [1, 64];
const BASELINE: &str = "TCP baseline";

/// Measures with 1 and with 64 payments in flight, and prints the ratio to the baseline of the same round.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<()> {
    let mut samples = Samples::new(settings.samples.as_deref());
    for round in 0..settings.rounds {
        for variant in rotated(&[None, Some(CONCURRENCIES[0]), Some(CONCURRENCIES[1])], round) {
            match variant {
                None => samples.record(BASELINE, "cpu_us", tcp_baseline::cpu_us(EXCHANGES)?)?,
                Some(concurrency) => {
                    record_lab(&mut samples, &run(&settings.paylab, PAYMENTS, concurrency)?, concurrency)?
                }
            }
        }
    }
    println!("### The whole lab, {PAYMENTS} payments, {} rounds, medians\n", settings.rounds);
    println!("| in flight | attempts/s | load us | proxy us | service us | lab us per attempt | / TCP baseline |");
    println!("|---|---|---|---|---|---|---|");
    for concurrency in CONCURRENCIES.map(|concurrency| concurrency.to_string()) {
        let median = |measure| samples.median(&concurrency, measure);
        println!(
            "| {concurrency} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} |",
            median("attempts_per_s"),
            median("load_us"),
            median("proxy_us"),
            median("service_us"),
            median("cpu_us"),
            samples.ratio(&concurrency, BASELINE, "cpu_us"),
        );
    }
    println!("\nTCP baseline: {:.0} us of CPU per exchange through a relay.\n", samples.median(BASELINE, "cpu_us"));
    Ok(())
}

fn record_lab(samples: &mut Samples, run: &LabRun, concurrency: u32) -> anyhow::Result<()> {
    let variant = concurrency.to_string();
    let each_us = |cpu_s: f64| cpu_s * 1e6 / run.attempts;
    samples.record(&variant, "attempts_per_s", run.attempts / run.load.wall_s)?;
    samples.record(&variant, "load_us", each_us(run.load.cpu_s))?;
    samples.record(&variant, "proxy_us", each_us(run.proxy_cpu_s))?;
    samples.record(&variant, "service_us", each_us(run.service_cpu_s))?;
    samples.record(&variant, "cpu_us", each_us(run.load.cpu_s + run.proxy_cpu_s + run.service_cpu_s))
}
