//! A MariaDB server for tests, which speaks MySQL's protocol: one of Debian's in a temporary directory.

use std::{
    env,
    io::{self, Read as _},
    net::TcpStream,
    path::Path,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use crate::keeper::{Keeper, directory, free_port, is_root};

/// When this environment variable is set, a test without a server fails instead of being skipped.
const REQUIRE_ENV: &str = "PAYLAB_TEST_REQUIRE_MARIADB";
/// The server of Debian's package `mariadb-server-core`.
const SERVER: &str = "/usr/sbin/mariadbd";
/// The longest time until the server accepts connections.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The password of its user, with characters that have a meaning in URLs.
pub const PASSWORD: &str = "p@ss:/?#[ ]%";

/// Starts a server in directory `$1`, on port `$2`, as user `$3` unless that is empty; stops it at the end of standard input. Its user
/// `tester` has the password `$4`.
const KEEPER: &str = r#"
set -eu
directory=$1 port=$2 user=$3 password=$4
trap 'rm -rf "$directory"' EXIT
mariadb-install-db --no-defaults ${user:+--user=$user} --datadir="$directory/data" --skip-test-db >"$directory/log" 2>&1 || { cat "$directory/log" >&2; exit 1; }
cat >"$directory/init.sql" <<SQL
CREATE DATABASE ledger;
CREATE USER 'tester'@'%' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO 'tester'@'%';
SQL
mariadbd --no-defaults ${user:+--user=$user} --datadir="$directory/data" --socket="$directory/socket" --bind-address=127.0.0.1 --port="$port" \
    --skip-name-resolve --innodb-flush-log-at-trx-commit=0 --init-file="$directory/init.sql" >/dev/null 2>&1 &
server=$!
echo ready
cat >/dev/null
kill -KILL "$server" 2>/dev/null || true
wait "$server" || true
"#;

/// A server that accepts connections.
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    _keeper: Keeper,
}

impl MariaDb {
    /// The URL of a database, with `password` as it stands in the URL.
    #[must_use]
    pub fn url(&self, password: &str) -> String {
        format!("mysql://tester:{password}@127.0.0.1:{}/ledger", self.port)
    }
}

/// The server of this process, started at the first call; `None`, and a line on standard error, when there is none.
///
/// # Panics
/// There is no server, and `PAYLAB_TEST_REQUIRE_MARIADB` is set.
#[must_use]
#[expect(clippy::print_stderr, reason = "the person who runs the tests must see what was skipped")]
pub fn mariadb() -> Option<&'static MariaDb> {
    static SHARED: OnceLock<Result<MariaDb, String>> = OnceLock::new();
    match SHARED.get_or_init(start) {
        Ok(server) => Some(server),
        Err(reason) => {
            assert!(env::var_os(REQUIRE_ENV).is_none(), "{REQUIRE_ENV} is set, but {reason}");
            eprintln!("SKIPPED on MariaDB: {reason}; install it");
            None
        }
    }
}

fn start() -> Result<MariaDb, String> {
    if !Path::new(SERVER).exists() {
        return Err(format!("there is no {SERVER}"));
    }
    let failed = |error: io::Error| format!("MariaDB cannot be started: {error}");
    let (directory, port) = (directory("mariadb")?, free_port().map_err(failed)?);
    // The server runs as root only if it is told to.
    let user = if is_root().map_err(failed)? { "root" } else { "" };
    let arguments = [directory.as_os_str(), port.to_string().as_ref(), user.as_ref(), PASSWORD.as_ref()]
        .map(std::ffi::OsStr::to_owned);
    let keeper = Keeper::start(KEEPER, &arguments).map_err(failed)?;
    let begun = Instant::now();
    while !greets(port) {
        if begun.elapsed() > READY_TIMEOUT {
            return Err(format!("MariaDB accepted no connection within {READY_TIMEOUT:?}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(MariaDb { port, _keeper: keeper })
}

/// Whether a server greets whoever connects, as it does once it has started.
fn greets(port: u16) -> bool {
    let greeting = TcpStream::connect(("127.0.0.1", port)).and_then(|mut server| {
        server.set_read_timeout(Some(Duration::from_secs(1)))?;
        server.read_exact(&mut [0; 5])
    });
    greeting.is_ok()
}
