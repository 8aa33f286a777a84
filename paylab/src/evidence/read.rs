//! Reads evidence back. Evidence that is cut, changed, mixed or of a newer format is refused with a sentence: it is never shown as a wrong
//! picture.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use paylab_core::{chronicle::Chronicle, outcome::Outcome};
use paylab_resource::file;

use super::{ATTEMPTS, EXPERIMENT, FORMAT, KIND, Kept, OUTCOME, OutcomeFile, OutcomeHead, attempts, sha256};
use crate::{exit::Misuse, output::in_words};

/// Longer files are not read, in bytes.
const LEN_MAX: u64 = 64 * 1024 * 1024;

/// Reads the evidence of one run.
///
/// # Errors
/// The directory is no evidence, or its files are not those of one whole run.
pub(crate) fn read(directory: &Path) -> Result<Kept, Misuse> {
    let refused = |problem: String| Misuse(format!("{}: {problem}", directory.display()));
    let in_file =
        |name: &'static str| move |problem: String| Misuse(format!("{}: {problem}", directory.join(name).display()));
    if !directory.is_dir() {
        let what = if directory.exists() { "is a file" } else { "does not exist" };
        return Err(refused(format!("{what}; name a directory that `paylab run FILE --evidence DIR` has made")));
    }
    let json = text(directory, OUTCOME).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refused(
            "is no evidence of a run, because it has no outcome.json; `paylab run FILE --evidence DIR` makes it"
                .to_owned(),
        ),
        _ => in_file(OUTCOME)(in_words(&error)),
    })?;
    let OutcomeFile { run_id, made_by, experiment_sha256, verdict, setting, report, chronicle, .. } =
        outcome_file(&json).map_err(in_file(OUTCOME))?;
    if report.run_id != run_id {
        return Err(in_file(OUTCOME)(format!("is of two runs, {run_id} and {}; it was changed", report.run_id)));
    }
    let yaml = text(directory, EXPERIMENT).map_err(|error| in_file(EXPERIMENT)(in_words(&error)))?;
    if sha256(yaml.as_bytes()) != experiment_sha256 {
        return Err(in_file(EXPERIMENT)(
            "is not the experiment of this run: it was changed, or is of another one".to_owned(),
        ));
    }
    let experiment = file::parse(&yaml, report.seed).map_err(|errors| {
        let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
        in_file(EXPERIMENT)(format!("{}; paylab {made_by} has written it", problems.join("; ")))
    })?;
    let setting = paylab_core::outcome::Setting { evidence: Some(directory.display().to_string()), ..setting };
    let outcome = Outcome::of_kept(&experiment.plan, report, setting);
    if format!("{:?}", outcome.verdict) != verdict {
        let now = format!("{:?}", outcome.verdict);
        return Err(in_file(OUTCOME)(format!(
            "says {verdict}, and this version of paylab concludes {now} from it; use paylab {made_by}, which has written it"
        )));
    }
    let attempts = open(directory, ATTEMPTS).map_err(|error| in_file(ATTEMPTS)(in_words(&error)))?;
    let stories = attempts::read(attempts, &run_id).map_err(|error| in_file(ATTEMPTS)(error.to_string()))?;
    Ok(Kept { outcome, chronicle: Chronicle { counts: chronicle, stories }, yaml, comparison: None })
}

/// Reads the evidence of every run in a directory: its own, or that of the experiments for each of which there is a directory in it.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_all(directory: &Path) -> Result<Vec<Kept>, Misuse> {
    if directory.join(OUTCOME).exists() || !directory.is_dir() {
        return Ok(vec![read(directory)?]);
    }
    let inner = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut inner: Vec<PathBuf> = inner.filter(|path| path.join(OUTCOME).exists()).collect();
    inner.sort();
    if inner.is_empty() { Ok(vec![read(directory)?]) } else { inner.iter().map(|path| read(path)).collect() }
}

fn text(directory: &Path, name: &str) -> io::Result<String> {
    let mut text = String::new();
    open(directory, name)?.take(LEN_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a file of the evidence. Whoever opens a named pipe waits until somebody writes into it.
fn open(directory: &Path, name: &str) -> io::Result<File> {
    let path = directory.join(name);
    if fs::metadata(&path)?.is_file() { File::open(path) } else { Err(io::Error::other("it is not a regular file")) }
}

fn outcome_file(json: &str) -> Result<OutcomeFile, String> {
    let damaged = |error: serde_json::Error| {
        if error.is_eof() {
            "is cut off; copy it again".to_owned()
        } else {
            format!("is no outcome of Paylab ({error})")
        }
    };
    let OutcomeHead { kind, format } = serde_json::from_str(json).map_err(damaged)?;
    if kind != KIND {
        return Err(format!("is of the kind {kind:?}, and not of {KIND:?}"));
    }
    if format > FORMAT {
        return Err(format!(
            "has format {format}, and this version of paylab reads formats up to {FORMAT}; use a newer version"
        ));
    }
    serde_json::from_str(json).map_err(damaged)
}
