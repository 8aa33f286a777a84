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
/// The least time until a limit is looked at.
const LIMIT_PASSED: Duration = Duration::from_secs(1);
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

/// The time until the next time limit of an experiment that has waited for so long, if there is one.
pub(crate) fn next_limit(experiment: &PlannedExperiment, waited: Duration) -> Option<Duration> {
    let limits = [REPORT_AFTER, SHORT_TOLERANCE, experiment.plan.deadline];
    let next = limits.into_iter().filter(|limit| *limit >= waited).min()?;
    // A limit is passed after it, and times in a status are whole seconds.
    Some((next - waited).max(LIMIT_PASSED))
}

/// The time from one read of the progress of a load of this age to the next.
pub(crate) fn progress_interval(age: Duration) -> Duration {
    let (least, most) = PROGRESS_INTERVAL;
    (age / 10).clamp(least, most)
}

/// The time from the launch of a load to the first read of its progress: it has reported none before.
pub(crate) const FIRST_PROGRESS: Duration = PROGRESS_INTERVAL.0;
/// What the watches have told of a lab that is not fit for a load is glanced at this often: a container that was started anew is trusted after some
/// time, of which no watch tells. A glance makes no request.
pub(crate) const GLANCE_AGAIN: Duration = Duration::from_secs(5);
/// A look is repeated after this time, whatever the watches say, because they may have missed something.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The same where a look has seen something else than the watches, or what is not watched: a Service of the user's own, an Event.
pub(crate) const LOOK_AGAIN_SOON: Duration = Duration::from_secs(5);
/// The same where the watches say nothing: of the plan of another run, or to an operator that may not watch everything or has just begun to.
pub(crate) const LOOK_AGAIN_UNWATCHED: Duration = Duration::from_secs(2);

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
