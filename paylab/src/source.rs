//! Where an experiment comes from: a file or standard input, with what the command line overrides.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::PathBuf,
};

use paylab_experiment::{
    file::{self, Experiment, FILE_LEN_MAX},
    plan::{Plan, Refusal},
};
use uuid::Uuid;

/// An experiment's file and what overrides it.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// The experiment's file; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Decide every fate by this seed instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
    /// Keep so many payments in flight instead of the file's number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub concurrency: Option<i32>,
}

/// Why an experiment cannot be run: one line for each fault.
#[derive(Debug)]
pub struct Refused {
    file: String,
    refusals: Vec<Refusal>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.refusals.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}: {refusal}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

impl Source {
    /// Reads the experiment and plans it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self) -> Result<Experiment, Refused> {
        let parsed = self.text().map_err(|error| vec![Refusal::new("", error.to_string())]).and_then(|text| {
            let drawn_seed = drawn_seed();
            self.overridden(file::parse(&text, drawn_seed)?, drawn_seed)
        });
        parsed.map_err(|refusals| Refused { file: self.name(), refusals })
    }

    /// The file as it is named in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// Refuses a field for a reason that only this machine has.
    pub(crate) fn refuse(&self, field: &str, fault: String) -> Refused {
        Refused { file: self.name(), refusals: vec![Refusal::new(field, fault)] }
    }

    fn overridden(&self, mut experiment: Experiment, drawn_seed: u64) -> Result<Experiment, Vec<Refusal>> {
        let spec = &mut experiment.resource.spec;
        spec.seed = self.seed.or(spec.seed);
        spec.client.concurrency = self.concurrency.unwrap_or(spec.client.concurrency);
        experiment.plan = Plan::parse(spec, drawn_seed)?;
        Ok(experiment)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        // One byte more than allowed is enough for the parser to refuse it.
        let most = FILE_LEN_MAX as u64 + 1;
        if self.file.as_os_str() == "-" {
            io::stdin().take(most).read_to_string(&mut text)?;
        } else {
            fs::File::open(&self.file)?.take(most).read_to_string(&mut text)?;
        }
        Ok(text)
    }
}

/// A seed for an experiment that names none, short enough to be typed again.
fn drawn_seed() -> u64 {
    u64::from(Uuid::new_v4().as_fields().0)
}
