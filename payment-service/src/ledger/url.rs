//! The URL of the ledger's database. It may hold a password, so nothing that is printed shows any part of it, except a scheme that is
//! well known.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use paylab_part::postgres_url::with_known_parameters;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use tracing::warn;

/// The environment variable that holds the URL.
pub const DATABASE_ENV: &str = "PAYLAB_DATABASE";
/// What a URL must look like.
const FORM: &str = "use sqlite:FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE, and write characters such as @ : / ? # % in a \
                    user or password as %40 %3A %2F %3F %23 %25 (the value is not shown, because it may hold a password)";
/// What is wrong with a database in memory.
const IN_MEMORY: &str = "is that of a database in memory, and no file keeps its ledger";
/// SQLite takes a file name that begins so for a second URL.
const SQLITE_URI: &str = "file:";
/// A file name that every URL can hold.
const ANY_FILE: &str = "ledger";
/// Characters of a file's path that stand for themselves in a URL.
const PATH_ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
/// Schemes that a message may name, because they are no secrets.
const KNOWN_SCHEMES: [&str; 16] = [
    "sqlite",
    "postgres",
    "postgresql",
    "jdbc",
    "r2dbc",
    "mysql",
    "mariadb",
    "sqlserver",
    "mssql",
    "oracle",
    "mongodb",
    "redis",
    "http",
    "https",
    "file",
    "cockroachdb",
];
/// Where the ledger is, as a caller has written it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    origin: UrlOrigin,
}

/// Where a URL was read, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlOrigin {
    /// The command-line option `--database`.
    Option,
    /// The environment variable `PAYLAB_DATABASE`.
    Variable,
    /// Another part of this program.
    Program,
}

/// Which database a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// Why a URL cannot be used. It shows no part of the URL but a well-known scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database URL in {origin} {problem}; {FORM}")]
pub struct BadUrl {
    origin: UrlOrigin,
    problem: String,
}

impl DatabaseUrl {
    /// A URL that was read from `origin`. It is checked when the database is opened.
    pub fn new(text: impl Into<String>, origin: UrlOrigin) -> Self {
        Self { text: text.into(), origin }
    }

    /// The URL of an SQLite file, whatever characters are in its path.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let path = percent_encode(path.as_os_str().as_encoded_bytes(), &PATH_ENCODED);
        Self::new(format!("sqlite://{path}"), UrlOrigin::Program)
    }

    /// The file that SQLite opens for this URL.
    ///
    /// # Errors
    /// The URL cannot be read, or no file keeps what is written to its database.
    pub fn sqlite_file(&self) -> Result<PathBuf, BadUrl> {
        let options = self.sqlite()?;
        let file = options.get_filename().to_owned();
        let name = file.to_string_lossy();
        // The library tells its parameters only as a URL, in which it cannot write every file name.
        let parameters = options.filename(ANY_FILE).to_url_lossy();
        let problem = parameters.query_pairs().find_map(|(name, value)| match (&*name, &*value) {
            ("mode", "memory") => Some(IN_MEMORY),
            ("mode", "ro") | ("immutable", _) => Some("opens its file for reading only, and a ledger is written"),
            ("vfs", _) => Some("names a vfs, which may keep the ledger anywhere; leave it out"),
            _ => None,
        });
        let problem = match &*name {
            _ if problem.is_some() => problem,
            ":memory:" => Some(IN_MEMORY),
            name if name.trim_start_matches('/').is_empty() => Some("names no file"),
            name if name.starts_with(SQLITE_URI) => {
                Some("has a second URL in it, which begins with file:; leave that out")
            }
            _ => None,
        };
        problem.map_or(Ok(file.clone()), |problem| Err(self.bad(problem.to_owned())))
    }

    /// Which database it is for.
    ///
    /// # Errors
    /// It does not begin with the scheme of one of the two databases.
    pub fn kind(&self) -> Result<DatabaseKind, BadUrl> {
        match self.text.split_once(':') {
            Some(("sqlite", _)) => Ok(DatabaseKind::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(DatabaseKind::Postgres),
            Some(_) | None => Err(self.bad(self.scheme_problem())),
        }
    }

    /// Where it was read.
    #[must_use]
    pub const fn origin(&self) -> UrlOrigin {
        self.origin
    }

    /// The URL itself, which must not be printed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub(super) fn sqlite(&self) -> Result<SqliteConnectOptions, BadUrl> {
        SqliteConnectOptions::from_str(&self.text).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn postgres(&self) -> Result<PgConnectOptions, BadUrl> {
        PgConnectOptions::from_str(&self.known_parameters()).map_err(|error| self.unreadable(&error))
    }

    /// Whether a text of another program shows a word of the URL: then the text must not be printed.
    fn is_shown_in(&self, text: &str) -> bool {
        let secret = self.text.split_once(':').map_or(self.text.as_str(), |(_, behind)| behind);
        let decoded = percent_decode_str(secret).decode_utf8_lossy().into_owned();
        words(text)
            .any(|word| words(secret).chain(words(&decoded)).any(|secret| secret.to_lowercase() == word.to_lowercase()))
    }

    /// The URL without the parameters that the driver does not know.
    fn known_parameters(&self) -> String {
        let (kept, ignored) = with_known_parameters(&self.text);
        if ignored > 0 {
            warn!(ignored, "parameters of the database URL are not known and are ignored");
        }
        kept
    }

    /// A text of another program, unless it repeats a part of the URL.
    pub(super) fn shown(&self, text: String) -> String {
        if self.is_shown_in(&text) {
            "the reason is not shown, because it repeats a part of the database URL".to_owned()
        } else {
            text
        }
    }

    fn unreadable(&self, error: &sqlx::Error) -> BadUrl {
        let cause = match error {
            sqlx::Error::Configuration(cause) => cause.to_string(),
            other => other.to_string(),
        };
        self.bad(format!("cannot be read: {}", self.shown(cause)))
    }

    fn bad(&self, problem: String) -> BadUrl {
        BadUrl { origin: self.origin, problem }
    }

    fn scheme_problem(&self) -> String {
        let scheme = self
            .text
            .split_once(':')
            .and_then(|(scheme, _)| KNOWN_SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(scheme)));
        match (self.text.chars().next(), scheme) {
            (None, _) => "is empty".to_owned(),
            (Some(first), _) if first.is_whitespace() => "begins with a blank or a line break".to_owned(),
            (Some('"' | '\''), _) => "begins with a quotation mark".to_owned(),
            (Some(_), Some(scheme @ ("sqlite" | "postgres" | "postgresql"))) => {
                format!("must write its scheme {scheme} in small letters")
            }
            (Some(_), Some(scheme)) => format!("begins with {scheme}:, which is no database for the ledger"),
            (Some(_), None) => "does not begin with sqlite: or postgres:".to_owned(),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty())
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl fmt::Display for UrlOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("--database"),
            Self::Variable => f.write_str(DATABASE_ENV),
            Self::Program => f.write_str("the service's options"),
        }
    }
}

