//! How long the operator waits: for a problem to go away, for the lab to become ready, and between two reconciles.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use paylab_resource::status::Phase;

use super::problem::{PodProblem, Tolerance};
use crate::planned::PlannedExperiment;

/// Problems that every pod has while it starts are not reported before this time.
const REPORT_AFTER: Duration = Duration::from_secs(10);
/// How long a problem of short tolerance may last.
const SHORT_TOLERANCE: Duration = Duration::from_secs(60);
/// The time between two reconciles while the lab starts, in case a watch event is missed: the least and the most.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// The time between two reads of the load's progress is a tenth of its age, but at least and at most this.
const PROGRESS_INTERVAL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Where in its life an experiment is, as its status and the clock say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    /// When the operator began to work on the experiment.
    pub(crate) started: Timestamp,
    /// The phase that was last written into the status.
    pub(crate) last_phase: Option<Phase>,
    /// When the load was launched, by the operator's own clock: the API server's may differ. `None`: the status does not say yet that it was.
    pub(crate) launched: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Timeline {
    /// The time since the operator began to work on the experiment.
    pub(crate) fn waited(&self) -> Duration {
        elapsed(self.started, self.now)
    }

    /// The time since the load was launched.
    pub(crate) fn load_age(&self) -> Duration {
        elapsed(self.launched.unwrap_or(self.now), self.now)
    }
}

/// Whether a problem is reported: at once, unless every pod may have it while it starts.
pub(super) fn is_reportable(problem: &PodProblem, waited: Duration) -> bool {
    problem.tolerance < Tolerance::Long || waited > REPORT_AFTER
}

/// Whether a problem has lasted longer than it is tolerated.
pub(super) fn is_hopeless(experiment: &PlannedExperiment, problem: &PodProblem, waited: Duration) -> bool {
    waited > experiment.plan.deadline
        || match problem.tolerance {
            Tolerance::None => true,
            Tolerance::Short => waited > SHORT_TOLERANCE,
            Tolerance::Long => false,
        }
}

/// Whether requests to the API have failed for too long: one that is refused for a minute, one that is not answered for as long as
/// `spec.activeDeadline` allows.
pub(super) fn is_lasting(
    experiment: &PlannedExperiment,
    problem: &PodProblem,
    waited: Duration,
    failing: Duration,
) -> bool {
    match problem.tolerance {
        Tolerance::None | Tolerance::Short => failing > SHORT_TOLERANCE,
        Tolerance::Long => waited > experiment.plan.deadline,
    }
}

/// The time until the next look at a lab that starts, if no watch event comes first: 2 s, or less if a time limit is reached
/// before, but at least 1 s.
pub(crate) fn poll_interval(experiment: &PlannedExperiment, waited: Duration) -> Duration {
    let limits = [REPORT_AFTER, SHORT_TOLERANCE, experiment.plan.deadline];
    let next = limits.into_iter().filter(|limit| *limit > waited).min().unwrap_or(waited);
    (next - waited).clamp(POLL_INTERVAL.0, POLL_INTERVAL.1)
}

/// When to read the progress of a load of this age. It has reported none before the first interval is over.
pub(crate) fn progress_schedule(age: Duration) -> ProgressSchedule {
    let (least, most) = PROGRESS_INTERVAL;
    if age < least {
        ProgressSchedule::Later(least - age)
    } else {
        ProgressSchedule::Now { next: (age / 10).clamp(least, most) }
    }
}

/// When to read the load's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressSchedule {
    /// Not now, because the load has just begun, but after this time.
    Later(Duration),
    /// Now, and again after this time.
    Now { next: Duration },
}

/// The time from the launch of a load to the first read of its progress.
pub(crate) const FIRST_PROGRESS: Duration = PROGRESS_INTERVAL.0;

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
