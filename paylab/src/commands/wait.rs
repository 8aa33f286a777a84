//! `paylab wait`: prints how experiments on a cluster have ended.

use anyhow::anyhow;
use operator::wait::{Ending, Options};

use crate::{exit::Exit, lab::one_thread, output::print};

/// Runs the command.
///
/// # Errors
/// The cluster cannot be asked, or an experiment has not ended in time.
pub(crate) fn wait(options: &Options) -> anyhow::Result<Exit> {
    let waited = one_thread()?.block_on(operator::wait::wait(options))?;
    let names_are_told = options.selector.is_some();
    let (mut late, mut exits) = (Vec::new(), Vec::new());
    for (name, ending) in &waited {
        match ending {
            None => late.push(name.as_str()),
            Some(Ending { message, as_expected }) => {
                let name = if names_are_told { format!("{name}: ") } else { String::new() };
                print(format_args!("{name}{message}"))?;
                exits.push(Exit::of(*as_expected));
            }
        }
    }
    if late.is_empty() && !exits.is_empty() {
        return Ok(Exit::worst(exits));
    }
    let have = if late.len() > 1 { "have" } else { "has" };
    if late.is_empty() {
        return Err(anyhow!("the cluster has not answered within {}", options.timeout));
    }
    let late = late.join(", ");
    Err(anyhow!("{late} {have} not ended within {}; see kubectl describe payx", options.timeout))
}
