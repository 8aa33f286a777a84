//! The options of `paylab payment-service`, from its command line or its environment.

use std::{ffi::OsStr, net::SocketAddr};

use clap::{Arg, Args, Command, ValueEnum, builder::TypedValueParser, error::ErrorKind, parser::ValueSource};
use paylab_core::{
    duration_text::{DurationText, DurationTextError},
    probability::Probability,
    targets::ours::{Dedup, MissingKey, OnDisconnect, OurService},
};
use paylab_part::{contract::SERVICE_PORT, listen::everywhere};

use crate::{
    error::Error,
    ledger::{DATABASE_ENV, DatabaseUrl, UrlOrigin},
};

/// A payment service.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The address to listen on, `[::]` for every one of IPv4 and IPv6; port 0 lets the system choose
    #[arg(long, env = "PAYLAB_LISTEN", value_name = "ADDRESS", default_value_t = everywhere(SERVICE_PORT))]
    pub listen: SocketAddr,
    /// The ledger's database: sqlite:FILE (created if absent) or postgres://USER:PASSWORD@HOST:PORT/DATABASE. It is a secret: no message shows it
    #[arg(
        long,
        env = DATABASE_ENV,
        value_name = "URL",
        default_value = "sqlite:ledger.db",
        hide_env_values = true,
        allow_hyphen_values = true,
        value_parser = DatabaseUrlParser
    )]
    pub database: DatabaseUrl,
    /// A schema of the PostgreSQL database for this ledger alone, created if absent
    #[arg(long, env = "PAYLAB_SCHEMA", value_name = "NAME")]
    pub schema: Option<String>,
    /// How repeats are treated: None, UniqueKey, Replay, CheckThenInsert, Memory, KeyThenApply, ApplyThenKey or AckThenApply
    #[arg(long, env = "PAYLAB_DEDUP", value_name = "MODE", default_value = "None", value_parser = word::<Dedup>)]
    pub dedup: Dedup,
    /// What happens to a booking when its caller hangs up: Finish or Cancel
    #[arg(long, env = "PAYLAB_ON_DISCONNECT", value_name = "WORD", default_value = "Finish", value_parser = word::<OnDisconnect>)]
    pub on_disconnect: OnDisconnect,
    /// How long the critical section of the mode takes: a number and ms, s, m or h
    #[arg(long, env = "PAYLAB_PROCESSING_TIME", value_name = "SPAN", default_value = "0s")]
    pub processing_time: DurationText,
    /// How long --dedup Replay remembers a key, from 1ms: a number and ms, s, m or h; for ever when absent
    #[arg(long, env = "PAYLAB_KEY_TTL", value_name = "SPAN", value_parser = key_ttl)]
    pub key_ttl: Option<DurationText>,
    /// What happens to a request without a key in a mode that needs keys: Book or Refuse
    #[arg(long, env = "PAYLAB_MISSING_KEY", value_name = "WORD", default_value = "Book", value_parser = word::<MissingKey>)]
    pub missing_key: MissingKey,
    /// The probability, 0 to 1, with which a request that was booked and that names its attempt (Paylab-Attempt) is answered with 500
    #[arg(long, env = "PAYLAB_FAIL_AFTER", value_name = "PROBABILITY", default_value = "0", value_parser = probability)]
    pub fail_after: Probability,
    /// The seed that decides, with payment and attempt, which of these answers are 500
    #[arg(long, env = "PAYLAB_SEED", value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// How to commit: one transaction for all bookings in the queue, or one for each
    #[arg(long, env = "PAYLAB_COMMIT", value_name = "HOW", default_value = "group")]
    pub commit: Commit,
}

/// Takes a database URL and notes where it was read. It refuses only what is not UTF-8, and it never shows the value.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseUrlParser;

