//! `paylab explain`: the predicted course of one payment as a sequence diagram.

use clap::Args;
use paylab_core::payment::PaymentId;
use paylab_present::diagram::Diagram;
use paylab_resource::file::Experiment;

use crate::{exit::Exit, output::print, source::Source};

/// The options of `paylab explain`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which experiment.
    #[command(flatten)]
    pub source: Source,
    /// The payment's index, from 0
    #[arg(value_name = "PAYMENT")]
    pub payment: u64,
}

/// Runs the command.
///
/// # Errors
/// The experiment is invalid, or has no such payment.
pub fn explain(options: &Options) -> anyhow::Result<Exit> {
    let Experiment { plan, .. } = options.source.read()?;
    if options.payment >= plan.count {
        let problem = format!("{} is no payment of this experiment; use 0 to {}", options.payment, plan.count - 1);
        return Err(options.source.refuse("PAYMENT", problem).into());
    }
    print(Diagram::of(&plan, PaymentId(options.payment)))?;
    Ok(Exit::AsExpected)
}
