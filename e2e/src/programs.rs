//! What a node is made of: Debian's programs, and those that scripts beside this crate build or fetch once into the cache.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

/// Where the node's parts look for programs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A file that must be there, and the package that brings it.
const REQUIRED: [(&str, &str); 14] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("openssl", "openssl"),
    ("/bin/busybox", "busybox-static"),
    ("unzip", "unzip"),
    ("gcc", "gcc libc6-dev"),
    ("nsenter", "util-linux"),
    ("timeout", "coreutils"),
];
/// What the scripts look for in the developer's own path.
const DEVELOPERS: [(&str, &str); 3] = [("npm", "npm"), ("go", "Go 1.26"), ("cargo", "Rust")];

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    /// All of Kubernetes' parts: its first argument picks one.
    pub(crate) node: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
    /// The archives of the images that every node has.
    pub(crate) images: PathBuf,
}

impl Programs {
    /// Builds and fetches what the cache lacks, which takes minutes the first time.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let user = fs::metadata("/proc/self")?.uid();
        ensure!(user == 0, "a node needs namespaces, mounts and control groups of its own: run this as root");
        let missing = missing();
        ensure!(missing.is_empty(), "a node needs programs that are not here; install {}", missing.join(" "));
        let tools = script("tools")?;
        Ok(Self {
            node: script("node/build")?,
            kubectl: tools.join("kubectl"),
            helm: tools.join("helm"),
            images: script("images/build")?,
        })
    }
}

/// The packages of all that is missing, each once.
fn missing() -> Vec<&'static str> {
    let developers = std::env::var("PATH").unwrap_or_default();
    let required = REQUIRED.into_iter().filter(|(program, _)| !is_in(PATH, program));
    let others = DEVELOPERS.into_iter().filter(|(program, _)| !is_in(&developers, program));
    let mut packages: Vec<_> = required.chain(others).map(|(_, package)| package).collect();
    packages.dedup();
    packages
}

fn is_in(path: &str, program: &str) -> bool {
    // A program with a whole path is itself, whatever it is joined to.
    path.split(':').any(|folder| Path::new(folder).join(program).exists())
}

/// Runs a script of this crate, whose last line names what it made.
fn script(name: &str) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let failed = || format!("{} failed", script.display());
    // Its errors, and how it goes on, are for whoever waits.
    let output = Command::new(&script).stderr(std::process::Stdio::inherit()).output().with_context(failed)?;
    if !output.status.success() {
        bail!("{}: {}", failed(), output.status);
    }
    let made = String::from_utf8(output.stdout)?.lines().last().map(PathBuf::from).with_context(failed)?;
    ensure!(made.exists(), "{} made {}, which does not exist", script.display(), made.display());
    Ok(made)
}
