//! What the drafts and runs of the comparison have reached, so that it cannot pass because nothing happened.

use std::collections::BTreeMap;

use paylab_core::{client::BodyDrift, prediction::Prediction};

use crate::{
    client::{Attempt, Event, Run},
    draft::{Draft, TIMEOUT_MS},
    faults::point,
    totals::Certain,
};

/// How many plans had something.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    plans: BTreeMap<String, u64>,
}

impl Coverage {
    /// Counts what one compared plan has reached.
    pub(crate) fn note(&mut self, draft: &Draft, run: &Run, totals: &Prediction, certain: Certain) {
        self.note_if(true, format!("{certain:?} is certain"));
        match certain {
            Certain::All => self.note_if(totals.repeats > 0, "total repeats".to_owned()),
            Certain::AllButRepeats => {}
            Certain::No => return,
        }
        let attempts = || run.payments.iter().flat_map(|payment| &payment.attempts);
        let answered = |status: u16, repeat: bool| {
            attempts().filter_map(|attempt| attempt.seen()).any(|seen| (seen.status, seen.repeat) == (status, repeat))
        };
        self.note_if(true, format!("{:?} with {:?}", draft.dedup, draft.key));
        let recovered =
            run.payments.iter().any(|p| draft.recovery > 0 && p.attempts.len() as u64 > u64::from(draft.max_attempts));
        self.note_if(recovered, "recovery".to_owned());
        self.note_if(draft.hedge > 1, "hedge".to_owned());
        self.note_if(draft.drift == BodyDrift::Amount, "drift".to_owned());
        self.note_if(draft.share != (0..draft.count), "part of the payments".to_owned());
        self.note_if(draft.max_attempts == 0, "unlimited".to_owned());
        self.note_if(draft.max_attempts == 1, "one attempt".to_owned());
        self.note_if(draft.max_attempts > 1, "several attempts".to_owned());
        for (status, repeat) in [(200, false), (200, true), (202, false), (208, true), (400, false), (422, false)] {
            self.note_if(answered(status, repeat), format!("status {status}, repeat {repeat}"));
        }
        for (index, fault) in draft.faults.iter().enumerate() {
            let struck = attempts().any(|attempt| attempt.has(Event::Struck(index)));
            let outstripped = attempts().any(|a| a.has(Event::Fired(index)) && !a.has(Event::Struck(index)));
            let tied = draft.faults[..index].iter().enumerate().any(|(earlier, other)| {
                let both = |a: &Attempt| a.has(Event::Struck(earlier)) && a.has(Event::Fired(index));
                point(other) == point(fault) && attempts().any(both)
            });
            self.note_if(tied, "several at one point".to_owned());
            let kind = match fault.delay {
                None => "reset",
                Some(delay) if delay.lasts.ms() < TIMEOUT_MS => "short delay",
                Some(_) => "long delay",
            };
            self.note_if(struck, format!("{kind} at {:?}", point(fault)));
            self.note_if(outstripped, "a later point that fired too".to_owned());
            self.note_if(struck && fault.attempts.is_some(), "listed attempts".to_owned());
            self.note_if(struck && fault.payments.is_some(), "listed payments".to_owned());
            self.note_if(struck && fault.probability >= 1.0, "probability 1".to_owned());
        }
        self.note_totals(totals);
    }

    fn note_totals(&mut self, totals: &Prediction) {
        let Prediction {
            attempts,
            forwarded,
            entries,
            booked_total,
            acknowledged,
            booked,
            lost,
            duplicated,
            booked_unknown,
            // Noted where it is compared.
            repeats: _,
            mismatched,
            exposures,
            timeouts,
            faults,
        } = totals;
        for (name, total) in [
            ("attempts", *attempts),
            ("forwarded", *forwarded),
            ("entries", *entries),
            ("booked_total", booked_total.0.unsigned_abs()),
            ("acknowledged", *acknowledged),
            ("booked", *booked),
            ("lost", *lost),
            ("duplicated", *duplicated),
            ("booked_unknown", *booked_unknown),
            ("mismatched", *mismatched),
            ("exposures: repeats", exposures.repeats),
            ("exposures: undelivered", exposures.undelivered),
            ("exposures: arrived", exposures.arrived),
            ("timeouts", *timeouts),
            ("drawn", faults.iter().map(|tally| tally.drawn).sum()),
            ("fired", faults.iter().map(|tally| tally.fired).sum()),
            ("effective", faults.iter().map(|tally| tally.effective).sum()),
        ] {
            self.note_if(total > 0, format!("total {name}"));
        }
    }

    fn note_if(&mut self, reached: bool, what: String) {
        let plans = self.plans.entry(what).or_default();
        *plans += u64::from(reached);
    }

    /// What fewer plans than this had.
    pub(crate) fn rare(&self, below: u64) -> Vec<String> {
        let rare = self.plans.iter().filter(|(_, plans)| **plans < below);
        rare.map(|(what, plans)| format!("{what}: {plans} plans")).collect()
    }

    /// How many different things were reached or could have been.
    pub(crate) fn len(&self) -> usize {
        self.plans.len()
    }
}
