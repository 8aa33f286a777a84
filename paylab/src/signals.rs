//! The signals that end a command: the first one in order, a second one at once.

use std::{
    fmt, fs, process, thread,
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    lab::one_thread,
    leftovers,
    output::{tell, tell_over_progress},
};

/// A signal so soon after the first one is the same request: `timeout`, for example, signals the process and then its group.
const SAME_REQUEST: Duration = Duration::from_millis(250);
/// What a shell adds to the number of a signal for the exit code of the command that it has ended.
const ENDED_BY_SIGNAL: i32 = 128;

/// A signal that ends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// The terminal has gone.
    HangUp,
    /// ^C.
    Interrupt,
    /// The usual request to end.
    Terminate,
}

/// The streams of the signals. A signal that this process was started to ignore has none, as `nohup` wants it.
struct Signals {
    hang_up: Option<Stream>,
    interrupt: Stream,
    terminate: Stream,
}

/// Who is told that a command is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// A person at a terminal, on standard error.
    Person,
    /// The log.
    Log,
}

/// Cancels the token on the first signal, and ends this process on a second SIGINT or SIGTERM. It works on a thread of its own as long
/// as the process runs, so a part that hangs cannot keep it from working.
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn listen(shutdown: CancellationToken, told: Told) -> anyhow::Result<()> {
    let runtime = one_thread()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(obey(signals, &shutdown, told)))?;
    Ok(())
}

async fn obey(mut signals: Signals, shutdown: &CancellationToken, told: Told) {
    let first = signals.next().await;
    // Told before it is cancelled, because the process may end at once then.
    told.tell(first);
    shutdown.cancel();
    let since = Instant::now();
    loop {
        match signals.next().await {
            // A shell and the system may both send it when one terminal goes.
            Signal::HangUp => {}
            Signal::Interrupt | Signal::Terminate if since.elapsed() < SAME_REQUEST => {}
            second @ (Signal::Interrupt | Signal::Terminate) => {
                tell("ended at once, without a result");
                leftovers::remove_promptly();
                process::exit(ENDED_BY_SIGNAL + second.kind().as_raw_value());
            }
        }
    }
}

impl Told {
    fn tell(self, first: Signal) {
        let second = first.second();
        match self {
            Self::Person => tell_over_progress(format_args!(
                "{first}: waiting for the requests in flight and for the evidence of the run; {second} ends it at once"
            )),
            Self::Log => {
                tracing::info!("{first}: waiting for what is in flight; {second} ends this at once");
            }
        }
    }
}

impl Signal {
    const fn kind(self) -> SignalKind {
        match self {
            Self::HangUp => SignalKind::hangup(),
            Self::Interrupt => SignalKind::interrupt(),
            Self::Terminate => SignalKind::terminate(),
        }
    }

    /// What ends the process at once after this one.
    const fn second(self) -> &'static str {
        match self {
            Self::Interrupt => "a second ^C",
            Self::HangUp | Self::Terminate => "a second SIGTERM",
        }
    }
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let hang_up = if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { hang_up, interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(stream) => stream.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hang_up => Signal::HangUp,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HangUp => "SIGHUP",
            Self::Interrupt => "interrupted",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Whether this process was started with a signal ignored, where the system tells it.
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal.as_raw_value() - 1)) != 0
}
