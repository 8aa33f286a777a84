//! The text of a database error: the cause and what to do about it, without any part of the URL.

use sqlx::{error::DatabaseError, migrate::MigrateError};

use super::url::DatabaseUrl;

/// The cause of a failure. If the library's message repeats a part of the URL, the message is left out.
pub(super) fn explain(error: &sqlx::Error, url: &DatabaseUrl) -> String {
    match error {
        sqlx::Error::Database(error) => explain_code(error.as_ref(), url),
        sqlx::Error::Migrate(error) => explain_migration(error, url),
        sqlx::Error::Configuration(error) => url.shown(error.to_string()),
        sqlx::Error::Io(error) => {
            let cause = url.shown(error.to_string());
            format!(
                "the database server cannot be reached: {cause}; check that it runs, and the host and port of the URL"
            )
        }
        sqlx::Error::Tls(error) => format!("no TLS connection: {}", url.shown(error.to_string())),
        sqlx::Error::PoolTimedOut => "no connection to the database could be had in time".to_owned(),
        other => url.shown(other.to_string()),
    }
}

/// Why the tables could not be made.
pub(super) fn explain_migration(error: &MigrateError, url: &DatabaseUrl) -> String {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => explain(error, url),
        other => url.shown(other.to_string()),
    }
}

/// The codes are those of PostgreSQL (five characters) and SQLite (a number).
fn explain_code(error: &dyn DatabaseError, url: &DatabaseUrl) -> String {
    let code = error.code().unwrap_or_default();
    let known = match &*code {
        "28P01" => "the database server refused the password; check user and password of the URL",
        "28000" => "the database server refused the user; check the user of the URL and the server's pg_hba.conf",
        "3D000" => "there is no database of this name on the server; check the end of the URL",
        "53300" => "the database server has no connection left; raise its max_connections or the role's limit",
        "14" => {
            "the database file cannot be opened; check that its directory is there and that this user may write to it"
        }
        "26" => "the file is not an SQLite database",
        _ => return format!("{} (code {code})", url.shown(error.message().to_owned())),
    };
    format!("{known} (code {code})")
}
