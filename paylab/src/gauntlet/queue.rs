//! Runs cells side by side, as far as the processor's cores allow, and those that need the service for themselves after the others. Of Paylab's own
//! service, the cells come first that take longest.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use load_job::Telling;
use paylab_core::outcome::Setting;
use paylab_present::gauntlet::Finding;
use tokio_util::sync::CancellationToken;

use super::{Done, Planned};
use crate::{
    commands::{
        progress::Bar,
        run::{Attendance, Paid},
    },
    lab::Database,
    machine,
    output::tell_over_progress,
    series::{UntilOptions, measure_series},
    supervisor::OrdersTo,
};

/// Why a service is not killed.
pub(super) const NOBODY_KILLS: &str =
    "it kills the service, and nobody here has its process; start the service with --target-command";

/// How cells are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attended<'a> {
    /// Where Paylab's own service keeps its ledger.
    pub(crate) database: &'a Database,
    /// Ends the gauntlet early.
    pub(crate) shutdown: &'a CancellationToken,
    /// Whether each cell is told when it has ended.
    pub(crate) bar: Bar,
    /// What is to be known about each.
    pub(crate) telling: Telling,
    /// Who can kill the user's own service.
    pub(crate) orders_to: Option<&'a OrdersTo>,
    /// Until when each is run.
    pub(crate) until: &'a UntilOptions,
}

/// Runs every cell, and returns what each has come to, in their order.
pub(crate) fn run_all(cells: &[Planned], attended: Attended<'_>) -> Vec<Done> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let (alone, mut together): (Vec<_>, Vec<_>) = (0..cells.len()).partition(|index| cells[*index].is_alone());
    // Last of all, a long one would run while the other cores have nothing to do.
    together.sort_by_key(|index| Reverse(cells[*index].expected_time()));
    let done = Mutex::new(BTreeMap::new());
    let ended = AtomicUsize::new(0);
    for (order, workers) in [(together, cores), (alone, 1)] {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..workers.min(order.len()) {
                scope.spawn(|| {
                    while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let cell = run(&cells[*index], attended);
                        let number = ended.fetch_add(1, Ordering::Relaxed) + 1;
                        tell_ended(number, cells.len(), &cells[*index], &cell, attended.bar);
                        done.lock().unwrap_or_else(PoisonError::into_inner).insert(*index, cell);
                    }
                });
            }
        });
    }
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Runs one cell.
pub(crate) fn run(cell: &Planned, attended: Attended<'_>) -> Done {
    let Attended { database, shutdown, bar: _, telling, orders_to, until } = attended;
    if shutdown.is_cancelled() {
        return Done::unknown("it was not run, because the gauntlet was interrupted".to_owned());
    }
    let plan = match &cell.plan {
        Ok(plan) => plan,
        Err(problem) => return Done::unknown(format!("the nemesis makes no valid experiment of this one: {problem}")),
    };
    if let Err(problem) = machine::check_descriptors(plan) {
        return Done::unknown(problem);
    }
    let paid = match &cell.contract {
        None => Paid::Ours(database),
        Some(_) if orders_to.is_none() && plan.kills().next().is_some() => {
            return Done { finding: Finding::Impossible { reason: NOBODY_KILLS.to_owned() }, outcome: None };
        }
        Some(contract) => Paid::Theirs(contract, orders_to),
    };
    let setting = Setting { experiment: cell.name().to_owned(), ..Setting::default() };
    let attendance = Attendance { name: cell.name(), bar: Bar::Hidden, shutdown, telling };
    match measure_series(plan, paid, setting, attendance, until, cell.nemesis.exposure()) {
        Ok((outcome, _)) => Done { finding: cell.find(&outcome), outcome: Some(Box::new(outcome)) },
        Err(error) => Done::unknown(format!("the lab could not do its work: {error:#}")),
    }
}

fn tell_ended(number: usize, all: usize, cell: &Planned, done: &Done, bar: Bar) {
    if bar == Bar::Shown {
        let seconds = done.elapsed().map(|elapsed| format!(" ({:.1} s)", elapsed.as_secs_f64())).unwrap_or_default();
        tell_over_progress(format_args!("{number} of {all}: {}: {}{seconds}", cell.name(), done.finding));
    }
}
