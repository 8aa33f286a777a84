//! `paylab supervise`: starts a service, kills it when a proxy orders that, and starts it again.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use anyhow::Context as _;
use clap::Args;
use paylab_part::{
    contract::SERVICE_PORT,
    listen::listen,
    supervision::{SUPERVISOR_PORT, TOKEN_ENV, Token},
};
use rustix::process::{Signal, getpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    commands::part::{Logged, serve},
    exit::{Exit, Misuse},
    supervisor::{Reaped, Service, Supervisor},
};

/// What a shell adds to the number of a signal for the exit code of the command that it has ended.
const ENDED_BY_SIGNAL: i32 = 128;

/// The options of `paylab supervise`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where orders are taken: IP:PORT. Whoever reaches it and has the token can kill the service; keep it on loopback or behind a network policy
    #[arg(long, env = "PAYLAB_SUPERVISOR_LISTEN", value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, SUPERVISOR_PORT)))]
    pub listen: SocketAddr,
    /// Where the service serves once it has started: IP:PORT
    #[arg(long, env = "PAYLAB_SERVES", value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, SERVICE_PORT)))]
    pub serves: SocketAddr,
    /// The token that an order must have, at least one character. It is a secret: no message shows it, and the service does not get it
    #[arg(long, env = TOKEN_ENV, value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<Token>,
    /// Only copy this program to PATH, for another container of the same pod, and end
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    pub install: Option<PathBuf>,
    /// The command that starts the service, and its arguments
    #[arg(last = true, required_unless_present = "install", value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Runs the command until the service ends.
///
/// # Errors
/// The service cannot be started or does not serve, or the port for orders is not free.
pub fn supervise(options: Logged<Options>) -> anyhow::Result<Exit> {
    let Logged { part, logs } = options;
    if let Some(path) = &part.install {
        install(path)?;
        return Ok(Exit::AsExpected);
    }
    let token = part.token.clone().filter(|token| !token.expose().is_empty());
    let Some(token) = token else {
        let problem = format!("--token is not given, so that nobody could give an order; set {TOKEN_ENV} to a secret");
        return Err(Misuse(problem).into());
    };
    let mut exit = Exit::AsExpected;
    serve(&logs, async |shutdown: CancellationToken| {
        let listener = listen(part.listen).with_context(|| format!("cannot listen at {}", part.listen))?;
        let supervisor = Supervisor::start(service(&part), listener, token.clone(), &shutdown).await?;
        info!(listen = %part.listen, serves = %part.serves, "the service serves, and can be killed");
        let signals = pass_signals(supervisor.passing());
        let ended = tokio::select! {
            ended = supervisor.serve(shutdown.clone()) => ended?,
            never = signals => match never? {},
        };
        if !shutdown.is_cancelled() {
            error!("the service has ended ({ended}), though nobody has ordered that; ending with it");
        }
        exit = Exit::Of(code_of(ended));
        Ok(())
    })?;
    Ok(exit)
}

/// Copies this program, which must be able to run in any container.
fn install(path: &Path) -> anyhow::Result<()> {
    let program = env::current_exe().context("the path of this program is not known")?;
    let copied = fs::copy(&program, path);
    copied.with_context(|| format!("--install: cannot copy {} to {}", program.display(), path.display()))?;
    Ok(())
}

fn service(options: &Options) -> Service {
    let command = options.command.clone();
    let spawn = Box::new(move || {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        Command::new(program).args(arguments).env_remove(TOKEN_ENV).process_group(0).spawn()
    });
    let reaped = if getpid().is_init() { Reaped::All } else { Reaped::Own };
    Service { spawn, address: options.serves, reaped }
}

/// Passes on the signals that do not end a command. Those that do are those of the shutdown, which asks the service to end.
async fn pass_signals(pass: impl Fn(Signal)) -> anyhow::Result<std::convert::Infallible> {
    let (mut one, mut two) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
    let (mut window, mut quit) = (signal(SignalKind::window_change())?, signal(SignalKind::quit())?);
    loop {
        tokio::select! {
            _ = one.recv() => pass(Signal::USR1),
            _ = two.recv() => pass(Signal::USR2),
            _ = window.recv() => pass(Signal::WINCH),
            _ = quit.recv() => pass(Signal::QUIT),
        }
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| ENDED_BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
