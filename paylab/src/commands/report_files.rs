//! The files with the report of a run, in every form that is asked for.

use std::path::{Path, PathBuf};

use clap::Args;
use paylab_present::{html, junit, markdown, run::Run};

use crate::{commands::output_files, evidence::Kept};

/// Which files are written.
#[derive(Debug, Clone, Default, Args)]
pub struct ReportFiles {
    /// Also write the report as one HTML file, which shows what happened and needs no network
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Also write the outcome as JUnit XML into this file, for a pipeline
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write the report as Markdown into this file, for a pull request or the summary of a job
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// The form of a file with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportForm {
    Html,
    Junit,
    Markdown,
}

impl ReportForm {
    const fn option(self) -> &'static str {
        match self {
            Self::Html => "--report",
            Self::Junit => "--junit",
            Self::Markdown => "--markdown",
        }
    }
}

impl ReportFiles {
    /// Every file that is asked for, with its option.
    fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.forms().map(|(form, file)| (form.option(), file))
    }

    /// Every file that is asked for, with its form.
    fn forms(&self) -> impl Iterator<Item = (ReportForm, &Path)> {
        let Self { report, junit, markdown } = self;
        let all = [(ReportForm::Html, report), (ReportForm::Junit, junit), (ReportForm::Markdown, markdown)];
        all.into_iter().filter_map(|(form, file)| Some((form, file.as_deref()?)))
    }

    /// Whether no file is asked for.
    pub(crate) fn is_none(&self) -> bool {
        self.named().next().is_none()
    }

    /// Removes the files of an earlier run, so that a pipeline never takes one for the outcome of a run that failed, and makes sure that the
    /// new ones can be written. `others` are written by the same command, each with its option, and `read` is what it reads.
    ///
    /// # Errors
    /// A file cannot be written, is asked for twice, or is one of those that are read.
    pub(crate) fn prepare<'a>(
        &self,
        others: &[(&'static str, &Path)],
        read: impl IntoIterator<Item = &'a Path>,
    ) -> anyhow::Result<()> {
        let named: Vec<_> = self.named().chain(others.iter().copied()).collect();
        output_files::check(&named, read)?;
        named.into_iter().try_for_each(|(option, file)| output_files::clear(option, file))
    }

    /// Writes the files. All are tried, and the first that fails is told.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write(&self, kept: &[Kept]) -> anyhow::Result<()> {
        let runs: Vec<_> = kept.iter().map(run).collect();
        self.write_each(|form| {
            Ok(match form {
                ReportForm::Html => html::page(&runs)?,
                ReportForm::Junit => junit::runs(&runs)?,
                ReportForm::Markdown => markdown::runs(&runs),
            })
        })
    }

    /// Writes the files with the texts of their forms. All are tried, and the first that fails is told.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write_each(&self, text: impl Fn(ReportForm) -> anyhow::Result<String>) -> anyhow::Result<()> {
        let each = self.forms().map(|(form, file)| output_files::write(form.option(), file, &text(form)?));
        let written: Vec<_> = each.collect();
        written.into_iter().collect()
    }
}

/// A run as it is presented.
pub(crate) fn run(Kept { outcome, chronicle, yaml, comparison }: &Kept) -> Run<'_> {
    Run { outcome, chronicle, yaml, comparison: comparison.as_ref() }
}
