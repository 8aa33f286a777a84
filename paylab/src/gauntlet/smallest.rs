//! The smallest run that shows the first broken nemesis, as a file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use paylab_contract::spec::TargetSpec;
use paylab_core::outcome::Outcome;
use paylab_present::gauntlet::Smallest;

use super::{Attended, Planned};
use crate::{
    output::in_words,
    shrink::{Budget, Prober, Violation, shrink},
    source::argument,
    tidy::tidy_yaml,
};

/// How much a gauntlet spends on it.
const BUDGET: Budget = Budget { runs: 100, time: Duration::from_secs(12) };
/// How such a file begins. Others are not overwritten.
const HEAD: &str = "# The smallest run that paylab gauntlet has found:";

/// Where the file is to be, and the options with which it is run again.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The file; `None`: that of the experiment's name in the working directory.
    pub(crate) file: Option<PathBuf>,
    /// The option that names the service, such as `--target http://127.0.0.1:9000`.
    pub(crate) target: Option<String>,
    /// What the experiment's file says about the service, where the command line says something else.
    pub(crate) written: Option<TargetSpec>,
}

/// Looks for the smallest run that breaks the claim as a cell's does, and writes it into a file.
///
/// # Errors
/// The lab cannot do its work.
pub(crate) fn smallest(
    cell: &Planned,
    outcome: &Outcome,
    wanted: &Wanted,
    attended: Attended<'_>,
) -> anyhow::Result<Smallest> {
    let file = wanted.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.yaml", cell.name())));
    if wanted.file.is_none() && is_of_somebody_else(&file) {
        let reason = format!("{} exists and is not overwritten; name a file with --smallest", file.display());
        return Ok(Smallest::Missing { reason });
    }
    let Some(class) = outcome.broken.first().copied() else {
        return Ok(Smallest::Missing { reason: "nothing breaks the claim".to_owned() });
    };
    let mut experiment = cell.experiment.clone();
    experiment.spec.seed = i64::try_from(outcome.plan.seed()).ok();
    let parties = (cell.contract.clone(), attended.orders_to);
    let mut prober = Prober::new(attended.database, parties, attended.shutdown, BUDGET);
    let violation = Violation { class, outcome: Box::new(outcome.clone()) };
    let shrunk = shrink(&experiment.spec, &violation, &mut prober, |_, _| {})?;
    if shrunk.seen.shown == 0 {
        return Ok(Smallest::Missing { reason: "it was not seen again".to_owned() });
    }
    if let (true, Some(stopped)) = (shrunk.kept.is_empty(), shrunk.stopped) {
        return Ok(Smallest::Missing {
            reason: format!("nothing smaller was found before the search ended: {stopped}"),
        });
    }
    experiment.spec = shrunk.spec;
    experiment.spec.target = wanted.written.clone().or(experiment.spec.target);
    let text = format!("{HEAD} {}\n{}", cell.nemesis.imitates, tidy_yaml(&experiment)?);
    if let Err(error) = fs::write(&file, text) {
        return Ok(Smallest::Missing { reason: format!("{} cannot be written: {}", file.display(), in_words(&error)) });
    }
    let target = wanted.target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
    Ok(Smallest::Found {
        command: format!("paylab run {}{target}", argument(&file)),
        payments: experiment.spec.payments.count.unsigned_abs(),
        attempts: shrunk.seen.attempts,
        shown: (shrunk.seen.shown, shrunk.seen.of),
        ended_early: shrunk.stopped.map(|stopped| stopped.to_string()),
    })
}

/// Whether a file exists that no gauntlet has written.
fn is_of_somebody_else(file: &Path) -> bool {
    file.exists() && !fs::read_to_string(file).is_ok_and(|text| text.starts_with(HEAD))
}
