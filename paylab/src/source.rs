//! Where an experiment comes from: a file or standard input, with what the command line overrides.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::PathBuf,
};

use paylab_core::field_error::FieldError;
use paylab_resource::{
    file::{self, Experiment, FILE_LEN_MAX},
    plan::plan,
};
use uuid::Uuid;

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
}

/// Why an experiment cannot be run: one line for each error.
#[derive(Debug)]
pub struct InvalidExperiment {
    file: String,
    errors: Vec<FieldError>,
}

impl fmt::Display for InvalidExperiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}: {error}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidExperiment {}

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
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read_all(&self) -> Result<Vec<Experiment>, InvalidExperiment> {
        self.parse(|text| file::parse_all(text, drawn_seed))
    }

    fn parse(
        &self,
        parse: impl FnOnce(&str) -> Result<Vec<Experiment>, Vec<FieldError>>,
    ) -> Result<Vec<Experiment>, InvalidExperiment> {
        let text = self.text().map_err(|error| vec![FieldError::new("", in_words(&error))]);
        let experiments = text.and_then(|text| parse(&text)?.into_iter().map(|one| self.overridden(one)).collect());
        experiments.map_err(|errors| InvalidExperiment { file: self.name(), errors })
    }

    /// The file as it is named in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// The file, if it can be read again: standard input cannot.
    #[must_use]
    pub fn named_file(&self) -> Option<String> {
        (self.file.as_os_str() != "-").then(|| self.name())
    }

    /// Refuses a field for a reason that only this machine has.
    pub(crate) fn refuse(&self, field: &str, problem: String) -> InvalidExperiment {
        InvalidExperiment { file: self.name(), errors: vec![FieldError::new(field, problem)] }
    }

    fn overridden(&self, mut experiment: Experiment) -> Result<Experiment, Vec<FieldError>> {
        let spec = &mut experiment.resource.spec;
        let drawn_seed = experiment.plan.seed();
        spec.seed = self.seed.or(spec.seed);
        spec.client.concurrency = self.concurrency.unwrap_or(spec.client.concurrency);
        experiment.plan = plan(spec, drawn_seed)?;
        Ok(experiment)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        // One byte more than allowed is enough for the parser to refuse the file.
        let most = FILE_LEN_MAX as u64 + 1;
        if self.file.as_os_str() == "-" {
            io::stdin().take(most).read_to_string(&mut text)?;
        } else {
            fs::File::open(&self.file)?.take(most).read_to_string(&mut text)?;
        }
        Ok(text)
    }
}

/// Why a file cannot be read, without the numbers of the system.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory; name a file in it".to_owned(),
        io::ErrorKind::PermissionDenied => "cannot be read: permission denied".to_owned(),
        io::ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// A seed for an experiment that names none, short enough to be typed again.
fn drawn_seed() -> u64 {
    u64::from(Uuid::new_v4().as_fields().0)
}
