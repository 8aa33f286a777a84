//! Whether a payment costs the same among a thousand and among a million, and what memory the parts need.

use crate::{Bench, lab, samples::Samples};

/// In flight.
const CONCURRENCY: u32 = 64;
/// From small to large.
pub(crate) const PAYMENTS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// The large ones are held against this one.
const FEW: u32 = 10_000;
/// What is cheap runs in every round, the others once.
const CHEAP: u32 = 100_000;

pub(crate) fn measure(bench: &Bench, sizes: &[u32]) -> anyhow::Result<()> {
    let mut samples = Samples::new(bench.samples.as_deref());
    for round in 0..bench.rounds {
        for payments in sizes.iter().copied().filter(|payments| round == 0 || *payments <= CHEAP) {
            let run = lab::run(&bench.paylab, payments, CONCURRENCY)?;
            let variant = payments.to_string();
            samples.note(&variant, "us_per_payment", run.load.wall_s * 1e6 / f64::from(payments))?;
            samples.note(&variant, "load_mb", run.load.peak_mb)?;
            samples.note(&variant, "proxy_mb", run.proxy_peak_mb)?;
            samples.note(&variant, "service_mb", run.service_peak_mb)?;
            samples.note(&variant, "all_mb", run.load.peak_mb + run.proxy_peak_mb + run.service_peak_mb)?;
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
    if let [.., many] = sizes {
        let of = |payments: u32| samples.median(&payments.to_string(), "us_per_payment");
        println!("\nTime per payment, {many} / {FEW}: {:.2}.\n", of(*many) / of(FEW));
    }
    Ok(())
}
