//! `paylab predict`: what the totals of an experiment will be, without a network.

use anstream::{print, println};
use clap::Args;
use paylab_experiment::{file::Experiment, predict::Prediction, status::PredictionStatus};

use crate::{
    exit::Exit,
    run::Output,
    source::Source,
    terminal::{Headline, Table},
};

/// What `paylab predict` is told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// A table for people, or the field `prediction` of the resource's status for machines
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// Runs the command.
///
/// # Errors
/// The experiment is refused.
pub fn predict(options: &Options) -> anyhow::Result<Exit> {
    let Experiment { resource, plan } = options.source.read()?;
    let prediction = Prediction::of(&plan, 0..plan.count);
    match options.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&PredictionStatus::of(&plan, &prediction))?),
        Output::Text => {
            let name = resource.metadata.name.unwrap_or_default();
            println!("{}\n", Headline { name: &name, plan: &plan });
            print!("{}", Table { plan: &plan, prediction: &prediction, report: None });
        }
    }
    Ok(Exit::AsExpected)
}
