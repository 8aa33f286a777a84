//! The options of `paylab load-job`, from its command line or its environment.

use std::path::PathBuf;

use clap::value_parser;
use paylab_core::{
    duration_text::{DurationText, DurationTextError},
    run_id::RunId,
};
use paylab_part::contract::{EVIDENCE_BYTES_ENV, WORKER_INDEX_ENV};

/// The largest seed that an experiment can name, and a status can hold.
const SEED_MAX: u64 = i64::MAX as u64;
/// The longest lease that a proxy grants, in milliseconds: one hour.
const LEASE_MS_MAX: u64 = 3_600_000;

/// Sends the payments of an experiment through the reset proxy, retries as the experiment says, and judges the evidence.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The experiment's YAML file.
    #[arg(value_name = "FILE", env = "PAYLAB_EXPERIMENT")]
    pub experiment: PathBuf,

    /// The run's id, which distinguishes its payments from those of other runs: 1 to 64 letters, digits or dashes. All workers of a run
    /// need the same. Drawn when absent.
    #[arg(long, value_name = "ID", env = "PAYLAB_RUN_ID")]
    pub run_id: Option<RunId>,

    /// The seed of all faults, instead of the experiment's own. Without either, the seed is made from the run id.
    #[arg(long, value_name = "NUMBER", env = "PAYLAB_SEED", value_parser = value_parser!(u64).range(..=SEED_MAX))]
    pub seed: Option<u64>,

    /// The address of the reset proxy, to which payments are sent.
    #[arg(long, value_name = "HOST:PORT", env = "PAYLAB_PROXY", default_value = "127.0.0.1:8888")]
    pub proxy: String,

    /// The address of the reset proxy's control API, for its rules and its record.
    #[arg(long, value_name = "HOST:PORT", env = "PAYLAB_CONTROL", default_value = "127.0.0.1:8474")]
    pub control: String,

    /// The address of the payment service, for its ledger; no payment is sent there.
    #[arg(long, value_name = "HOST:PORT", env = "PAYLAB_SERVICE", default_value = "127.0.0.1:8080")]
    pub service: String,

    /// The URL of the user's own service, instead of the place that the experiment's spec.target names.
    #[arg(long, value_name = "URL", env = "PAYLAB_TARGET")]
    pub target: Option<String>,

    /// Which of the experiment's workers this is, from 0.
    #[arg(long = "shard", value_name = "NUMBER", env = WORKER_INDEX_ENV, default_value_t = 0)]
    pub worker: u32,

    /// The file for the report, at most 4096 bytes of JSON. Default: the pod's termination message, if this runs in a pod.
    #[arg(long, value_name = "FILE", env = "PAYLAB_REPORT")]
    pub report: Option<PathBuf>,

    /// Write the report and do not conclude from it: exit 0 whatever it says. The operator concludes from the reports of all workers.
    #[arg(long, env = "PAYLAB_REPORT_ONLY")]
    pub report_only: bool,

    /// Also write the evidence to the log, compressed, and cut to at most this many bytes. The operator reads it from there.
    #[arg(long, value_name = "BYTES", env = EVIDENCE_BYTES_ENV)]
    pub evidence_bytes: Option<usize>,

    /// The proxy relays everything unchanged when the load has not renewed its rules for this long: a number and ms, s, m or h, up to 1h.
    #[arg(long, value_name = "SPAN", env = "PAYLAB_LEASE", default_value = "30s", value_parser = lease)]
    pub lease: DurationText,

    /// How long to wait for a proxy that cannot be reached before the load begins: a number and ms, s, m or h.
    #[arg(long, value_name = "SPAN", env = "PAYLAB_PATIENCE", default_value = "0s")]
    pub patience: DurationText,
}

/// Reads a lease that the proxy grants.
fn lease(text: &str) -> Result<DurationText, String> {
    let lease: DurationText = text.parse().map_err(|error: DurationTextError| error.to_string())?;
    if (1..=LEASE_MS_MAX).contains(&lease.ms()) {
        Ok(lease)
    } else {
        Err("is not a lease that the proxy grants; use 1ms to 1h".to_owned())
    }
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

    #[test]
    fn only_the_file_must_be_named() {
        let options = CommandLine::try_parse_from(["load-job", "x.yaml"]).unwrap().options;
        assert_eq!((options.proxy.as_str(), options.control.as_str()), ("127.0.0.1:8888", "127.0.0.1:8474"));
        assert_eq!((options.service.as_str(), options.lease.ms()), ("127.0.0.1:8080", 30_000));
        assert!(options.run_id.is_none() && options.seed.is_none() && options.report.is_none());
        assert!(CommandLine::try_parse_from(["load-job"]).is_err());
    }

    #[test]
    fn a_bad_value_is_refused_with_what_is_allowed() {
        for (option, value, allowed) in [
            ("--run-id", "a b", "is not 1 to 64 letters, digits or dashes"),
            ("--lease", "5", "is not a whole number of ms, s, m or h"),
            ("--lease", "0s", "use 1ms to 1h"),
            ("--lease", "2h", "use 1ms to 1h"),
            ("--seed", "9223372036854775808", "is not in 0..=9223372036854775807"),
            ("--shard", "-1", "is not in 0..=4294967295"),
        ] {
            let error = CommandLine::try_parse_from(["load-job", "x.yaml", &format!("{option}={value}")]).unwrap_err();
            assert!(error.to_string().contains(allowed), "{error}");
        }
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
