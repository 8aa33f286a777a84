//! A child process: started, waited for, measured through /proc, and killed when it is no longer needed.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// The time limit for a child process to get ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// The pause between two checks of a child process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// /proc/PID/stat counts CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child process. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
}

/// What a child process used until it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceUsage {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) peak_mb: f64,
}

impl ChildProcess {
    /// Starts a program with arguments. Its output is discarded.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts a command. Its output is discarded.
    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Waits until `GET /readyz` at an address returns 200.
    pub(crate) fn wait_ready(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                bail!("the process ended before it was ready: {status}");
            }
            if is_ready(address).unwrap_or(false) {
                return Ok(());
            }
            thread::sleep(POLL_INTERVAL);
        }
        bail!("nothing was ready at {address} within {READY_WITHIN:?}")
    }

    /// CPU time of the process so far, of all threads, in seconds.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        cpu_of(&self.child.id().to_string(), [13, 14])
    }

    /// The peak of its resident memory, in megabytes.
    pub(crate) fn peak_mb(&self) -> anyhow::Result<f64> {
        Ok(memory_kib(self.child.id(), "VmHWM:")? * 1024.0 / 1e6)
    }

    /// Its resident memory now, in megabytes.
    pub(crate) fn rss_mb(&self) -> anyhow::Result<f64> {
        Ok(memory_kib(self.child.id(), "VmRSS:")? * 1024.0 / 1e6)
    }

    /// Waits until the process ends by itself. Its CPU time is that of all children reaped meanwhile, so wait for one at a time.
    pub(crate) fn wait(mut self) -> anyhow::Result<ResourceUsage> {
        let begun = Instant::now();
        let before_s = cpu_of("self", [15, 16])?;
        let mut peak = 0.0_f64;
        let status = loop {
            peak = peak.max(self.peak_mb().unwrap_or(0.0));
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            thread::sleep(POLL_INTERVAL);
        };
        anyhow::ensure!(status.success(), "the process failed: {status}");
        let cpu_s = cpu_of("self", [15, 16])? - before_s;
        Ok(ResourceUsage { wall_s: begun.elapsed().as_secs_f64(), cpu_s, peak_mb: peak })
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // The process may have ended in the meantime.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A loopback address whose port is free, and which nobody else is given until a child listens there.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, paylab_testbed::free_port()?)))
}

fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}

/// The sum of two fields of /proc/PID/stat, in seconds. A field is its number in proc(5), minus 1.
fn cpu_of(process: &str, fields: [usize; 2]) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses that may hold spaces.
    let (_, rest) = stat.rsplit_once(") ").context("/proc/PID/stat has an unexpected format")?;
    let values: Vec<_> = rest.split(' ').collect();
    let ticks = fields.iter().map(|field| values.get(field - 2).and_then(|value| value.parse::<f64>().ok()));
    ticks.sum::<Option<f64>>().map(|ticks| ticks / TICKS_PER_SECOND).context("/proc/PID/stat has an unexpected format")
}

/// A field of /proc/PID/status.
pub(crate) fn memory_kib(process: u32, field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).context("/proc/PID/status has no such field")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