impl TypedValueParser for DatabaseUrlParser {
    type Value = DatabaseUrl;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<DatabaseUrl, clap::Error> {
        self.parse_ref_(command, arg, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<DatabaseUrl, clap::Error> {
        let origin = match source {
            ValueSource::EnvVariable => UrlOrigin::Variable,
            _ => UrlOrigin::Option,
        };
        let text = value.to_str().ok_or_else(|| {
            let message = format!("the database URL in {origin} is not UTF-8\n");
            clap::Error::raw(ErrorKind::InvalidUtf8, message).with_cmd(command)
        })?;
        Ok(DatabaseUrl::new(text, origin))
    }
}

/// How the modes that are implemented correctly commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Commit {
    /// One transaction for all bookings in the queue
    Group,
    /// One transaction for each request
    Each,
}

impl Options {
    /// The options that an experiment's service needs; the caller sets the address and the database.
    #[must_use]
    pub fn of(plan: &OurService, seed: u64) -> Self {
        Self {
            listen: everywhere(SERVICE_PORT),
            database: "sqlite:ledger.db".into(),
            schema: None,
            dedup: plan.dedup,
            on_disconnect: plan.on_disconnect,
            processing_time: span(plan.processing_time),
            key_ttl: plan.key_ttl.map(span),
            missing_key: plan.missing_key,
            fail_after: plan.fail_after,
            seed,
            commit: Commit::Group,
        }
    }
}

impl Options {
    /// Refuses what an experiment's spec refuses too.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.key_ttl.is_some() && self.dedup != Dedup::Replay {
            let text = "--key-ttl has an effect with --dedup Replay only; remove it or use Replay";
            return Err(Error::Options(text.to_owned()));
        }
        Ok(())
    }
}

/// Reads how long a key is remembered.
fn key_ttl(text: &str) -> Result<DurationText, String> {
    let ttl: DurationText = text.parse().map_err(|error: DurationTextError| error.to_string())?;
    if ttl.ms() == 0 { Err("0s forgets every key at once; use at least 1ms".to_owned()) } else { Ok(ttl) }
}

/// Reads a probability.
fn probability(text: &str) -> Result<Probability, String> {
    let value = text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
    value.map(Probability::of).ok_or_else(|| "is not a probability; use 0 to 1".to_owned())
}

fn span(duration: std::time::Duration) -> DurationText {
    DurationText::from_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a word as the spec writes it.
///
/// # Errors
/// The text is none of the words, which the error lists.
pub fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error: serde_json::Error| {
        let reason = error.to_string();
        // The library repeats the text, which clap has shown already.
        reason.find("expected ").map_or(reason.clone(), |expected| reason[expected..].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Result<Options, String> {
        let parsed = CommandLine::try_parse_from([&["payment-service"], arguments].concat());
        parsed.map(|line| line.options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_that_the_spec_refuses_is_refused_with_a_reason() {
        for (arguments, reason) in [
            (["--key-ttl", "0s"], "0s forgets every key at once; use at least 1ms"),
            (["--key-ttl", "5"], "is not a whole number of ms, s, m or h"),
            (["--processing-time", "-1s"], "unexpected argument"),
            (["--dedup", "replay"], "expected one of"),
        ] {
            let error = options(&arguments).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = options(&["--key-ttl", "5s", "--dedup", "UniqueKey"]).unwrap().check().unwrap_err();
        assert!(error.to_string().contains("--dedup Replay only"), "{error}");
        options(&["--key-ttl", "1ms", "--dedup", "Replay"]).unwrap().check().unwrap();
    }

    #[test]
    fn debug_output_does_not_show_the_database_url() {
        let options = options(&["--database", "postgres://planta:plantb@plantc/plantd"]).unwrap();
        assert!(!format!("{options:?}").contains("plant"), "{options:?}");
    }

    #[test]
    fn every_option_can_be_set_by_the_environment_and_explains_itself() {
        for option in CommandLine::command().get_arguments().filter(|option| option.get_id() != "help") {
            let (id, help) = (option.get_id(), option.get_help().map(ToString::to_string));
            assert!(option.get_env().is_some(), "{id}");
            assert!(help.is_some_and(|help| help.len() > 20), "{id}");
        }
    }
}
