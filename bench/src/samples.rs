//! Samples of a comparison: medians for the tables, and one JSON line for each sample in a file.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

/// The samples by variant and measure, in the order in which they were recorded.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    file: Option<PathBuf>,
    values: BTreeMap<(String, String), Vec<f64>>,
}

impl Samples {
    pub(crate) fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), values: BTreeMap::new() }
    }

    /// Records one sample; the name of `measure` ends with the unit.
    pub(crate) fn record(&mut self, variant: &str, measure: &str, value: f64) -> anyhow::Result<()> {
        self.values.entry((variant.to_owned(), measure.to_owned())).or_default().push(value);
        if let Some(path) = &self.file {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{}", json!({"variant": variant, "measure": measure, "value": value}))?;
        }
        Ok(())
    }

    /// The median; NaN without samples.
    pub(crate) fn median(&self, variant: &str, measure: &str) -> f64 {
        let key = (variant.to_owned(), measure.to_owned());
        median(self.values.get(&key).map_or(&[], Vec::as_slice))
    }

    /// The sample below which this part of them is, such as 0.95; NaN without samples.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "few samples"
    )]
    pub(crate) fn quantile(&self, variant: &str, measure: &str, part: f64) -> f64 {
        let key = (variant.to_owned(), measure.to_owned());
        let mut sorted = self.values.get(&key).cloned().unwrap_or_default();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() as f64 * part).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// The largest sample; NaN without samples.
    pub(crate) fn largest(&self, variant: &str, measure: &str) -> f64 {
        let key = (variant.to_owned(), measure.to_owned());
        self.values.get(&key).into_iter().flatten().copied().fold(f64::NAN, f64::max)
    }

    /// The median of the ratios of two variants, round by round.
    pub(crate) fn ratio(&self, variant: &str, to: &str, measure: &str) -> f64 {
        let of =
            |variant: &str| self.values.get(&(variant.to_owned(), measure.to_owned())).map_or(&[][..], Vec::as_slice);
        let ratios: Vec<_> = of(variant).iter().zip(of(to)).map(|(one, other)| one / other).collect();
        median(&ratios)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// The variants, rotated by one place in each round, so that a trend favours none of them.
pub(crate) fn rotated<T: Clone>(variants: &[T], round: usize) -> Vec<T> {
    let mut order = variants.to_vec();
    let by = round % order.len().max(1);
    order.rotate_left(by);
    order
}
