//! How attempts and entries are spread over payments, in theory.

use super::{Chances, Theory, interval::float};
use crate::{chronicle::histogram::LAST_BIN, client::ATTEMPTS_MAX, plan::Plan, targets::handling::Treatment};

/// What is left of a payment below this chance is left out.
const NEGLIGIBLE: f64 = 1e-12;

/// The number of payments that are expected to have so many attempts, and so many entries. The last number stands for all above it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distributions {
    /// By the number of attempts, from 0.
    pub attempts: Vec<f64>,
    /// By the number of entries, from 0.
    pub entries: Vec<f64>,
}

/// The bin of a number.
fn bin(number: u32) -> usize {
    usize::try_from(LAST_BIN).map_or(0, |last| usize::try_from(number).map_or(last, |number| number.min(last)))
}

impl Distributions {
    /// The distributions of a plan; `None` where there is no closed form, as for [`Theory::of`].
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        Theory::of(plan)?;
        let tells = matches!(plan.target.treatment(&plan.client), Treatment::TellsRepeats(_));
        let most_entries = if tells { 1 } else { bin(u32::MAX) };
        Some(Chances::of(plan).distributions(plan.count, most_entries))
    }
}

impl Chances {
    /// Follows the chances attempt by attempt. `most_entries`: a service that tells repeats books one entry at most.
    fn distributions(self, count: u64, most_entries: usize) -> Distributions {
        let bins = bin(u32::MAX) + 1;
        let (mut attempts, mut entries) = (vec![0.0; bins], vec![0.0; bins]);
        let booked = |entries: usize| (entries + 1).min(most_entries);
        // The chance that the payment has not ended and has so many entries.
        let mut open = vec![0.0; bins];
        open[0] = 1.0;
        let most = self.most.unwrap_or(ATTEMPTS_MAX);
        for attempt in 1..=most {
            let mut next = vec![0.0; bins];
            for (number, chance) in open.iter().enumerate().filter(|(_, chance)| **chance > 0.0) {
                attempts[bin(attempt)] += chance * self.answered;
                entries[booked(number)] += chance * self.answered;
                next[number] += chance * self.lost;
                next[booked(number)] += chance * self.unanswered;
            }
            open = next;
            if open.iter().sum::<f64>() < NEGLIGIBLE {
                break;
            }
        }
        for (number, chance) in open.into_iter().enumerate() {
            // The attempt after the load is answered for certain.
            let recovered = if self.recovers { booked(number) } else { number };
            attempts[bin(most + u32::from(self.recovers))] += chance;
            entries[recovered] += chance;
        }
        let payments = |chances: Vec<f64>| chances.into_iter().map(|chance| chance * float(count)).collect();
        Distributions { attempts: payments(attempts), entries: payments(entries) }
    }
}
