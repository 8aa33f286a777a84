//! What `paylab payment-service` is told on its command line or in its environment.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr},
};

use clap::{Arg, Args, Command, ValueEnum, builder::TypedValueParser, error::ErrorKind, parser::ValueSource};
use paylab_experiment::{
    contract::SERVICE_PORT,
    plan::ServicePlan,
    span::Span,
    spec::{Dedup, MissingKey, OnDisconnect},
};

use crate::ledger::{DATABASE_ENV, DatabaseUrl, UrlOrigin};

/// A payment service.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, env = "PAYLAB_LISTEN", value_name = "ADDRESS", default_value_t = any(SERVICE_PORT))]
    pub listen: SocketAddr,
    /// Where the ledger is: sqlite:FILE (made if absent) or postgres://USER@HOST/DATABASE
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
    /// A schema of the PostgreSQL database for this ledger alone, made if absent
    #[arg(long, env = "PAYLAB_SCHEMA", value_name = "NAME")]
    pub schema: Option<String>,
    /// How repeats are told: None, UniqueKey, Replay, CheckThenInsert, Memory, KeyThenApply, ApplyThenKey or AckThenApply
    #[arg(long, env = "PAYLAB_DEDUP", value_name = "MODE", default_value = "None", value_parser = word::<Dedup>)]
    pub dedup: Dedup,
    /// What becomes of a booking whose caller hangs up: Finish or Cancel
    #[arg(long, env = "PAYLAB_ON_DISCONNECT", value_name = "WORD", default_value = "Finish", value_parser = word::<OnDisconnect>)]
    pub on_disconnect: OnDisconnect,
    /// A wait inside the critical section of the mode: a number and ms, s, m or h
    #[arg(long, env = "PAYLAB_PROCESSING_TIME", value_name = "SPAN", default_value = "0s")]
    pub processing_time: Span,
    /// Replay forgets a key after this long; never when absent
    #[arg(long, env = "PAYLAB_KEY_TTL", value_name = "SPAN")]
    pub key_ttl: Option<Span>,
    /// What becomes of a request without a key in a mode that looks at keys: Book or Refuse
    #[arg(long, env = "PAYLAB_MISSING_KEY", value_name = "WORD", default_value = "Book", value_parser = word::<MissingKey>)]
    pub missing_key: MissingKey,
    /// One transaction for all bookings that have queued, or one for each
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

/// How the modes that are not broken commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Commit {
    /// One transaction for all that has queued
    Group,
    /// One transaction for each request
    Each,
}

impl Options {
    /// The options that an experiment's service asks for; where to listen and the database are the caller's.
    #[must_use]
    pub fn of(plan: &ServicePlan) -> Self {
        Self {
            listen: any(SERVICE_PORT),
            database: "sqlite:ledger.db".into(),
            schema: None,
            dedup: plan.dedup,
            on_disconnect: plan.on_disconnect,
            processing_time: span(plan.processing_time),
            key_ttl: plan.key_ttl.map(span),
            missing_key: plan.missing_key,
            commit: Commit::Group,
        }
    }
}

const fn any(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn span(duration: std::time::Duration) -> Span {
    Span::from_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a word of the spec, as it is written there.
///
/// # Errors
/// Which words there are.
pub fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error: serde_json::Error| {
        let reason = error.to_string();
        // The library repeats the text, which clap has shown already.
        reason.find("expected ").map_or(reason.clone(), |expected| reason[expected..].to_owned())
    })
}
