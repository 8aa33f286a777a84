//! The closed forms of the theory against the average of the model over many seeds.

use std::array;

use paylab_core::{prediction::Prediction, targets::ours::Dedup, theory::Theory};

use crate::{base, client::Model, draft::Draft, faults::IN_TIME, lesson_draft, totals::totals};

/// The seeds that are averaged, from 0.
const SEEDS: u64 = 2_000;
/// The payments of each seed.
const COUNT: u64 = 5;
/// How many standard errors an average may be off. The seeds are fixed, so that this is no matter of luck.
const ERRORS_MAX: f64 = 4.0;

/// The totals that the theory speaks of, in its order.
fn of_theory(prediction: &Prediction) -> [u64; 7] {
    let Prediction {
        attempts,
        forwarded: _,
        entries,
        booked_total: _,
        acknowledged,
        booked: _,
        lost,
        duplicated,
        booked_unknown,
        repeats,
        mismatched: _,
        exposures: _,
        timeouts: _,
        faults: _,
    } = prediction;
    [*attempts, *entries, *acknowledged, *lost, *duplicated, *booked_unknown, *repeats]
}

/// Mean and variance of each total over the seeds.
fn averages(draft: &Draft) -> [(f64, f64); 7] {
    let mut draft = draft.clone();
    let totals: Vec<[f64; 7]> = (0..SEEDS)
        .map(|seed| {
            draft.seed = seed;
            of_theory(&totals(&draft, &Model { draft: &draft, order: IN_TIME }.run())).map(|total| total as f64)
        })
        .collect();
    let mean_of = |value: &dyn Fn(&[f64; 7]) -> f64| totals.iter().map(value).sum::<f64>() / SEEDS as f64;
    array::from_fn(|index| {
        let mean = mean_of(&|totals| totals[index]);
        (mean, mean_of(&|totals| (totals[index] - mean).powi(2)))
    })
}

#[test]
fn the_theory_is_the_average_over_all_seeds() {
    for (max_attempts, recovery) in [(0, 0), (1, 0), (3, 0), (1, 2), (3, 1)] {
        for dedup in [Dedup::None, Dedup::UniqueKey, Dedup::AckThenApply] {
            let mut draft = Draft { count: COUNT, share: 0..COUNT, recovery, ..lesson_draft(max_attempts, dedup) };
            // Different chances, so that they cannot be mistaken for each other.
            draft.faults[0].probability = 0.2;
            draft.faults[1].probability = 0.45;
            let theory = Theory::of(&draft.plan(&base())).unwrap();
            let Theory { attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats } = theory;
            let means = [attempts, entries, acknowledged, lost, duplicated, booked_unknown, repeats];
            for (estimate, (mean, variance)) in means.iter().zip(averages(&draft)) {
                let error = (variance / SEEDS as f64).sqrt();
                assert!(
                    (estimate.mean - mean).abs() <= ERRORS_MAX * error + 1e-9,
                    "{dedup:?}, {max_attempts} attempts and {recovery} further: {estimate:?}, but {mean} +- {error}"
                );
            }
        }
    }
}
