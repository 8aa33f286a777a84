//! The proxies that are compared. Each is started as its users start it, on a free port and with the same server as upstream.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::process::{ChildProcess, free_address};

/// The time limit for a proxy to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const HAPROXY: &str = "haproxy";

/// What is between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing: the client connects to the server.
    Direct,
    /// A named proxy of this program, with two toxics that never fire.
    Toxics,
    /// The fault plane of this program, without rules.
    Faults,
    /// The same on two threads.
    TwoThreads,
    Toxiproxy,
    Haproxy,
}

/// The installed proxies.
#[derive(Debug)]
pub(crate) struct Programs {
    paylab: PathBuf,
    toxiproxy: Option<PathBuf>,
    haproxy: bool,
    directory: TempDir,
}

impl Variant {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "none",
            Self::Toxics => "paylab, toxics",
            Self::Faults => "paylab, faults",
            Self::TwoThreads => "paylab, faults, 2 threads",
            Self::Toxiproxy => "Toxiproxy 2.5.0",
            Self::Haproxy => "HAProxy, tcp",
        }
    }
}

impl Programs {
    /// Builds Toxiproxy and looks for HAProxy; prints a message for each that is missing.
    pub(crate) fn find(paylab: &Path) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let toxiproxy = build_toxiproxy(&directory);
        if toxiproxy.is_none() {
            eprintln!("Toxiproxy is left out: go build failed; is Go installed?");
        }
        let haproxy = Command::new(HAPROXY).arg("-v").output().is_ok_and(|output| output.status.success());
        if !haproxy {
            eprintln!("HAProxy is left out: install Debian's package haproxy");
        }
        Ok(Self { paylab: paylab.to_owned(), toxiproxy, haproxy, directory })
    }

    /// The variants that can be measured on this machine.
    pub(crate) fn available(&self) -> Vec<Variant> {
        let mut variants = vec![Variant::Direct, Variant::Toxics, Variant::Faults, Variant::TwoThreads];
        variants.extend(self.toxiproxy.as_ref().map(|_| Variant::Toxiproxy));
        variants.extend(self.haproxy.then_some(Variant::Haproxy));
        variants
    }

    /// Starts a proxy for a server. Returns the process, if there is one, and the address for clients.
    pub(crate) fn start(
        &self,
        variant: Variant,
        server: SocketAddr,
    ) -> anyhow::Result<(Option<ChildProcess>, SocketAddr)> {
        let (address, api) = (free_address()?, free_address()?);
        let process = match variant {
            Variant::Direct => return Ok((None, server)),
            Variant::Toxics => {
                let mut command = Command::new(&self.paylab);
                command.arg("reset-proxy").args(toxiproxy_options(api)).args(["--connections-max", "16384"]);
                command.args(["--threads", "1"]);
                self.start_with_toxics(command, api, address, server)?
            }
            Variant::Faults | Variant::TwoThreads => {
                let threads = if variant == Variant::TwoThreads { "2" } else { "1" };
                let mut command = Command::new(&self.paylab);
                command.args(["reset-proxy", "--connections-max", "16384", "--listen", &address.to_string()]);
                command.args(["--threads", threads]);
                command.args(["--control", &api.to_string(), "--upstream", &server.to_string()]);
                ChildProcess::spawn(command)?
            }
            Variant::Toxiproxy => {
                let program = self.toxiproxy.as_ref().context("Toxiproxy was not built")?;
                let mut command = Command::new(program);
                command.args(toxiproxy_options(api)).env("LOG_LEVEL", "error");
                self.start_with_toxics(command, api, address, server)?
            }
            Variant::Haproxy => {
                let file = self.directory.path().join("haproxy.cfg");
                fs::write(&file, haproxy_configuration(address, server))?;
                let mut command = Command::new(HAPROXY);
                command.arg("-db").arg("-f").arg(file);
                ChildProcess::spawn(command)?
            }
        };
        wait_listening(address)?;
        Ok((Some(process), address))
    }

    /// Starts a server of Toxiproxy's API, with one named proxy that has two `reset_peer` toxics which never fire.
    fn start_with_toxics(
        &self,
        command: Command,
        api: SocketAddr,
        address: SocketAddr,
        server: SocketAddr,
    ) -> anyhow::Result<ChildProcess> {
        let process = ChildProcess::spawn(command)?;
        wait_listening(api)?;
        let proxy = format!(r#"{{"name":"bench","listen":"{address}","upstream":"{server}"}}"#);
        post(api, "/proxies", &proxy)?;
        for stream in ["upstream", "downstream"] {
            let toxic = format!(r#"{{"type":"reset_peer","stream":"{stream}","toxicity":0}}"#);
            post(api, "/proxies/bench/toxics", &toxic)?;
        }
        Ok(process)
    }
}

/// The address of the API, as Toxiproxy's options.
fn toxiproxy_options(api: SocketAddr) -> [String; 4] {
    ["-host".to_owned(), api.ip().to_string(), "-port".to_owned(), api.port().to_string()]
}

fn build_toxiproxy(directory: &TempDir) -> Option<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("toxiproxy");
    let program = directory.path().join("toxiproxy-server");
    let mut command = Command::new("go");
    command.current_dir(module).args(["build", "-o"]).arg(&program);
    let built = command.arg("github.com/Shopify/toxiproxy/v2/cmd/server").status();
    built.is_ok_and(|status| status.success()).then_some(program)
}

fn haproxy_configuration(address: SocketAddr, server: SocketAddr) -> String {
    format!(
        "defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend bench
    bind {address}
    default_backend server
backend server
    server server {server}
"
    )
}

/// Waits until an address accepts a connection.
fn wait_listening(address: SocketAddr) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < LISTENS_WITHIN {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        thread::sleep(POLL_INTERVAL);
    }
    bail!("nothing listens at {address} after {LISTENS_WITHIN:?}")
}

fn post(api: SocketAddr, path: &str, body: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(LISTENS_WITHIN))?;
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    anyhow::ensure!(
        response.split(' ').nth(1).is_some_and(|status| status.starts_with('2')),
        "POST {path}: {response}"
    );
    Ok(())
}
