//! A running component: its process and its log. It must not know what the component does.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::component::Component;
use crate::{
    host::{
        programs::{GARBAGE_LATER, PATH, Programs},
        slot::Slot,
    },
    wait::eventually,
};

/// This many lines of a log are part of an error.
const LOG_TAIL_LINES: usize = 20;

/// A component that was started.
#[derive(Debug)]
pub(crate) struct ComponentProcess {
    component: Component,
    log: PathBuf,
    child: Child,
}

impl ComponentProcess {
    /// Starts a component in the namespaces of the process `init_pid`.
    pub(crate) fn start(component: Component, slot: &Slot, programs: &Programs, init_pid: i32) -> anyhow::Result<Self> {
        let log = component.log(slot);
        // A component that is started anew goes on with its log.
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={init_pid}")).args(["--net", "--mount", "--pid", "--"]);
        match component {
            Component::Containerd => command.arg("containerd"),
            Component::Etcd
            | Component::ApiServer
            | Component::ControllerManager
            | Component::Scheduler
            | Component::Kubelet
            | Component::Proxy
            | Component::Dns => command.arg(&programs.node).arg(component.name()),
        };
        let directory = slot.directory().display().to_string();
        let child = command
            .args(component.flags(slot).split_ascii_whitespace().map(|flag| flag.replace('@', &directory)))
            .env_clear()
            .envs([("PATH", PATH), ("HOME", &directory), GARBAGE_LATER])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // It ends with its namespaces, not with a signal of the terminal.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", component.name()))?;
        Ok(Self { component, log, child })
    }

    /// Repeats a check, which gets the path of the log, until it succeeds; fails early when the process ends.
    pub(crate) fn wait_until_ready<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut check: impl FnMut(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Self { component, log, child } = self;
        let result = eventually(what, limit, || match child.try_wait()? {
            Some(status) => Ok(Err(anyhow!("{} ended with {status}", component.name()))),
            None => check(log).map(Ok),
        });
        result.flatten().with_context(|| log_tail(log))
    }

    pub(crate) const fn component(&self) -> Component {
        self.component
    }

    /// Kills the component, as the kernel does when memory runs out. The process that was started is the one that has entered the
    /// namespaces, and the component is its child.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let parent = self.child.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        let children: Vec<i32> = children.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [component] = children[..] else { bail!("{} is {children:?}, not one process", self.component.name()) };
        Ok(kill_process(Pid::from_raw(component).context("no process has this PID")?, Signal::KILL)?)
    }

    /// Reaps the process after its end.
    pub(crate) fn reap(&mut self, limit: Duration) -> anyhow::Result<()> {
        eventually(self.component.name(), limit, || self.child.try_wait()?.context("the process still runs")).map(drop)
    }
}

/// Succeeds when a log contains a text.
pub(crate) fn log_contains(log: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(log)?.contains(text) {
        return Ok(());
    }
    bail!("its log does not contain {text:?}")
}

/// The path of a log and its last lines, for an error.
fn log_tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
    format!("the end of {}:\n{end}\n", log.display())
}
