//! An experiment while it is made smaller. Its faults are either those of the file, with their coins, or the fate of one payment written
//! down: which fault strikes which of its attempts. The fate stays when everything else becomes smaller, also the number of payments.

use paylab_core::{
    fault::{
        kill::{Death, Kill},
        point::Point,
        spec::FaultSpec,
    },
    payment::{AttemptId, PaymentId},
    plan::Plan,
    targets::ours::Dedup,
};
use paylab_resource::spec::{ChaosExperimentSpec, Redeliver};

/// The most attempts whose fate can be written down: as many as a fault can name.
const ATTEMPTS_MAX: usize = 100;

/// An experiment while it is made smaller.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    /// Everything but the faults.
    pub(super) spec: ChaosExperimentSpec,
    /// What strikes.
    pub(super) strikes: Strikes,
}

/// What strikes the attempts of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Strikes {
    /// Faults with their coins.
    Coins(Vec<FaultSpec>),
    /// The fate of the only payment: for each attempt from the first, the fault that takes effect on it.
    Fate(Vec<Option<FaultSpec>>),
}

impl Form {
    /// The experiment as it is.
    pub(super) fn of(spec: &ChaosExperimentSpec) -> Self {
        Self { spec: spec.clone(), strikes: Strikes::Coins(spec.faults.clone()) }
    }

    /// One payment with the fate that a payment of the experiment has; `None`: it has too many attempts to be written down.
    pub(super) fn of_payment(spec: &ChaosExperimentSpec, plan: &Plan, payment: u64, attempts: u64) -> Option<Self> {
        let attempts = u32::try_from(attempts).ok().filter(|attempts| *attempts as usize <= ATTEMPTS_MAX)?;
        let fate = (1..=attempts).map(|attempt| {
            let draw = plan.sampler.draw(AttemptId { payment: PaymentId(payment), attempt });
            draw.effective.and_then(|index| spec.faults.get(index)).cloned()
        });
        let mut form = Self::of_fate(spec, fate.collect());
        // Whether a payment is asked for once more follows from its index too.
        let is_redelivered = plan.client.redelivered_after(plan.seed(), PaymentId(payment)).is_some();
        let redeliver = form.spec.client.redeliver.take().filter(|_| is_redelivered);
        form.spec.client.redeliver = redeliver.map(|redeliver| Redeliver { probability: 1.0, ..redeliver });
        form.trim();
        Some(form)
    }

    /// One payment of an experiment whose faults kill the service, with the first kill right after its answer; `None`: none of them does. What
    /// a service has acknowledged and not booked is lost then, whichever payment's fault has killed it in the experiment.
    pub(super) fn of_kill_after_answer(spec: &ChaosExperimentSpec) -> Option<Self> {
        let kill = spec.faults.iter().find(|fault| fault.kill.is_some())?;
        let after_answer = Kill { at: Point::AfterResponse, after: None };
        let mut form = Self::of_fate(spec, vec![Some(FaultSpec { kill: Some(after_answer), ..kill.clone() })]);
        form.spec.client.redeliver = None;
        Some(form)
    }

    /// One payment with a fate.
    fn of_fate(spec: &ChaosExperimentSpec, fate: Vec<Option<FaultSpec>>) -> Self {
        let mut form = Self { spec: spec.clone(), strikes: Strikes::Fate(fate) };
        form.spec.payments.count = 1;
        form.spec.client.workers = 1;
        form.spec.client.concurrency = 1;
        form.spec.client.rate = None;
        form.spec.min_exposures = None;
        form
    }

    /// Leaves out what says nothing: attempts at the end that no fault strikes.
    pub(super) fn trim(&mut self) {
        if let Strikes::Fate(fate) = &mut self.strikes {
            while fate.last() == Some(&None) {
                fate.pop();
            }
        }
    }

    /// Whether a fault strikes anything.
    pub(super) fn is_struck(&self) -> bool {
        match &self.strikes {
            Strikes::Coins(faults) => !faults.is_empty(),
            Strikes::Fate(fate) => fate.iter().any(Option::is_some),
        }
    }

    /// Whether a kill strikes between two steps of a booking: while the service works on a request, or before it books what it has acknowledged.
    pub(super) fn is_killed_in_between(&self) -> bool {
        let kills: Vec<Kill> = match &self.strikes {
            Strikes::Coins(faults) => faults.iter().filter_map(|fault| fault.kill).collect(),
            Strikes::Fate(fate) => fate.iter().flatten().filter_map(|fault| fault.kill).collect(),
        };
        let books_later = self.spec.target.is_none() && self.spec.service.dedup == Dedup::AckThenApply;
        kills.into_iter().any(|kill| books_later || kill.death() == Death::InProcessing)
    }

    /// The kills that strike.
    pub(super) fn kills_mut(&mut self) -> Vec<&mut Kill> {
        match &mut self.strikes {
            Strikes::Coins(faults) => faults.iter_mut().filter_map(|fault| fault.kill.as_mut()).collect(),
            Strikes::Fate(fate) => fate.iter_mut().flatten().filter_map(|fault| fault.kill.as_mut()).collect(),
        }
    }

    /// The spec with its faults.
    pub(super) fn spec(&self) -> ChaosExperimentSpec {
        let faults = match &self.strikes {
            Strikes::Coins(faults) => faults.clone(),
            Strikes::Fate(fate) => written(fate),
        };
        ChaosExperimentSpec { faults, ..self.spec.clone() }
    }
}

/// The faults that give a payment a fate for certain.
fn written(fate: &[Option<FaultSpec>]) -> Vec<FaultSpec> {
    let mut faults: Vec<FaultSpec> = Vec::new();
    for (attempt, fault) in (1..).zip(fate) {
        let Some(fault) = fault else { continue };
        match faults.iter_mut().find(|known| known.name == fault.name) {
            Some(FaultSpec { attempts: Some(attempts), .. }) => attempts.push(attempt),
            Some(_) | None => faults.push(FaultSpec {
                probability: 1.0,
                attempts: Some(vec![attempt]),
                payments: None,
                ..fault.clone()
            }),
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use paylab_resource::{file, plan::plan};

    use super::*;

    #[test]
    fn the_fate_of_a_payment_is_written_down_and_stays_that_of_its_coins() {
        let text = "apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: a}
spec:
  claim: ExactlyOnce
  seed: 42
  faults:
    - {name: request-lost, probability: 0.3, reset: {at: BeforeRequest}}
    - {name: response-lost, probability: 0.3, reset: {at: BeforeResponse}, payments: {from: 0, to: 500}}
";
        let experiment = file::parse(text, 0).unwrap();
        let spec = &experiment.resource.spec;
        for (payment, attempts) in [(1, 7), (3, 5), (5, 8)] {
            let small = Form::of_payment(spec, &experiment.plan, payment, attempts).unwrap().spec();
            assert_eq!((small.payments.count, small.client.concurrency), (1, 1));
            let small = plan(&small, 0).unwrap();
            for attempt in 1..=u32::try_from(attempts).unwrap() {
                let point = |plan: &Plan, payment| {
                    plan.sampler.point(&plan.sampler.draw(AttemptId { payment: PaymentId(payment), attempt }))
                };
                assert_eq!(point(&small, 0), point(&experiment.plan, payment), "attempt {attempt} of {payment}");
            }
        }
        assert_eq!(Form::of_payment(spec, &experiment.plan, 1, 101), None);
    }
}
