//! Servers that end with the test process: each is the child of a shell whose standard input is a pipe from this process. When this process
//! ends, however it ends, the shell reads the end of the pipe, stops the server and removes its directory.

use std::{
    ffi::OsString,
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The shell that keeps a server.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// It ends when its standard input is closed, which is held here.
    _shell: Child,
}

impl Keeper {
    /// Runs a script, and waits until it has started the server and says `ready`.
    pub(crate) fn start(script: &str, arguments: &[OsString]) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = [0; 6];
        let told = shell.stdout.as_mut().map(|output| output.read_exact(&mut ready));
        if !matches!(told, Some(Ok(()))) {
            return Err(io::Error::other("it cannot create its data directory; see above"));
        }
        Ok(Self { _shell: shell })
    }
}

/// A directory for a server, which the script removes.
pub(crate) fn directory(server: &str) -> Result<PathBuf, String> {
    let made = tempfile::Builder::new().prefix(&format!("paylab-{server}-")).tempdir();
    Ok(made.map_err(|error| format!("there is no temporary directory: {error}; check TMPDIR"))?.keep())
}

/// A port of the loopback interface that nobody uses. It is below those that Linux gives to connections and to whoever listens at
/// port 0, and those that Paylab itself chooses, so that nobody is given it while the server starts.
pub fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 10_000;
    const NUMBER: u16 = 10_000;
    // A place to begin that other tests do not begin at.
    let random = RandomState::new().hash_one(()) % u64::from(NUMBER);
    let begin = u16::try_from(random).unwrap_or_default();
    let mut ports = (0..NUMBER).map(|index| FIRST + (begin + index) % NUMBER);
    let unused = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    unused.ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> io::Result<bool> {
    Ok(fs::metadata(Path::new("/proc/self"))?.uid() == 0)
}
