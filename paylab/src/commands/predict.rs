//! `paylab predict`: the totals that an experiment will have, without a network.

use clap::Args;
use paylab_core::prediction::Prediction;
use paylab_present::{
    json,
    text::{Headline, TotalsTable},
};
use paylab_resource::file::Experiment;

use crate::{commands::run::Output, exit::Exit, output::print, source::Source};

/// The options of `paylab predict`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// A table for people, or the field `prediction` of the resource's status for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Runs the command.
///
/// # Errors
/// The experiment is invalid.
pub fn predict(options: &Options) -> anyhow::Result<Exit> {
    let Experiment { resource, plan, .. } = options.source.read()?;
    let prediction = Prediction::of(&plan, 0..plan.count);
    match options.output {
        Output::Json => print(json::prediction(&plan, &prediction)?)?,
        Output::Text => {
            let experiment = resource.metadata.name.unwrap_or_default();
            let table = TotalsTable { plan: &plan, prediction: Some(&prediction), outcome: None }.to_string();
            print(format_args!("{}\n\n{}", Headline { experiment: &experiment, plan: &plan }, table.trim_end()))?;
        }
    }
    Ok(Exit::AsExpected)
}
