//! Where experiments come from: files or standard input, with what the command line overrides.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use paylab_contract::spec::TargetSpec;
use paylab_core::field_error::FieldError;
use paylab_resource::{
    file::{self, Experiment, FILE_LEN_MAX},
    plan::{contract, plan},
};
use uuid::Uuid;

use crate::{output, stray, target::Places};

/// The name that stands for standard input.
const STDIN: &str = "-";

/// An experiment's file and what overrides it.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// The experiment's file; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The seed that decides which attempts meet which faults, instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
    /// The number of payments in flight, instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub concurrency: Option<i32>,
    /// Where the user's own service is, instead of the file's
    #[arg(skip)]
    pub places: Places,
}

/// Files of experiments and what overrides them.
#[derive(Debug, Clone, clap::Args)]
pub struct Sources {
    /// The experiments' files, each with one experiment or several; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The seed that decides which attempts meet which faults, instead of the files'
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
    /// The number of payments in flight, instead of the files'
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub concurrency: Option<i32>,
    /// Where the user's own service is, instead of the files'
    #[arg(skip)]
    pub places: Places,
}

/// An experiment, and where it was read.
#[derive(Debug, Clone)]
pub struct Sourced {
    /// The experiment.
    pub experiment: Experiment,
    source: Source,
    /// Its number in a file with several, from 1.
    document: Option<usize>,
}

/// Why experiments cannot be run: one line for each error.
#[derive(Debug)]
pub struct InvalidExperiment {
    /// Errors, each with the name of its file.
    errors: Vec<(String, FieldError)>,
}

impl fmt::Display for InvalidExperiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (file, error)) in self.errors.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{file}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidExperiment {}

impl InvalidExperiment {
    fn of(file: &str, errors: Vec<FieldError>) -> Self {
        Self { errors: errors.into_iter().map(|error| (file.to_owned(), error)).collect() }
    }
}

impl Sources {
    /// Reads every experiment of every file, in their order, and plans it. Nothing is returned unless all are valid.
    ///
    /// # Errors
    /// Everything that is wrong with them, file by file.
    pub fn read_all(&self) -> Result<Vec<Sourced>, InvalidExperiment> {
        if self.files.iter().filter(|file| is_stdin(file)).count() > 1 {
            let problem = "standard input can be read only once; name it once";
            return Err(InvalidExperiment::of(STDIN, vec![FieldError::new("", problem)]));
        }
        let (mut experiments, mut errors) = (Vec::new(), Vec::new());
        for file in &self.files {
            let (file, places) = (file.clone(), self.places.clone());
            let source = Source { file, seed: self.seed, concurrency: self.concurrency, places };
            match source.read_each() {
                Ok(read) => experiments.extend(read),
                Err(invalid) => errors.extend(invalid.errors),
            }
        }
        if errors.is_empty() { Ok(experiments) } else { Err(InvalidExperiment { errors }) }
    }
}

impl Sourced {
    /// Names the experiment in messages: its file, and which of several it is.
    #[must_use]
    pub fn label(&self) -> String {
        match self.document {
            Some(number) => format!("{}: document {number}", self.source.name()),
            None => self.source.name(),
        }
    }

    /// The name of the experiment.
    #[must_use]
    pub fn name(&self) -> String {
        self.experiment.resource.metadata.name.clone().unwrap_or_default()
    }

    /// The file as a shell reads it, if the other commands can read the experiment from it again: it is no standard input and holds only
    /// this one.
    #[must_use]
    pub fn file_alone(&self) -> Option<String> {
        self.source.argument().filter(|_| self.document.is_none())
    }

    /// Refuses a field for a reason that only this machine has.
    pub(crate) fn refuse(&self, field: &str, problem: String) -> InvalidExperiment {
        let field = self.document.map_or_else(|| field.to_owned(), |number| format!("document {number}: {field}"));
        self.source.refuse(&field, problem)
    }
}

