//! The programs of a node: Debian's packages, and what the scripts of this crate build or download into the cache.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, anyhow, bail, ensure};

/// For programs in Go, as all of Kubernetes is: they collect garbage a quarter as often, because processors are scarcer here than memory.
pub(crate) const GARBAGE_LATER: (&str, &str) = ("GOGC", "400");
/// The `PATH` of all processes of a node.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs that must be in [`PATH`], each with its package.
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
/// Programs that the scripts use, which must be in the caller's own `PATH`, each with its package.
const REQUIRED_BY_SCRIPTS: [(&str, &str); 3] = [("npm", "npm"), ("go", "Go 1.26"), ("cargo", "Rust")];

/// The paths of the programs.
#[derive(Debug)]
pub(crate) struct Programs {
    /// All components of Kubernetes in one binary; the first argument selects one.
    pub(crate) node: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
    /// The folder with the archives of the images that every node has.
    pub(crate) images: PathBuf,
}

impl Programs {
    /// Builds and downloads what the cache lacks, which takes minutes the first time.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let user = fs::metadata("/proc/self")?.uid();
        ensure!(user == 0, "a node creates namespaces, mounts and control groups: run this as root");
        let missing = missing_packages();
        ensure!(missing.is_empty(), "programs that a node needs are missing; install {}", missing.join(" "));
        let tools = run_script("tools")?;
        Ok(Self {
            node: run_script("node/build")?,
            kubectl: tools.join("kubectl"),
            helm: tools.join("helm"),
            images: run_script("images/build")?,
        })
    }
}

/// The folder of Helm 3, of Flux's controllers and of Argo CD's health checks. They are built when a test asks for them first, which takes
/// minutes if the cache lacks them.
pub(crate) fn gitops() -> anyhow::Result<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| run_script("gitops/build").map_err(|error| format!("{error:#}")));
    folder.as_deref().map_err(|error| anyhow!("{error}"))
}

/// The packages of the missing programs, each once.
fn missing_packages() -> Vec<&'static str> {
    let caller_path = std::env::var("PATH").unwrap_or_default();
    let required = REQUIRED.into_iter().filter(|(program, _)| !is_in(PATH, program));
    let others = REQUIRED_BY_SCRIPTS.into_iter().filter(|(program, _)| !is_in(&caller_path, program));
    let mut packages: Vec<_> = required.chain(others).map(|(_, package)| package).collect();
    packages.dedup();
    packages
}

fn is_in(path: &str, program: &str) -> bool {
    // Joining an absolute path to a folder gives the absolute path.
    path.split(':').any(|folder| Path::new(folder).join(program).exists())
}

/// Runs a script of this crate, and returns the path that it prints last.
fn run_script(name: &str) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let failed = || format!("{} failed", script.display());
    // Progress and errors of the script go to this process's standard error.
    let output = Command::new(&script).stderr(std::process::Stdio::inherit()).output().with_context(failed)?;
    if !output.status.success() {
        bail!("{}: {}", failed(), output.status);
    }
    let built = String::from_utf8(output.stdout)?.lines().last().map(PathBuf::from).with_context(failed)?;
    ensure!(built.exists(), "{} printed {}, which does not exist", script.display(), built.display());
    Ok(built)
}
