//! What `paylab load-job` is told on its command line or in its environment.

use std::path::PathBuf;

use paylab_experiment::{contract::SHARD_INDEX_ENV, payment::RunId, span::Span};

/// Sends the payments of an experiment through the reset proxy, retries as the experiment says, and judges what came of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The experiment's YAML file.
    #[arg(value_name = "FILE", env = "PAYLAB_EXPERIMENT")]
    pub experiment: PathBuf,

    /// Names the run, so that its payments are told from those of other runs: 1 to 64 letters, digits or dashes. All shards of a run
    /// need the same. Drawn when absent.
    #[arg(long, value_name = "ID", env = "PAYLAB_RUN_ID")]
    pub run_id: Option<RunId>,

    /// Decides every fate instead of the experiment's own seed. When neither is there, the seed is made from the run id.
    #[arg(long, value_name = "NUMBER", env = "PAYLAB_SEED")]
    pub seed: Option<u64>,

    /// Where payments are sent: the reset proxy.
    #[arg(long, value_name = "HOST:PORT", env = "PAYLAB_PROXY", default_value = "127.0.0.1:8888")]
    pub proxy: String,

    /// Where the reset proxy takes its rules and shows its record.
    #[arg(long, value_name = "HOST:PORT", env = "PAYLAB_CONTROL", default_value = "127.0.0.1:8474")]
    pub control: String,

    /// Where the payment service shows its ledger; no payment is sent there.
    #[arg(long, value_name = "HOST:PORT", env = "PAYLAB_SERVICE", default_value = "127.0.0.1:8080")]
    pub service: String,

    /// Which of the experiment's workers this is, from 0.
    #[arg(long, value_name = "NUMBER", env = SHARD_INDEX_ENV, default_value_t = 0)]
    pub shard: u32,

    /// Where to leave the report, at most 4096 bytes of JSON. Default: the pod's termination message, where there is one.
    #[arg(long, value_name = "FILE", env = "PAYLAB_REPORT")]
    pub report: Option<PathBuf>,

    /// The proxy passes everything untouched when the load has not renewed its rules for this long: a number and ms, s, m or h.
    #[arg(long, value_name = "SPAN", env = "PAYLAB_LEASE", default_value = "30s")]
    pub lease: Span,

    /// How long the proxy may be out of reach before the load begins: a number and ms, s, m or h.
    #[arg(long, value_name = "SPAN", env = "PAYLAB_PATIENCE", default_value = "0s")]
    pub patience: Span,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn only_the_file_must_be_named() {
        let options = Line::try_parse_from(["load-job", "x.yaml"]).unwrap().options;
        assert_eq!((options.proxy.as_str(), options.control.as_str()), ("127.0.0.1:8888", "127.0.0.1:8474"));
        assert_eq!((options.service.as_str(), options.lease.ms()), ("127.0.0.1:8080", 30_000));
        assert!(options.run_id.is_none() && options.seed.is_none() && options.report.is_none());
        assert!(Line::try_parse_from(["load-job"]).is_err());
    }

    #[test]
    fn a_bad_value_is_refused_with_what_is_allowed() {
        for (option, value, allowed) in [
            ("--run-id", "a b", "is not 1 to 64 letters, digits or dashes"),
            ("--lease", "5", "is not a whole number of ms, s, m or h"),
            ("--shard", "-1", "is not in 0..=4294967295"),
        ] {
            let error = Line::try_parse_from(["load-job", "x.yaml", &format!("{option}={value}")]).unwrap_err();
            assert!(error.to_string().contains(allowed), "{error}");
        }
    }

    #[test]
    fn every_option_can_be_set_by_the_environment_and_explains_itself() {
        for option in Line::command().get_arguments().filter(|option| option.get_id() != "help") {
            let (id, help) = (option.get_id(), option.get_help().map(ToString::to_string));
            assert!(option.get_env().is_some(), "{id}");
            assert!(help.is_some_and(|help| help.len() > 20), "{id}");
        }
    }
}
