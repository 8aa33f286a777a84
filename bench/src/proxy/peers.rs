//! The proxies side by side, each as it would be run: started on a free port before the same server.

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

use crate::process::{Part, free_address};

/// A proxy must listen after this long.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const HAPROXY: &str = "haproxy";

/// What stands between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Direct,
    /// This proxy's toxics, two of them armed.
    Toxics,
    /// This proxy's fault plane, without rules.
    Faults,
    Toxiproxy,
    Haproxy,
}

/// The programs that are there.
#[derive(Debug)]
pub(crate) struct Peers {
    paylab: PathBuf,
    toxiproxy: Option<PathBuf>,
    haproxy: bool,
    directory: TempDir,
}

impl Peer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "none",
            Self::Toxics => "paylab, toxics",
            Self::Faults => "paylab, faults",
            Self::Toxiproxy => "Toxiproxy 2.5.0",
            Self::Haproxy => "HAProxy, tcp",
        }
    }
}

impl Peers {
    /// Builds Toxiproxy and looks for HAProxy; says which of them is missing.
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

    pub(crate) fn available(&self) -> Vec<Peer> {
        let mut peers = vec![Peer::Direct, Peer::Toxics, Peer::Faults];
        peers.extend(self.toxiproxy.as_ref().map(|_| Peer::Toxiproxy));
        peers.extend(self.haproxy.then_some(Peer::Haproxy));
        peers
    }

    /// Starts a proxy before a server: the process, if there is one, and where clients connect.
    pub(crate) fn start(&self, peer: Peer, server: SocketAddr) -> anyhow::Result<(Option<Part>, SocketAddr)> {
        let (address, api) = (free_address()?, free_address()?);
        let part = match peer {
            Peer::Direct => return Ok((None, server)),
            Peer::Toxics => {
                let mut command = Command::new(&self.paylab);
                command.arg("reset-proxy").args(as_toxiproxy(api)).args(["--connections-max", "16384"]);
                self.armed(command, api, address, server)?
            }
            Peer::Faults => {
                let mut command = Command::new(&self.paylab);
                command.args(["reset-proxy", "--connections-max", "16384", "--listen", &address.to_string()]);
                command.args(["--control", &api.to_string(), "--upstream", &server.to_string()]);
                Part::spawn(command)?
            }
            Peer::Toxiproxy => {
                let program = self.toxiproxy.as_ref().context("Toxiproxy was not built")?;
                let mut command = Command::new(program);
                command.args(as_toxiproxy(api)).env("LOG_LEVEL", "error");
                self.armed(command, api, address, server)?
            }
            Peer::Haproxy => {
                let file = self.directory.path().join("haproxy.cfg");
                fs::write(&file, haproxy_configuration(address, server))?;
                let mut command = Command::new(HAPROXY);
                command.arg("-db").arg("-f").arg(file);
                Part::spawn(command)?
            }
        };
        wait_listening(address)?;
        Ok((Some(part), address))
    }

    /// A server of Toxiproxy's API with one proxy, that has two `reset_peer` which never strike.
    fn armed(
        &self,
        command: Command,
        api: SocketAddr,
        address: SocketAddr,
        server: SocketAddr,
    ) -> anyhow::Result<Part> {
        let part = Part::spawn(command)?;
        wait_listening(api)?;
        let proxy = format!(r#"{{"name":"bench","listen":"{address}","upstream":"{server}"}}"#);
        post(api, "/proxies", &proxy)?;
        for stream in ["upstream", "downstream"] {
            let toxic = format!(r#"{{"type":"reset_peer","stream":"{stream}","toxicity":0}}"#);
            post(api, "/proxies/bench/toxics", &toxic)?;
        }
        Ok(part)
    }
}

fn as_toxiproxy(api: SocketAddr) -> [String; 4] {
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
        thread::sleep(LOOK_EVERY);
    }
    bail!("nothing listens at {address} after {LISTENS_WITHIN:?}")
}

fn post(api: SocketAddr, path: &str, body: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(LISTENS_WITHIN))?;
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "POST {path}: {answer}");
    Ok(())
}
