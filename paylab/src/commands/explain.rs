//! `paylab explain`: the course of one payment as a sequence diagram, as it is predicted or, from evidence, as it was measured.

use clap::Args;
use paylab_core::payment::PaymentId;
use paylab_present::{diagram::Diagram, measured::Measured};
use paylab_resource::file::Experiment;

use crate::{
    evidence::{self, Kept},
    exit::{Exit, Misuse},
    output::print,
    source::Source,
};

/// At most this many payments are listed in a message.
const TOLD_LISTED: usize = 12;

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
    if options.source.file.is_dir() {
        return explain_measured(options);
    }
    let Experiment { plan, .. } = options.source.read()?;
    if options.payment >= plan.count {
        let problem = format!("{} is no payment of this experiment; use 0 to {}", options.payment, plan.count - 1);
        return Err(options.source.refuse("PAYMENT", problem).into());
    }
    print(Diagram::of(&plan, PaymentId(options.payment)))?;
    Ok(Exit::AsExpected)
}

/// What happened to the payment, beside what was predicted.
fn explain_measured(options: &Options) -> anyhow::Result<Exit> {
    let directory = &options.source.file;
    if options.source.seed.is_some() || options.source.concurrency.is_some() {
        let problem =
            "--seed and --concurrency have no meaning here, because what happened does not change; leave them out";
        return Err(Misuse(format!("{}: {problem}", directory.display())).into());
    }
    let Kept { outcome, chronicle, .. } = evidence::read(directory)?;
    let (payment, plan) = (options.payment, &outcome.plan);
    if payment >= plan.count {
        let problem = format!("{payment} is no payment of this experiment; use 0 to {}", plan.count - 1);
        return Err(options.source.refuse("PAYMENT", problem).into());
    }
    let Some(story) = chronicle.story(payment) else {
        let told: Vec<_> = chronicle.stories.iter().map(|story| story.payment.to_string()).collect();
        let told = match told.as_slice() {
            [] => "none is".to_owned(),
            few if few.len() <= TOLD_LISTED => format!("these are: {}", few.join(", ")),
            many => format!("{} are, such as {}", many.len(), many[..TOLD_LISTED].join(", ")),
        };
        let problem = format!("{payment} is not kept in this evidence: {told}");
        return Err(options.source.refuse("PAYMENT", problem).into());
    };
    print(Measured { plan, story })?;
    Ok(Exit::AsExpected)
}
