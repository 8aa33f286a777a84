//! Servers that end with the test process: each is the child of a shell whose standard input is a pipe from this process. When this process
//! ends, however it ends, the shell reads the end of the pipe, stops the server and removes its directory.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _},
    net::TcpListener,
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

/// A port of the loopback interface that nobody uses.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> io::Result<bool> {
    Ok(fs::metadata(Path::new("/proc/self"))?.uid() == 0)
}
