//! Measures Paylab: every part as its own process, variants interleaved, medians. A program, never a test.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its results are its output, its progress is not")]

mod booking;
mod floor;
mod lab;
mod machine;
mod operator;
mod process;
mod proxy;
mod samples;
mod scale;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Measures Paylab on this machine and prints Markdown tables
#[derive(Debug, Parser)]
#[command(after_help = "Build first: cargo build --release. Then: cargo run --release -p paylab-bench -- all")]
struct Cli {
    /// What to measure
    #[command(subcommand)]
    what: What,
    /// The binary under test; default: the one beside this program
    #[arg(long, global = true, value_name = "FILE")]
    paylab: Option<PathBuf>,
    /// Rounds of each comparison; each variant runs once a round
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Also append one JSON line for each sample to this file
    #[arg(long, global = true, value_name = "FILE")]
    samples: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Everything below, but for the operator
    All,
    /// Attempts a second and CPU for each part, beside the floor that TCP sets
    Lab,
    /// The proxy beside Toxiproxy, HAProxy and none: CPU, rates and memory
    Proxy,
    /// Group commit against one commit for each request, on both databases
    Booking,
    /// Time and peak memory from 1000 to 1,000,000 payments
    Scale {
        /// How many payments, from small to large
        #[arg(long, value_delimiter = ',', default_values_t = scale::PAYMENTS)]
        payments: Vec<u32>,
    },
    /// `paylab run` of the lesson
    Lesson,
    /// The operator on a real Kubernetes node: its share of an experiment's time, its requests and its memory; as root,
    /// in at least 7 rounds
    Operator {
        /// The image's archive; make it: image/build registry.local/paylab:ci FILE
        #[arg(long, env = "PAYLAB_IMAGE_ARCHIVE", value_name = "FILE")]
        image: Option<PathBuf>,
    },
    /// One end of the TCP floor (used by this program itself)
    #[command(hide = true, subcommand)]
    Floor(floor::End),
}

/// What every measurement needs.
#[derive(Debug)]
struct Bench {
    paylab: PathBuf,
    rounds: usize,
    samples: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Cli { what, paylab, rounds, samples } = Cli::parse();
    if let What::Floor(end) = what {
        return floor::run(&end);
    }
    println!("{}", machine::facts().context("the machine's facts cannot be read")?);
    if let What::Operator { image } = what {
        return operator::measure(image, rounds, samples.as_deref());
    }
    let paylab = match paylab {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("paylab"),
    };
    anyhow::ensure!(paylab.exists(), "{} is not there; build it: cargo build --release", paylab.display());
    let bench = Bench { paylab, rounds, samples };
    match what {
        What::All => {
            lab::measure(&bench)?;
            lab::lesson(&bench)?;
            proxy::measure(&bench)?;
            booking::measure(&bench)?;
            scale::measure(&bench, &scale::PAYMENTS)
        }
        What::Lab => lab::measure(&bench),
        What::Proxy => proxy::measure(&bench),
        What::Booking => booking::measure(&bench),
        What::Scale { payments } => scale::measure(&bench, &payments),
        What::Lesson => lab::lesson(&bench),
        What::Operator { .. } | What::Floor(_) => Ok(()),
    }
}