impl Source {
    /// Reads the experiment and plans it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self) -> Result<Experiment, InvalidExperiment> {
        self.read_with(drawn_seed())
    }

    /// Reads the experiment and plans it. `drawn_seed` is used when the file names no seed.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read_with(&self, drawn_seed: u64) -> Result<Experiment, InvalidExperiment> {
        self.parse(|text| Ok(vec![file::parse(text, drawn_seed)?])).map(|mut one| one.remove(0))
    }

    /// Reads every experiment of the file and plans it.
    fn read_each(&self) -> Result<Vec<Sourced>, InvalidExperiment> {
        let experiments = self.parse(|text| file::parse_all(text, drawn_seed))?;
        let has_several = experiments.len() > 1;
        let sourced = experiments.into_iter().enumerate().map(|(index, experiment)| Sourced {
            experiment,
            source: self.clone(),
            document: has_several.then_some(index + 1),
        });
        Ok(sourced.collect())
    }

    fn parse(
        &self,
        parse: impl FnOnce(&str) -> Result<Vec<Experiment>, Vec<FieldError>>,
    ) -> Result<Vec<Experiment>, InvalidExperiment> {
        let text = self.text().map_err(|error| {
            let name = if stray::may_be_url(&self.file) { stray::HIDDEN.to_owned() } else { self.name() };
            InvalidExperiment::of(&name, vec![FieldError::new("", unreadable(&error))])
        })?;
        let experiments = parse(&text).and_then(|read| read.into_iter().map(|one| self.overridden(one)).collect());
        experiments.map_err(|errors| InvalidExperiment::of(&self.name(), errors))
    }

    /// What the file says about the user's own service, where the command line says something else; `None`: it does not, or the file cannot be
    /// read again.
    pub(crate) fn target_as_written(&self) -> Option<TargetSpec> {
        let is_replaced = self.places.service.is_some() && !is_stdin(&self.file);
        let written = Self { places: Places::default(), ..self.clone() };
        is_replaced.then(|| written.read().ok()).flatten().and_then(|experiment| experiment.resource.spec.target)
    }

    /// The file as it is named in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// The file, if it can be read again: standard input cannot.
    #[must_use]
    pub fn named_file(&self) -> Option<String> {
        (!is_stdin(&self.file)).then(|| self.name())
    }

    /// The same as a shell reads it.
    fn argument(&self) -> Option<String> {
        (!is_stdin(&self.file)).then(|| argument(&self.file))
    }

    /// Refuses a field for a reason that only this machine has.
    pub(crate) fn refuse(&self, field: &str, problem: String) -> InvalidExperiment {
        InvalidExperiment::of(&self.name(), vec![FieldError::new(field, problem)])
    }

    fn overridden(&self, mut experiment: Experiment) -> Result<Experiment, Vec<FieldError>> {
        let spec = &mut experiment.resource.spec;
        let drawn_seed = experiment.plan.seed();
        spec.seed = self.seed.or(spec.seed);
        spec.client.concurrency = self.concurrency.unwrap_or(spec.client.concurrency);
        self.places.replace(spec.target.as_mut()).map_err(|error| vec![error])?;
        experiment.plan = plan(spec, drawn_seed)?;
        let contract = contract(spec)?.map(|contract| self.places.replace_ledger(contract));
        experiment.contract = contract.transpose().map_err(|error| vec![error])?;
        Ok(experiment)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        // One byte more than allowed is enough for the parser to refuse the file.
        let most = FILE_LEN_MAX as u64 + 1;
        if is_stdin(&self.file) {
            io::stdin().take(most).read_to_string(&mut text)?;
        } else {
            fs::File::open(&self.file)?.take(most).read_to_string(&mut text)?;
        }
        Ok(text)
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == STDIN
}

/// The path of a file as an argument that a shell and a command read again: one that begins with a dash would be taken for an option.
pub(crate) fn argument(file: &Path) -> String {
    let path = file.display().to_string();
    quoted(if path.starts_with('-') { format!("./{path}") } else { path })
}

/// A word of a command line, in quotes if a shell would read it otherwise.
pub(crate) fn quoted(word: String) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+,:=@%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Why a file cannot be read, and what to do.
fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory; name a file in it".to_owned(),
        io::ErrorKind::PermissionDenied => "cannot be read: permission denied".to_owned(),
        io::ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
        _ => output::in_words(error),
    }
}

/// A seed for an experiment that names none, short enough to be typed again.
pub(crate) fn drawn_seed() -> u64 {
    u64::from(Uuid::new_v4().as_fields().0)
}
