//! Structured logs on standard error, so that standard output has results only.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::output::tell;

/// How a part logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct Logs {
    /// Which messages are logged, such as info or reset_proxy=debug; by default warn for a run and info for a part alone
    #[arg(long = "log", env = "PAYLAB_LOG", value_name = "FILTER", value_parser = filter)]
    pub filter: Option<String>,
    /// The shape of a message
    #[arg(long = "log-format", env = "PAYLAB_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// The shape of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for people
    Text,
    /// One JSON object a line
    Json,
}

impl Logs {
    /// The same, with the level of Toxiproxy's variable `LOG_LEVEL` if neither `--log` nor `PAYLAB_LOG` is given.
    #[must_use]
    pub(crate) fn or_toxiproxys(mut self) -> Self {
        if let (None, Ok(level)) = (&self.filter, env::var("LOG_LEVEL")) {
            self.filter = toxiproxys(&level).map(str::to_owned);
            if self.filter.is_none() {
                tell(format_args!(
                    "LOG_LEVEL={level} is none of panic, fatal, error, warn, info, debug, trace and disabled; info is used"
                ));
            }
        }
        self
    }
}

/// Takes a filter that can be read.
fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("is not a filter; use off, error, warn, info, debug or trace, or one of them for a part, such as \
                       reset_proxy=debug, with commas between several"
                .to_owned())
        }
    }
}

/// The filter for a level of Toxiproxy's.
fn toxiproxys(level: &str) -> Option<&'static str> {
    Some(match level.to_ascii_lowercase().as_str() {
        "disabled" => "off",
        "panic" | "fatal" | "error" => "error",
        "warn" | "warning" => "warn",
        "info" | "" => "info",
        "debug" => "debug",
        "trace" => "trace",
        _ => return None,
    })
}

/// Libraries whose messages show parts of the database's URL: a notice names the database, TLS names the host.
const QUIET: [&str; 3] = ["sqlx::postgres::notice=off", "sqlx_postgres::options=off", "rustls=warn"];

/// Starts logging, with the filter `usual` if none is given. Only the first call in a process counts.
///
/// # Errors
/// The filter cannot be read.
pub fn start(logs: &Logs, usual: &str) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(logs.filter.as_deref().unwrap_or(usual)).context("--log cannot be read")?;
    for quiet in QUIET {
        filter = filter.add_directive(quiet.parse()?);
    }
    let colours = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // The library would tell on standard error that it cannot write there, and panic on that.
    let builder = builder.log_internal_errors(false);
    // It fails only if a subscriber is set already, which is then used.
    let _ = match logs.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    Ok(())
}
