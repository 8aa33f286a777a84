//! `paylab wait`: prints how an experiment on a cluster has ended.

use anyhow::anyhow;
use operator::wait::{Ending, Options};

use crate::{exit::Exit, lab::one_thread, output::print};

/// Runs the command.
///
/// # Errors
/// The cluster cannot be asked, or the experiment has not ended in time.
pub(crate) fn wait(options: &Options) -> anyhow::Result<Exit> {
    let late = || anyhow!("{} has not ended within {}; see kubectl describe payx", options.experiment, options.timeout);
    let Ending { message, as_expected } = one_thread()?.block_on(operator::wait::wait(options))?.ok_or_else(late)?;
    print(message)?;
    Ok(Exit::of(as_expected))
}
