//! The Linux namespaces of a node: network, mount and PID. It must not know what runs in them.
//!
//! A shell creates them. Its standard input is a pipe from this process, which the init process of the PID namespace reads. When
//! this process ends, for whatever reason, the pipe closes and the init process ends. The kernel then kills all other processes in
//! the namespace, and the shell removes what they left. So no process of a node outlives its test.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{
    programs::PATH,
    slot::{Slot, SlotLock},
};
use crate::wait::eventually;

const READY_WITHIN: Duration = Duration::from_secs(20);
const REMOVED_WITHIN: Duration = Duration::from_secs(20);
/// The index of field 22 of /proc/PID/stat, counted from field 3, the first one after the process's name.
const START_TIME: usize = 22 - 3;

/// The init process of the namespaces. The start time tells it from a later process with the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InitProcess {
    pid: i32,
    start_time: u64,
}

/// The namespaces exist until this is dropped, or until this process ends.
#[derive(Debug)]
pub(crate) struct Namespaces {
    shell: Child,
    /// Taken from the child, because waiting for a child closes its standard input.
    input: Option<ChildStdin>,
}

impl Namespaces {
    /// Starts the shell that creates them. It inherits the lock, so the slot stays locked until everything is removed.
    pub(crate) fn start(slot: &Slot, lock: &SlotLock) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("namespaces.sh"), "namespaces"])
            .arg(slot.directory())
            .args([slot.name(), slot.address().to_string(), slot.gateway().to_string()])
            .args([slot.prefix_length(), &slot.service_cidr(), &slot.pod_cidr()])
            .arg(include_str!("init.sh"))
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(lock.0.try_clone()?))
            .stderr(fs::File::create(slot.path("namespaces.log"))?)
            // Signals of the terminal must not reach the shell, which has to clean up.
            .process_group(0)
            .spawn()
            .context("cannot start a shell")?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }

    /// Waits until they exist, and returns the PID of their init process.
    pub(crate) fn wait_until_ready(&mut self, slot: &Slot) -> anyhow::Result<i32> {
        let shell = &mut self.shell;
        let log = slot.path("namespaces.log");
        let init = eventually("namespaces", READY_WITHIN, || {
            Ok(if shell.try_wait()?.is_some() { None } else { Some(recorded(slot)?) })
        });
        match init.with_context(|| format!("see {}", log.display()))? {
            Some(init) => Ok(init.pid),
            None => bail!("the namespaces were not created: {}", fs::read_to_string(log)?.trim_end()),
        }
    }

    /// Waits until they are removed, by this process or another.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        self.shell.wait()?;
        Ok(())
    }

    /// Ends all processes in them and removes them.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let status = eventually("removal of the namespaces", REMOVED_WITHIN, || {
            self.shell.try_wait()?.context("the shell still runs")
        })?;
        ensure!(status.success() || status.code() == Some(KILLED), "the shell of the namespaces ended with {status}");
        Ok(())
    }
}

/// The shell's exit code when the init process was killed, as [`kill_init`] does.
const KILLED: i32 = 128 + 9;

impl Drop for Namespaces {
    fn drop(&mut self) {
        // A caller that needs the error calls `stop` itself.
        let _ = self.stop();
    }
}

/// Kills the init process of a slot that another process uses, and waits until the slot's shell has removed everything.
pub(crate) fn kill_init(slot: &Slot) -> anyhow::Result<()> {
    let name = slot.name();
    recorded(slot).with_context(|| format!("{name} is not up"))?.kill()?;
    eventually(&format!("removal of {name}"), REMOVED_WITHIN, || slot.try_lock()?.context("its slot is still locked"))
        .map(drop)
}

/// The recorded init process of a slot; an error unless it is alive.
fn recorded(slot: &Slot) -> anyhow::Result<InitProcess> {
    let recorded = InitProcess::read(&slot.path("init"))?;
    ensure!(
        recorded == InitProcess::read(&stat(recorded.pid))?,
        "process {} is not the recorded init process",
        recorded.pid
    );
    Ok(recorded)
}

fn stat(pid: i32) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string()).join("stat")
}

impl InitProcess {
    fn read(stat: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(stat).with_context(|| format!("cannot read {}", stat.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a process's stat", stat.display()))
    }

    fn parse(stat: &str) -> Option<Self> {
        let pid = stat.split_once(' ')?.0.parse().ok()?;
        // A name may hold any character; it ends at the last parenthesis.
        let start_time = stat.rsplit_once(") ")?.1.split(' ').nth(START_TIME)?.trim().parse().ok()?;
        Some(Self { pid, start_time })
    }

    fn kill(self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid).context("no process has this PID")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        // From here on the PID cannot be reused.
        ensure!(self == Self::read(&stat(self.pid))?, "process {} is not the recorded init process", self.pid);
        Ok(pidfd_send_signal(process, Signal::KILL)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_identified_by_pid_and_start_time() {
        let stat = "71 (a) b ) S 1 71 71 0 -1 4194304 9 0 0 0 0 0 0 0 20 0 1 0 183624 2727936 388 18446744073709551615";
        assert_eq!(InitProcess::parse(stat), Some(InitProcess { pid: 71, start_time: 183_624 }));
        assert_eq!(InitProcess::parse("71 (a) S"), None);
    }
}
