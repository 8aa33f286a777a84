//! `paylab report`: every form of a report, from the evidence of a run.

use std::path::{Path, PathBuf};

use clap::Args;
use operator::evidence::ClusterEvidence;
use paylab_core::outcome::comparison::Comparison;
use paylab_present::{comparison::TextComparison, html};

use crate::{
    commands::{
        report_files::{ReportFiles, run},
        run::Output,
    },
    evidence::{self, Kept, Places, kept_from_cluster, read_from_cluster},
    exit::{Exit, Misuse},
    output::print,
};

/// The options of `paylab report`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The directory that `paylab run FILE --evidence DIR` has made
    #[arg(value_name = "DIR", required_unless_present = "from", conflicts_with = "from")]
    pub directory: Option<PathBuf>,
    /// Instead of a directory, an experiment that has ended on a cluster, by its name
    #[arg(long, value_name = "EXPERIMENT")]
    pub from: Option<String>,
    /// Namespace of that experiment; default: the namespace of the kubeconfig's context, or of the pod
    #[arg(long, short, env = "PAYLAB_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Also keep the evidence from the cluster in this directory, which must be new or empty, for `paylab explain`
    #[arg(long, value_name = "DIR", requires = "from")]
    pub evidence: Option<PathBuf>,
    /// Also show what has changed since an earlier run, such as before a bug was mended: the directory with its evidence
    #[arg(long, value_name = "DIR")]
    pub compare: Option<PathBuf>,
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
/// There is no whole evidence of a run, or a file cannot be written.
pub fn report(options: &Options) -> anyhow::Result<Exit> {
    let mut kept = read(options)?;
    if let Some(earlier) = &options.compare {
        compare(&mut kept, earlier)?;
    }
    let read: Vec<_> =
        options.directory.iter().chain(&options.compare).flat_map(|place| evidence::files_of(place)).collect();
    options.files.prepare(&[], read.iter().map(PathBuf::as_path))?;
    let output = match options.output {
        None if options.files.is_none() && options.evidence.is_none() => Some(Output::Text),
        asked => asked,
    };
    for Kept { outcome, comparison, .. } in &kept {
        if let Some(output) = output {
            print(output.of(outcome)?)?;
        }
        if let (Some(Output::Text), Some(comparison)) = (output, comparison) {
            print(format_args!("\n{}", TextComparison(comparison)))?;
        }
    }
    options.files.write(&kept)?;
    Ok(Exit::AsExpected)
}

/// The report of an experiment on a cluster as one HTML page.
///
/// # Errors
/// The evidence is not whole.
pub fn page_of(fetched: ClusterEvidence) -> anyhow::Result<String> {
    let kept = kept_from_cluster(fetched).map_err(Misuse)?;
    Ok(html::page(&[run(&kept)])?)
}

/// Reads the evidence from where the options say, and keeps what comes from a cluster if they ask for it.
fn read(options: &Options) -> anyhow::Result<Vec<Kept>> {
    let Some(experiment) = &options.from else {
        let directory = options.directory.as_deref().unwrap_or(Path::new("."));
        return Ok(evidence::read_all(directory)?);
    };
    let mut kept = read_from_cluster(experiment, options.namespace.as_deref())?;
    if let Some(directory) = &options.evidence {
        Places::prepare(directory, std::slice::from_ref(experiment))?;
        kept.outcome.setting.evidence = Some(directory.display().to_string());
        evidence::write(directory, &kept)?;
    }
    Ok(vec![kept])
}

/// Compares each run with the earlier one of the experiment of the same name; a single run with a single one, whatever their names.
fn compare(kept: &mut [Kept], directory: &Path) -> anyhow::Result<()> {
    let earlier = evidence::read_all(directory)?;
    let is_single = kept.len() == 1 && earlier.len() == 1;
    for Kept { outcome, comparison, .. } in kept {
        let name = &outcome.setting.experiment;
        let refused = |problem: String| Misuse(format!("--compare {}: {problem}", directory.display()));
        let same = earlier.iter().find(|run| is_single || run.outcome.setting.experiment == *name);
        let same = same.ok_or_else(|| refused(format!("has no run of the experiment {name}")))?;
        let compared = Comparison::of(&same.outcome, outcome);
        *comparison = Some(compared.map_err(|unlike| refused(format!("{name}: {unlike}")))?);
    }
    Ok(())
}
