//! The room of the gauntlet: the cells of its table, how they are run side by side, and what each has come to.

mod emit;
mod queue;
mod smallest;

use std::{sync::Arc, time::Duration};

use paylab_contract::{Contract, spec::Place};
use paylab_core::{claim::Verdict, fault::effect::Effect, field_error::FieldError, outcome::Outcome, plan::Plan};
use paylab_present::{gauntlet::Finding, sentence};
use paylab_resource::{
    nemesis::{Company, Expected, Nemesis, Subject},
    plan::plan,
    spec::ChaosExperiment,
};

pub(crate) use self::{
    emit::emit,
    queue::{Attended, run_all},
    smallest::{Wanted, smallest},
};

/// About how long a service takes to start again.
const START: Duration = Duration::from_millis(100);

/// A subject under a nemesis, before it is run.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The row of the table.
    pub(crate) row: usize,
    /// The nemesis.
    pub(crate) nemesis: &'static Nemesis,
    /// What is expected.
    pub(crate) expected: Expected,
    /// The experiment.
    pub(crate) experiment: ChaosExperiment,
    /// Its plan, or why there is none.
    pub(crate) plan: Result<Plan, String>,
    /// The contract of the user's own service with its secrets.
    pub(crate) contract: Option<Arc<Contract>>,
}

/// What a cell has come to.
#[derive(Debug)]
pub(crate) struct Done {
    /// What was found.
    pub(crate) finding: Finding,
    /// The run.
    pub(crate) outcome: Option<Box<Outcome>>,
}

impl Planned {
    /// The cell of a subject.
    pub(crate) fn of(
        row: usize,
        subject: &Subject,
        nemesis: &'static Nemesis,
        contract: Option<&Arc<Contract>>,
    ) -> Self {
        let experiment = nemesis.experiment(subject);
        let plan = plan(&experiment.spec, 0).map_err(|errors| in_words(&errors));
        Self { row, nemesis, expected: nemesis.expected(subject), experiment, plan, contract: contract.cloned() }
    }

    /// The name of its experiment.
    pub(crate) fn name(&self) -> &str {
        self.experiment.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether nothing else may run on the same service at the same time. Each run of Paylab's own service has one of its own.
    pub(crate) fn is_alone(&self) -> bool {
        let shows_total = self.plan.as_ref().is_ok_and(|plan| plan.target.shows_total_only());
        self.contract.is_some() && (shows_total || self.nemesis.company == Company::Alone)
    }

    /// Why its service cannot be killed wherever its file alone says where that is, though it must be; `None`: it can be, or need not.
    pub(crate) fn unkillable(&self) -> Option<&'static str> {
        self.plan.as_ref().ok()?.kills().next()?;
        match self.experiment.spec.target.as_ref()?.place() {
            Some(Place::Image(image)) if !image.command.is_empty() => None,
            Some(Place::Image(_)) => {
                Some("it kills the service, and nobody knows how to start it again; say spec.target.image.command")
            }
            Some(Place::Url(_) | Place::Service(_)) | None => Some(
                "it kills the service, and nobody has its process there; on a cluster let the operator deploy it (spec.target.image), and on this machine run `paylab gauntlet` with --target-command",
            ),
        }
    }

    /// How long it takes, as far as its plan shows that. It decides nothing but the order. A service of a user's that has just started may be
    /// slow, so that its cells keep the order of the nemeses: the first ones have long timeouts.
    pub(crate) fn expected_time(&self) -> Duration {
        let (Ok(plan), None) = (&self.plan, &self.contract) else { return Duration::ZERO };
        let waits = plan.faults().iter().map(|fault| {
            let waited = match fault.effect {
                Effect::Reset(_) => Duration::ZERO,
                Effect::Delay(delay) => delay.lasts.duration().min(plan.client.attempt_timeout),
                Effect::Kill(kill) => kill.after() + START,
            };
            waited.mul_f64(fault.probability.min(1.0))
        });
        let each = plan.target.processing_time() + waits.sum::<Duration>();
        let in_flight = u32::try_from(plan.client.concurrency).unwrap_or(u32::MAX).saturating_mul(plan.client.workers);
        each.saturating_mul(u32::try_from(plan.count).unwrap_or(u32::MAX)) / in_flight.max(1)
    }

    /// What a run shows about it.
    pub(crate) fn find(&self, outcome: &Outcome) -> Finding {
        match (outcome.verdict, outcome.broken.first()) {
            (Verdict::Violated, Some(worst)) => {
                Finding::Broken { anomaly: *worst, payments: outcome.report.count(*worst) }
            }
            (Verdict::Violated | Verdict::Inconclusive, _) => Finding::Unknown { reason: sentence::verdict(outcome) },
            (Verdict::Upheld, _) => match (self.exposures(outcome), self.expected) {
                (0, _) => Finding::Unknown {
                    reason: "nothing that the nemesis does has put the claim to the test".to_owned(),
                },
                (exposures, Expected::Blind) => Finding::Blind { exposures },
                (exposures, Expected::Holds | Expected::Broken(_)) => Finding::Holds { exposures },
            },
        }
    }

    /// How often the claim was put to the test.
    fn exposures(&self, outcome: &Outcome) -> u64 {
        let of_kind = self.nemesis.exposure().map(|kind| outcome.report.exposures.map(|all| all.count(kind)));
        of_kind.unwrap_or(outcome.exposures).unwrap_or(0)
    }

    /// Whether a finding is what was expected; `None`: nothing is known.
    pub(crate) fn agrees(&self, finding: &Finding) -> Option<bool> {
        match (finding, self.expected) {
            (Finding::Unknown { reason: _ }, _) => None,
            (Finding::Impossible { reason: _ }, _) => Some(true),
            (Finding::Holds { exposures: _ }, Expected::Holds) | (Finding::Blind { exposures: _ }, Expected::Blind) => {
                Some(true)
            }
            (Finding::Broken { anomaly, payments: _ }, Expected::Broken(expected)) => Some(*anomaly == expected),
            (Finding::Holds { .. } | Finding::Blind { .. } | Finding::Broken { .. }, _) => Some(false),
        }
    }
}

impl Done {
    /// A cell that was not run.
    pub(crate) fn unknown(reason: String) -> Self {
        Self { finding: Finding::Unknown { reason }, outcome: None }
    }

    /// How long it took.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.outcome.as_ref().and_then(|outcome| outcome.setting.elapsed)
    }
}

/// What is wrong with an experiment, in one line.
pub(crate) fn in_words(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
