//! The namespaces of a node: network, mounts and processes. It must not know what runs in them.
//!
//! A shell keeps them while it can read from this process. However this process ends, the namespaces' first process ends then, the
//! kernel kills all others in them, and the shell removes what they left: no process of a node outlives its test.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{
    place::{Claim, Place},
    programs::PATH,
    wait::eventually,
};

const READY_WITHIN: Duration = Duration::from_secs(20);
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// As a process's stat says: the third field is the first after its name.
const START_TIME: usize = 22 - 3;

/// The first process in the namespaces, known to be the one that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Init {
    pid: i32,
    start_time: u64,
}

/// Holds the namespaces. They go when it is dropped, or when this process dies.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    /// Apart from the shell, as a wait for a child closes its input.
    input: Option<ChildStdin>,
}

impl Keeper {
    /// Begins to make them; the place is the shell's too until all is gone.
    pub(crate) fn start(place: &Place, claim: &Claim) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("keeper.sh"), "keeper"])
            .arg(place.directory())
            .args([place.name(), place.prefix(), place.services(), place.pods()])
            .arg(include_str!("init.sh"))
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(claim.0.try_clone()?))
            .stderr(fs::File::create(place.path("keeper.log"))?)
            // What a terminal sends to this process is not for the shell, which has to clear up.
            .process_group(0)
            .spawn()
            .context("cannot start a shell")?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }

    /// The number of the first process in them, when they are made.
    pub(crate) fn ready(&mut self, place: &Place) -> anyhow::Result<i32> {
        let shell = &mut self.shell;
        let log = place.path("keeper.log");
        let ended = eventually("namespaces", READY_WITHIN, || {
            Ok(if shell.try_wait()?.is_some() { None } else { Some(recorded(place)?) })
        });
        match ended.with_context(|| format!("see {}", log.display()))? {
            Some(init) => Ok(init.pid),
            None => bail!("no namespaces: {}", fs::read_to_string(log)?.trim_end()),
        }
    }

    /// Waits until they end, by whoever ends them.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        self.shell.wait()?;
        Ok(())
    }

    /// Ends all that runs in them and removes them.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let status = eventually("namespaces gone", GONE_WITHIN, || self.shell.try_wait()?.context("still there"))?;
        ensure!(status.success() || status.code() == Some(KILLED), "the namespaces' shell ended with {status}");
        Ok(())
    }
}

/// What a shell says of a process that was killed, as an end by [`end`] is.
const KILLED: i32 = 128 + 9;

impl Drop for Keeper {
    fn drop(&mut self) {
        // Whoever wanted to know has called it.
        let _ = self.stop();
    }
}

/// Ends what another process's keeper holds there, and waits until that one has removed it.
pub(crate) fn end(place: &Place) -> anyhow::Result<()> {
    let name = place.name();
    recorded(place).with_context(|| format!("{name} is not up"))?.kill()?;
    eventually(&format!("{name} gone"), GONE_WITHIN, || place.try_claim()?.context("still there")).map(drop)
}

/// The first process of a place, when that very one is alive.
fn recorded(place: &Place) -> anyhow::Result<Init> {
    let recorded = Init::read(&place.path("init"))?;
    ensure!(recorded == Init::read(&stat(recorded.pid))?, "process {} is another one", recorded.pid);
    Ok(recorded)
}

fn stat(pid: i32) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string()).join("stat")
}

impl Init {
    fn read(stat: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(stat).with_context(|| format!("cannot read {}", stat.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a process's stat", stat.display()))
    }

    fn parse(stat: &str) -> Option<Self> {
        let pid = stat.split_once(' ')?.0.parse().ok()?;
        // A name may hold anything, its end is the last bracket.
        let start_time = stat.rsplit_once(") ")?.1.split(' ').nth(START_TIME)?.trim().parse().ok()?;
        Some(Self { pid, start_time })
    }

    fn kill(self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid).context("no process has this number")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        // From here on the number cannot become another process's.
        ensure!(self == Self::read(&stat(self.pid))?, "process {} is another one", self.pid);
        Ok(pidfd_send_signal(process, Signal::KILL)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_its_number_and_its_start() {
        let stat = "71 (a) b ) S 1 71 71 0 -1 4194304 9 0 0 0 0 0 0 0 20 0 1 0 183624 2727936 388 18446744073709551615";
        assert_eq!(Init::parse(stat), Some(Init { pid: 71, start_time: 183_624 }));
        assert_eq!(Init::parse("71 (a) S"), None);
    }
}
