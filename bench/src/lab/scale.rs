//! Time for each payment and memory of the parts, for a thousand to a million payments.

use super::lab_run::run;
use crate::{samples::Samples, settings::Settings};

/// The payments in flight.
const CONCURRENCY: u32 = 64;
/// The default sizes, from small to large.
pub(crate) const PAYMENTS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// The size that the largest one is compared with.
const REFERENCE: u32 = 10_000;
/// Sizes up to this one are measured in every round, larger ones once.
const EVERY_ROUND_MAX: u32 = 100_000;

pub(crate) fn measure(settings: &Settings, sizes: &[u32]) -> anyhow::Result<()> {
    let mut samples = Samples::new(settings.samples.as_deref());
    for round in 0..settings.rounds {
        for payments in sizes.iter().copied().filter(|payments| round == 0 || *payments <= EVERY_ROUND_MAX) {
            let run = run(&settings.paylab, payments, CONCURRENCY)?;
            let variant = payments.to_string();
            samples.record(&variant, "us_per_payment", run.load.wall_s * 1e6 / f64::from(payments))?;
            samples.record(&variant, "load_mb", run.load.peak_mb)?;
            samples.record(&variant, "proxy_mb", run.proxy_peak_mb)?;
            samples.record(&variant, "service_mb", run.service_peak_mb)?;
            samples.record(&variant, "all_mb", run.load.peak_mb + run.proxy_peak_mb + run.service_peak_mb)?;
        }
    }
    println!("### From a thousand to a million payments, {CONCURRENCY} in flight\n");
    println!("| payments | s | us per payment | load MB | proxy MB | service MB | all MB |");
    println!("|---|---|---|---|---|---|---|");
    for payments in sizes {
        let median = |measure| samples.median(&payments.to_string(), measure);
        println!(
            "| {payments} | {:.2} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            median("us_per_payment") * f64::from(*payments) / 1e6,
            median("us_per_payment"),
            median("load_mb"),
            median("proxy_mb"),
            median("service_mb"),
            median("all_mb"),
        );
    }
    if let [.., largest] = sizes {
        let of = |payments: u32| samples.median(&payments.to_string(), "us_per_payment");
        println!("\nTime per payment, {largest} / {REFERENCE}: {:.2}.\n", of(*largest) / of(REFERENCE));
    }
    Ok(())
}
