//! kubectl, helm and ctr on a node, each with a bound. It must not know what they are told to do.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::programs::PATH;

/// A command takes no longer, whatever it waits for.
const COMMAND_WITHIN: Duration = Duration::from_secs(300);
/// From then on it is killed.
const KILL_AFTER: &str = "--kill-after=5";
/// What a bound that was reached says.
const TOO_LONG: i32 = 124;

/// The programs that ask a node for something, as its administrator.
#[derive(Debug)]
pub(crate) struct Clients {
    /// What they keep goes there.
    pub(crate) home: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) containerd: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
}

impl Clients {
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        self.command(&self.kubectl, arguments)
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Command {
        self.command(&self.helm, arguments)
    }

    pub(crate) fn import_image(&self, archive: &Path) -> Command {
        let mut command = self.command(Path::new("ctr"), &["--namespace=k8s.io"]);
        command.arg("--address").arg(&self.containerd).args(["images", "import"]).arg(archive);
        command
    }

    /// A program that is killed when it takes too long, and has nothing of this process's environment.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let home = &self.home;
        let mut command = Command::new("timeout");
        command
            .arg(KILL_AFTER)
            .arg(COMMAND_WITHIN.as_secs().to_string())
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", home.join("helm/cache"))
            .env("HELM_CONFIG_HOME", home.join("helm/config"))
            .env("HELM_DATA_HOME", home.join("helm/data"));
        command
    }
}

/// What it writes; an error says what it writes to standard error.
pub(crate) fn run(mut command: Command, input: &str) -> anyhow::Result<String> {
    let told = command.get_args().skip(2).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {told}"))?;
    // A program that does not read all of it says why in its own words.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(text),
        Some(TOO_LONG) => bail!("{told}: not within {COMMAND_WITHIN:?}\n{text}"),
        _ => bail!("{told}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}