impl From<String> for DatabaseUrl {
    fn from(text: String) -> Self {
        Self::new(text, UrlOrigin::Program)
    }
}

impl From<&str> for DatabaseUrl {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_repeats_a_word_of_the_url_is_found_however_it_is_encoded() {
        let url = DatabaseUrl::from("postgres://app:p%40ss@db.example:5432/ledger?sslmode=require");
        for text in ["user \"app\"", "no route to DB", "port 5432", "`ss`", "database 'ledger'"] {
            assert!(url.is_shown_in(text), "{text}");
        }
        for text in ["connection refused", "postgres is starting up", "apply", ""] {
            assert!(!url.is_shown_in(text), "{text}");
        }
    }

    #[test]
    fn the_file_of_an_sqlite_url_is_the_one_that_the_library_opens() {
        for (url, file) in [
            ("sqlite:v.db", "v.db"),
            ("sqlite://v.db", "v.db"),
            ("sqlite:v.db?mode=rwc", "v.db"),
            ("sqlite:v.db?cache=shared&mode=rw", "v.db"),
            ("sqlite:a b.db", "a b.db"),
            ("sqlite:a%20b.db", "a b.db"),
            ("sqlite:[v].db", "[v].db"),
            ("sqlite:///tmp/v.db", "/tmp/v.db"),
            ("sqlite:/tmp/./v.db", "/tmp/./v.db"),
        ] {
            assert_eq!(DatabaseUrl::from(url).sqlite_file().unwrap(), Path::new(file), "{url}");
        }
        for file in ["v.db", "/tmp/a b%20c?mode=ro#d/v.db", "//tmp/v.db", "/tmp/é.db"] {
            assert_eq!(DatabaseUrl::of_file(file.as_ref()).sqlite_file().unwrap(), Path::new(file));
        }
    }

    #[test]
    fn an_sqlite_url_whose_ledger_no_file_keeps_is_refused_with_the_reason() {
        for (url, problem) in [
            ("sqlite::memory:", "in memory"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite:%3Amemory%3A", "in memory"),
            ("sqlite:v.db?mode=memory", "in memory"),
            ("sqlite:", "names no file"),
            ("sqlite://", "names no file"),
            ("sqlite:?mode=rwc", "names no file"),
            ("sqlite:v.db?mode=ro", "for reading only"),
            ("sqlite:v.db?immutable=1", "for reading only"),
            ("sqlite:v.db?vfs=memdb", "names a vfs"),
            ("sqlite:file:v.db", "a second URL"),
            ("sqlite:file:v.db%3Fmode=memory", "a second URL"),
            ("sqlite:v.db?colour=red", "cannot be read"),
        ] {
            let error = DatabaseUrl::from(url).sqlite_file().unwrap_err().to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_with_its_origin_and_what_is_wrong_but_not_shown() {
        for (text, problem) in [
            ("", "is empty"),
            (" postgres://app:secret@h/d", "begins with a blank or a line break"),
            ("'postgres://app:secret@h/d'", "begins with a quotation mark"),
            ("jdbc:postgresql://app:secret@h/d", "begins with jdbc:, which is no database for the ledger"),
            ("Postgres://app:secret@h/d", "must write its scheme postgres in small letters"),
            ("secret:secret", "does not begin with sqlite: or postgres:"),
            ("secret", "does not begin with sqlite: or postgres:"),
        ] {
            let url = DatabaseUrl::new(text, UrlOrigin::Variable);
            let error = url.kind().unwrap_err();
            assert!(error.to_string().contains(&format!("in PAYLAB_DATABASE {problem}; use sqlite:FILE")), "{error}");
            assert!(!format!("{error} {error:?} {url:?}").contains("secret"), "{error}");
        }
    }
}
