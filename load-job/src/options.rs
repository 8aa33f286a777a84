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
}
