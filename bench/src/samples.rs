//! Samples of a comparison: medians for people, one JSON line for each for machines.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

/// Numbers by variant and measure, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    file: Option<PathBuf>,
    of: BTreeMap<(String, String), Vec<f64>>,
}

impl Samples {
    pub(crate) fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), of: BTreeMap::new() }
    }

    /// Notes one sample; `measure` names its unit last.
    pub(crate) fn note(&mut self, variant: &str, measure: &str, value: f64) -> anyhow::Result<()> {
        self.of.entry((variant.to_owned(), measure.to_owned())).or_default().push(value);
        if let Some(path) = &self.file {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{}", json!({"variant": variant, "measure": measure, "value": value}))?;
        }
        Ok(())
    }

    /// The median; not a number where nothing was noted.
    pub(crate) fn median(&self, variant: &str, measure: &str) -> f64 {
        let key = (variant.to_owned(), measure.to_owned());
        median(self.of.get(&key).map_or(&[], Vec::as_slice))
    }

    /// The largest; not a number where nothing was noted.
    pub(crate) fn largest(&self, variant: &str, measure: &str) -> f64 {
        let key = (variant.to_owned(), measure.to_owned());
        self.of.get(&key).into_iter().flatten().copied().fold(f64::NAN, f64::max)
    }

    /// The median of the ratios of two variants, round by round.
    pub(crate) fn ratio(&self, variant: &str, to: &str, measure: &str) -> f64 {
        let of = |variant: &str| self.of.get(&(variant.to_owned(), measure.to_owned())).map_or(&[][..], Vec::as_slice);
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

/// Variants in an order that turns round with each round, so that a trend favours none.
pub(crate) fn turned<T: Clone>(variants: &[T], round: usize) -> Vec<T> {
    let mut order = variants.to_vec();
    let by = round % order.len().max(1);
    order.rotate_left(by);
    order
}
