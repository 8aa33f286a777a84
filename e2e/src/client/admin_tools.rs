//! kubectl, helm and ctr, run as the administrator of a node, each with a time limit. It must not know what they are used for.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::host::programs::{GARBAGE_LATER, PATH};

/// The time limit of every command.
const COMMAND_WITHIN: Duration = Duration::from_secs(300);
/// `timeout` sends SIGTERM at the limit, and SIGKILL this many seconds later.
const KILL_AFTER: &str = "--kill-after=5";
/// The exit code of `timeout` when the limit was reached.
const TIMED_OUT: i32 = 124;

/// Builds the commands of a node's administrator.
#[derive(Debug)]
pub(crate) struct AdminTools {
    /// The home directory of the commands, for what they store.
    pub(crate) home: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) containerd_socket: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
}

impl AdminTools {
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        self.command(&self.kubectl, arguments)
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Command {
        self.command(&self.helm, arguments)
    }

    pub(crate) fn import_image(&self, archive: &Path) -> Command {
        let mut command = self.command(Path::new("ctr"), &["--namespace=k8s.io"]);
        command.arg("--address").arg(&self.containerd_socket).args(["images", "import"]).arg(archive);
        command
    }

    /// A command with the time limit and an environment of its own.
    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let home = &self.home;
        let mut command = Command::new("timeout");
        command
            .arg(KILL_AFTER)
            .arg(COMMAND_WITHIN.as_secs().to_string())
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs([("PATH", PATH), GARBAGE_LATER])
            .env("HOME", home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", home.join("helm/cache"))
            .env("HELM_CONFIG_HOME", home.join("helm/config"))
            .env("HELM_DATA_HOME", home.join("helm/data"));
        command
    }
}

/// Runs a command and returns its standard output; an error contains its standard error.
pub(crate) fn run(mut command: Command, input: &str) -> anyhow::Result<String> {
    let shown = command.get_args().skip(2).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    // A program that stops reading early reports the reason itself.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(text),
        Some(TIMED_OUT) => bail!("{shown}: not finished within {COMMAND_WITHIN:?}\n{text}"),
        _ => bail!("{shown}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}
