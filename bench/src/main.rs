//! Measures Paylab. Each part is a process of its own, variants are interleaved, and the tables contain medians. It is a program,
//! not a test.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results go to standard output, progress to standard error"
)]

mod booking;
mod lab;
mod machine;
mod operator;
mod process;
mod proxy;
mod samples;
mod settings;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{
    lab::{kills, lesson, scale, target, tcp_baseline, throughput},
    settings::Settings,
};

/// Measures Paylab on this machine and prints Markdown tables
#[derive(Debug, Parser)]
#[command(after_help = "Build first: cargo build --release. Then: cargo run --release -p paylab-bench -- all")]
struct Cli {
    /// What to measure
    #[command(subcommand)]
    measurement: Measurement,
    /// The binary under test; by default `paylab` in the folder of this program
    #[arg(long, global = true, value_name = "FILE")]
    paylab: Option<PathBuf>,
    /// Rounds of each comparison; each variant runs once in each round
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Also append each sample to this file, as one line of JSON
    #[arg(long, global = true, value_name = "FILE")]
    samples: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum Measurement {
    /// All of the following, except the operator
    All,
    /// Attempts per second and CPU time of each part, compared with bare TCP
    Lab,
    /// The load's CPU time by a contract, compared with Paylab's own wire
    Target,
    /// The proxy compared with Toxiproxy, HAProxy and no proxy: CPU time, rates and memory
    Proxy,
    /// Group commit compared with one commit for each request, on both databases
    Booking,
    /// Time and peak memory for 1000 to 1,000,000 payments
    Scale {
        /// Numbers of payments, in ascending order
        #[arg(long, value_delimiter = ',', default_values_t = scale::PAYMENTS)]
        payments: Vec<u32>,
    },
    /// The duration of `paylab run` of the lesson
    Lesson,
    /// The time from the order to kill the service until it is dead, and until it serves again
    Kills,
    /// The operator on a real Kubernetes node: its share of an experiment's time, its requests and its memory; needs root,
    /// and has at least 7 rounds
    Operator {
        /// The image archive; build it: image/build registry.local/paylab:ci FILE
        #[arg(long, env = "PAYLAB_IMAGE_ARCHIVE", value_name = "FILE")]
        image: Option<PathBuf>,
    },
    /// One process of the TCP baseline (started by this program itself)
    #[command(name = tcp_baseline::SUBCOMMAND, hide = true, subcommand)]
    TcpBaseline(tcp_baseline::Role),
}

fn main() -> anyhow::Result<()> {
    let Cli { measurement, paylab, rounds, samples } = Cli::parse();
    if let Measurement::TcpBaseline(role) = measurement {
        return tcp_baseline::run(&role);
    }
    println!("{}", machine::description().context("cannot describe the machine")?);
    if let Measurement::Operator { image } = measurement {
        return operator::measure(image, rounds, samples.as_deref());
    }
    let paylab = match paylab {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("paylab"),
    };
    anyhow::ensure!(paylab.exists(), "{} does not exist; build it: cargo build --release", paylab.display());
    let settings = Settings { paylab, rounds, samples };
    match measurement {
        Measurement::All => {
            throughput::measure(&settings)?;
            target::measure(&settings)?;
            lesson::measure(&settings)?;
            kills::measure(&settings)?;
            proxy::measure(&settings)?;
            booking::measure(&settings)?;
            scale::measure(&settings, &scale::PAYMENTS)
        }
        Measurement::Lab => throughput::measure(&settings),
        Measurement::Target => target::measure(&settings),
        Measurement::Proxy => proxy::measure(&settings),
        Measurement::Booking => booking::measure(&settings),
        Measurement::Scale { payments } => scale::measure(&settings, &payments),
        Measurement::Lesson => lesson::measure(&settings),
        Measurement::Kills => kills::measure(&settings),
        Measurement::Operator { .. } | Measurement::TcpBaseline(_) => Ok(()),
    }
}
