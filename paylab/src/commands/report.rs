//! `paylab report`: every form of a report, from the evidence of a run.

use std::path::PathBuf;

use clap::Args;

use crate::{
    commands::{report_files::ReportFiles, run::Output},
    evidence::{self, Kept},
    exit::Exit,
    output::print,
};

/// The options of `paylab report`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The directory that `paylab run FILE --evidence DIR` has made
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// A report for people, or the resource's status for programs. Neither is printed if a file is asked for, unless this option is given
    #[arg(long, short, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// Which files.
    #[command(flatten)]
    pub files: ReportFiles,
}

/// Runs the command. The exit code says whether the report could be made, and not what its verdict is.
///
/// # Errors
/// The directory is no whole evidence of a run, or a file cannot be written.
pub fn report(options: &Options) -> anyhow::Result<Exit> {
    let kept = evidence::read_all(&options.directory)?;
    options.files.prepare()?;
    let output = match options.output {
        None if options.files.is_none() => Some(Output::Text),
        asked => asked,
    };
    for Kept { outcome, .. } in &kept {
        if let Some(output) = output {
            print(output.of(outcome)?)?;
        }
    }
    options.files.write(&kept)?;
    Ok(Exit::AsExpected)
}
