//! A PostgreSQL server for tests: the one that `PAYLAB_TEST_POSTGRES` names, or one of Debian's in a temporary directory.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use crate::keeper::{Keeper, directory, free_port, is_root};

/// The environment variable with the URL of a server to use: `postgres://USER@HOST/DATABASE`.
const SERVER_ENV: &str = "PAYLAB_TEST_POSTGRES";
/// When this environment variable is set, a test without a server fails instead of being skipped.
const REQUIRE_ENV: &str = "PAYLAB_TEST_REQUIRE_POSTGRES";
/// The directory in which Debian installs the versions of PostgreSQL.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The longest time until the server accepts connections.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a server in directory `$1`, with its programs in `$2`, on port `$3`, with further options `$4`, as user `$5` unless that is
/// empty; stops it at the end of standard input.
const KEEPER: &str = r#"
set -eu
directory=$1 programs=$2 port=$3 options=$4 user=$5
as() { if [ -n "$user" ]; then runuser -u "$user" -- "$@"; else "$@"; fi; }
trap 'rm -rf "$directory"' EXIT
if [ -n "$user" ]; then chown "$user" "$directory"; fi
as "$programs/initdb" --pgdata="$directory/data" --username=postgres --auth=trust --no-sync >"$directory/log" 2>&1 || { cat "$directory/log" >&2; exit 1; }
as "$programs/postgres" -D "$directory/data" -k "$directory" -h 127.0.0.1 -p "$port" -c max_connections=200 $options >/dev/null 2>&1 &
server=$!
echo ready
cat >/dev/null
as "$programs/pg_ctl" --pgdata="$directory/data" --mode=immediate stop >/dev/null 2>&1
wait "$server" || true
"#;

/// Whether committed transactions survive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// With the default settings.
    Durable,
    /// Without fsync, for tests in which no machine crashes.
    Fast,
}

/// A server that accepts connections.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    /// It ends when its standard input is closed, which is held here.
    _keeper: Option<Keeper>,
}

impl Postgres {
    /// The URL of its superuser's database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The server of this process, started at the first call; `None`, and a line on standard error, when there is none.
///
/// # Panics
/// There is no server, and `PAYLAB_TEST_REQUIRE_POSTGRES` is set.
#[must_use]
#[expect(clippy::print_stderr, reason = "the person who runs the tests must see what was skipped")]
pub fn postgres(durability: Durability) -> Option<&'static Postgres> {
    static DURABLE: OnceLock<Result<Postgres, String>> = OnceLock::new();
    static FAST: OnceLock<Result<Postgres, String>> = OnceLock::new();
    let server = match durability {
        Durability::Durable => &DURABLE,
        Durability::Fast => &FAST,
    };
    match server.get_or_init(|| find(durability)) {
        Ok(postgres) => Some(postgres),
        Err(reason) => {
            assert!(env::var_os(REQUIRE_ENV).is_none(), "{REQUIRE_ENV} is set, but {reason}");
            eprintln!("SKIPPED on PostgreSQL: {reason}; install it, or name a server in {SERVER_ENV}");
            None
        }
    }
}

fn find(durability: Durability) -> Result<Postgres, String> {
    match env::var(SERVER_ENV) {
        Ok(url) => Ok(Postgres { url, _keeper: None }),
        Err(_) => start(durability),
    }
}

fn start(durability: Durability) -> Result<Postgres, String> {
    let programs = programs().ok_or_else(|| format!("there is no {DEBIAN}/*/bin/initdb"))?;
    let failed = |error: io::Error| format!("PostgreSQL cannot be started: {error}");
    let (directory, port) = (directory("postgres")?, free_port().map_err(failed)?);
    let options = match durability {
        Durability::Durable => "",
        Durability::Fast => "-c fsync=off -c synchronous_commit=off -c full_page_writes=off",
    };
    // The server refuses to run as root.
    let user = if is_root().map_err(failed)? { "postgres" } else { "" };
    let arguments =
        [directory.as_os_str(), programs.as_os_str(), port.to_string().as_ref(), options.as_ref(), user.as_ref()]
            .map(std::ffi::OsStr::to_owned);
    let keeper = Keeper::start(KEEPER, &arguments).map_err(failed)?;
    wait_ready(&programs, port)?;
    Ok(Postgres { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), _keeper: Some(keeper) })
}

/// The newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.flatten().map(|version| version.path().join("bin"));
    let mut found: Vec<_> = versions.filter(|programs| programs.join("initdb").exists()).collect();
    found.sort();
    found.pop()
}

fn wait_ready(programs: &Path, port: u16) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < READY_TIMEOUT {
        if accepts_connections(programs, port) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("PostgreSQL accepted no connection within {READY_TIMEOUT:?}"))
}

/// PostgreSQL's own program distinguishes a ready server from one that is starting up and refuses connections.
fn accepts_connections(programs: &Path, port: u16) -> bool {
    let asked = Command::new(programs.join("pg_isready"))
        .args(["--quiet", "--host=127.0.0.1", &format!("--port={port}")])
        .status();
    asked.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_found_or_started_accepts_connections() {
        if let Some(postgres) = postgres(Durability::Fast) {
            assert!(postgres.url().starts_with("postgres"));
            assert_eq!(postgres.url(), super::postgres(Durability::Fast).unwrap().url(), "one server for each process");
        }
    }
}
