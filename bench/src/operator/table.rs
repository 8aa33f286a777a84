//! Prints the tables, and compares the measured values with the targets.

use super::{
    cluster::IDLE_PERIOD,
    completed_experiments,
    variants::{AFTER_RUNS, EXPERIMENT, IDLE, IMAGE_ARCHIVE, MANY_COMPLETED, MANY_WAITING, START, WAITING_ALONE},
    waiting_experiments,
};
use crate::samples::Samples;

/// A measured value and its upper bound.
struct TargetRow {
    what: String,
    measured: f64,
    target: f64,
}

pub(crate) fn print(samples: &Samples, runs: usize) {
    print_times(samples, runs);
    print_memory(samples);
    print_targets(samples);
}

fn print_times(samples: &Samples, runs: usize) {
    const MEASURES: [&str; 7] = ["wall_ms", "build_ms", "lab_ms", "launch_ms", "load_ms", "judge_ms", "operator_ms"];
    println!("### One experiment on a warm node, {runs} runs, ms\n");
    println!(
        "| | apply to verdict | build | lab starts | launch | load starts and runs | judge | operator's share | writes | reads |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let print_row = |name, value: &dyn Fn(&str) -> f64| {
        let times = MEASURES.map(|measure| format!("{:.0}", value(measure))).join(" | ");
        println!("| {name} | {times} | {:.0} | {:.0} |", value("writes"), value("reads"));
    };
    print_row("median", &|measure| samples.median(EXPERIMENT, measure));
    print_row("most", &|measure| samples.largest(EXPERIMENT, measure));
    println!("\nThe operator's share is build, launch and judge.\n");
}

fn print_memory(samples: &Samples) {
    let many_completed = format!("with {} completed experiments, since its start", completed_experiments::COUNT);
    println!("| operator | resident MiB | peak MiB | writes in {0} s | reads in {0} s |", IDLE_PERIOD.as_secs());
    println!("|---|---|---|---|---|");
    for (what, variant) in
        [("before any experiment", IDLE), (AFTER_RUNS, AFTER_RUNS), (many_completed.as_str(), MANY_COMPLETED)]
    {
        let requests = |measure| match samples.median(variant, measure) {
            missing if missing.is_nan() => String::new(),
            count => format!("{count:.0}"),
        };
        let (rss, peak) = (samples.median(variant, "rss_mib"), samples.median(variant, "peak_mib"));
        println!("| {what} | {rss:.1} | {peak:.1} | {} | {} |", requests("writes"), requests("reads"));
    }
    let first = |measure| samples.median(MANY_COMPLETED, measure);
    println!(
        "\nAt its start it reads all of them: {:.0} reads, {:.0} writes.\n",
        first("first_reads"),
        first("first_writes")
    );
    print_waiting(samples);
}

/// The requests at the start, and while many wait.
fn print_waiting(samples: &Samples) {
    println!("| requests | reads | writes | watches | resident MiB |");
    println!("|---|---|---|---|---|");
    let (count, seconds) = (waiting_experiments::COUNT, waiting_experiments::PERIOD.as_secs());
    let rows = [
        ("the start of an operator that finds nothing".to_owned(), START, None),
        (format!("{count} experiments that wait, in {seconds} s"), WAITING_ALONE, None),
        ("the same with the labs before them".to_owned(), MANY_WAITING, Some("rss_mib")),
    ];
    for (what, variant, memory) in rows {
        let [reads, writes, watches] = ["reads", "writes", "watches"].map(|measure| samples.median(variant, measure));
        let memory = memory.map_or_else(String::new, |measure| format!("{:.1}", samples.median(variant, measure)));
        println!("| {what} | {reads:.0} | {writes:.0} | {watches:.0} | {memory} |");
    }
    println!();
}

fn print_targets(samples: &Samples) {
    let row = |what: &str, measured, target| TargetRow { what: what.to_owned(), measured, target };
    let share_s = samples.median(EXPERIMENT, "operator_ms") / 1e3;
    let requests = |variant| samples.median(variant, "writes") + samples.median(variant, "reads");
    let idle = requests(AFTER_RUNS) + requests(MANY_COMPLETED);
    let waiting = requests(MANY_WAITING) / waiting_experiments::PERIOD.as_secs_f64();
    let rows = [
        row("operator's share of an experiment, s, median", share_s, 1.5),
        row("the same, compared with the goal", share_s, 0.3),
        row("writes for an experiment, most", samples.largest(EXPERIMENT, "writes"), 12.0),
        row("reads for an experiment, most", samples.largest(EXPERIMENT, "reads"), 40.0),
        row("reads and writes while idle", idle, 0.0),
        row(&format!("requests a second while {} wait", waiting_experiments::COUNT), waiting, 1.0),
        row("operator with them, MiB", samples.median(MANY_WAITING, "rss_mib"), 40.0),
        row("operator idle, MiB", samples.median(IDLE, "rss_mib"), 20.0),
        row(
            &format!("operator with {} completed, MiB", completed_experiments::COUNT),
            samples.median(MANY_COMPLETED, "rss_mib"),
            40.0,
        ),
        row("the same at its peak", samples.median(MANY_COMPLETED, "peak_mib"), 40.0),
        row("image, MB", samples.median(IMAGE_ARCHIVE, "size_mb"), 40.0),
    ];
    println!("| | measured | at most | measured / target | |");
    println!("|---|---|---|---|---|");
    for TargetRow { what, measured, target } in rows {
        let ratio = if target > 0.0 { format!("{:.2}", measured / target) } else { String::new() };
        let verdict = if measured <= target { "met" } else { "missed" };
        println!("| {what} | {} | {} | {ratio} | {verdict} |", rounded(measured), rounded(target));
    }
    println!();
}

/// Two decimals, unless the value is an integer.
fn rounded(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
