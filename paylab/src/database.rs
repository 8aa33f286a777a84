//! The database of a lab on one machine, and the ledger of one run in it: always a new one, because entries of another run would be
//! taken for this one's, and its evidence would be changed.

use std::{
    ffi::OsStr,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};
use paylab_core::run_id::RunId;
use payment_service::{DatabaseKind, DatabaseUrl, options::DatabaseUrlParser};

use crate::{
    exit::Misuse,
    lab::one_thread,
    leftovers::{TemporaryFolder, TemporarySchema},
    output::in_words,
};

/// Endings of the files in which SQLite keeps what is not in the database's file yet.
const BESIDE: [&str; 2] = ["-wal", "-journal"];

/// Where the service keeps its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Database {
    /// SQLite in a directory that is removed after the run.
    #[default]
    Temporary,
    /// SQLite in a new file that is kept.
    File {
        /// The URL as written.
        url: DatabaseUrl,
        /// The file that SQLite opens for it.
        path: PathBuf,
    },
    /// PostgreSQL, in a schema of the run's own that is dropped after it.
    Postgres(DatabaseUrl),
}

/// Reads the option `--database`. Its refusal does not show the value, which may hold a password.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseParser;

/// Where a ledger is, and what must be done after the run.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) url: DatabaseUrl,
    schema: Option<TemporarySchema>,
    /// Removed when dropped, after the service has ended.
    _folder: Option<TemporaryFolder>,
}

impl TypedValueParser for DatabaseParser {
    type Value = Database;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Database, clap::Error> {
        let url = DatabaseUrlParser.parse_ref(command, arg, value)?;
        if url.expose() == "sqlite" {
            return Ok(Database::Temporary);
        }
        Database::of(url).map_err(|reason| {
            let message = format!("{reason}; sqlite alone is a temporary file\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl Database {
    fn of(url: DatabaseUrl) -> Result<Self, payment_service::BadUrl> {
        match url.kind()? {
            DatabaseKind::Postgres => Ok(Self::Postgres(url)),
            DatabaseKind::Sqlite => {
                let path = url.sqlite_file()?;
                Ok(Self::File { url, path })
            }
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Temporary | Self::File { url: _, path: _ } => "sqlite",
            Self::Postgres(_) => "postgresql",
        })
    }
}

impl Ledger {
    /// A ledger that nothing has been booked in.
    pub(crate) fn prepare(run: &RunId, database: &Database) -> anyhow::Result<Self> {
        match database {
            Database::Temporary => Self::temporary(),
            Database::File { url, path } => {
                create_new(path)?;
                Ok(Self { url: url.clone(), schema: None, _folder: None })
            }
            Database::Postgres(url) => {
                let schema = run.schema();
                one_thread()?.block_on(payment_service::create_schema(url, &schema))?;
                Ok(Self { url: url.clone(), schema: Some(TemporarySchema::new(schema)), _folder: None })
            }
        }
    }

    fn temporary() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("paylab-").tempdir();
        let folder = folder.context("cannot make a temporary directory for the ledger (TMPDIR names its folder)")?;
        let folder = TemporaryFolder::new(folder);
        let url = DatabaseUrl::of_file(&folder.path().join("ledger.db"));
        Ok(Self { url, schema: None, _folder: Some(folder) })
    }

    /// The schema of the run, if it has one.
    pub(crate) fn schema(&self) -> Option<String> {
        self.schema.as_ref().map(|schema| schema.name().to_owned())
    }

    /// Drops the schema of the run, if there is one.
    pub(crate) fn clean(self) -> anyhow::Result<()> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let dropped = one_thread()?.block_on(payment_service::drop_schema(&self.url, schema.name()));
        dropped.with_context(|| format!("cannot drop the schema {}", schema.name()))
    }
}

/// Creates the file of a ledger, which must not exist, under whatever name: a link to a file is that file. SQLite takes an empty file for
/// a new database.
fn create_new(path: &Path) -> anyhow::Result<()> {
    for ending in BESIDE {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        if fs::symlink_metadata(&beside).is_ok() {
            return Err(taken(Path::new(&beside)).into());
        }
    }
    match File::options().write(true).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(path).into()),
        Err(error) => {
            let problem = format!("--database: cannot create {}: {}", path.display(), in_words(&error));
            Err(Misuse(problem).into())
        }
    }
}

fn taken(path: &Path) -> Misuse {
    let path = path.display();
    Misuse(format!(
        "--database: {path} already exists; a run needs a ledger of its own, so name a file that does not exist"
    ))
}
