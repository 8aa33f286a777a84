//! The options of the proxy, from the command line and the environment.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    path::PathBuf,
    thread::available_parallelism,
    time::Duration,
};

use clap::Args;
use paylab_core::duration_text::DurationText;
use paylab_part::{
    contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT},
    listen::everywhere,
    supervision::{TOKEN_ENV, Token},
    tls::{TlsDialer, TlsError},
};

use crate::http::head::HeadLimits;
pub use crate::transport::upstream::{Authority, AuthorityError};

const CONNECTIONS_MAX: u32 = 4096;
/// The most threads: far more than connections keep busy on the largest machines.
const THREADS_MAX: usize = 256;
const SERVICE_FIRST_AFTER: Duration = Duration::from_secs(1);
/// How a certificate in PEM begins.
const PEM_BEGIN: &str = "-----BEGIN";
const DIAL_TIMEOUT: DurationText = DurationText::from_ms(5_000);

/// How the proxy runs. The faults that it carries out and the named proxies are set at its control port.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Where clients connect: IP:PORT, `[::]:8888` by default, which is every address of IPv4 and IPv6; port 0 takes a free one. When only options of Toxiproxy are used, nothing
    /// listens there by default.
    #[arg(long, env = "PAYLAB_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,

    /// Where the proxy is controlled: IP:PORT, 127.0.0.1:8474 by default. Whoever reaches it can break connections; keep it on loopback or behind a network policy.
    #[arg(long, env = "PAYLAB_CONTROL", value_name = "IP:PORT", conflicts_with_all = ["host", "port"])]
    pub control: Option<SocketAddr>,

    /// The service behind the proxy: HOST:PORT, resolved when it is dialled; 127.0.0.1:8080 by default.
    #[arg(long, env = "PAYLAB_UPSTREAM", value_name = "HOST:PORT")]
    pub upstream: Option<Authority>,

    /// A further replica of that service: HOST:PORT, as often as there are some. Each new connection goes to the next one.
    #[arg(long = "replica", env = "PAYLAB_REPLICAS", value_name = "HOST:PORT", value_delimiter = ',')]
    pub replicas: Vec<Authority>,

    /// Speak TLS to the service, whose certificate must be for this host; clients still speak plain HTTP to the proxy.
    #[arg(long, env = "PAYLAB_UPSTREAM_TLS_NAME", value_name = "HOST")]
    pub upstream_tls_name: Option<String>,

    /// Who may sign the service's certificate: certificates in PEM, or a file with them. By default the authorities that this machine knows.
    #[arg(long, env = "PAYLAB_UPSTREAM_CA", value_name = "PEM", requires = "upstream_tls_name", value_parser = pem)]
    pub upstream_ca: Option<String>,

    /// The number of connections that may be open at once, 1 to 1048576, for each proxy; further ones wait to be accepted. Each needs two file descriptors.
    #[arg(long, env = "PAYLAB_CONNECTIONS_MAX", value_name = "COUNT", default_value_t = CONNECTIONS_MAX,
        value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub connections_max: u32,

    /// How many threads relay connections, 1 to 256; by default as many as there are cores that this process may use, which a limit of its
    /// CPU time lowers.
    #[arg(long, env = "PAYLAB_THREADS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: Option<u32>,

    /// The longest head of a message that is read as HTTP/1, in bytes, 1024 to 1048576; 102400 by default. A message with a longer one is
    /// passed on as bytes, which the record says.
    #[arg(long, env = "PAYLAB_HEAD_LEN_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1024..=1_048_576))]
    pub head_len_max: Option<u32>,

    /// The most header fields of a message that is read as HTTP/1, 16 to 10000; 1000 by default.
    #[arg(long, env = "PAYLAB_HEAD_FIELDS_MAX", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(16..=10_000))]
    pub head_fields_max: Option<u32>,

    /// How long a client may be silent after it has connected, such as 500ms; 1s by default. Then the service is dialled, because it may be
    /// the one that speaks first, as databases and mail servers do.
    #[arg(long, env = "PAYLAB_SERVICE_FIRST_AFTER", value_name = "SPAN")]
    pub service_first_after: Option<DurationText>,

    /// How long dialling the service may take, such as 250ms or 5s.
    #[arg(long, env = "PAYLAB_DIAL_TIMEOUT", value_name = "SPAN", default_value_t = DIAL_TIMEOUT)]
    pub dial_timeout: DurationText,

    /// Who can kill the service and start it again, for faults with the effect kill: HOST:PORT of a `paylab supervise`.
    #[arg(long, env = "PAYLAB_SUPERVISOR", value_name = "HOST:PORT", requires = "supervisor_token")]
    pub supervisor: Option<Authority>,

    /// The token that the supervisor asks for. It is a secret: no message shows it.
    #[arg(long, env = TOKEN_ENV, value_name = "TOKEN", hide_env_values = true)]
    pub supervisor_token: Option<Token>,

    /// The options that Toxiproxy has.
    #[command(flatten, next_help_heading = "As Toxiproxy")]
    pub toxiproxy: Toxiproxy,
}

/// Toxiproxy's own options; -host is accepted as --host.
#[derive(Debug, Clone, Default, Args)]
pub struct Toxiproxy {
    /// The host at which the API listens; localhost by default.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,

    /// The port at which the API listens; 8474 by default.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// A file with the proxies to start with, as the body of POST /populate; they may have toxics.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The seed of all random decisions, such as which connections have a toxic; random by default, and logged.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,

    /// Accepted for compatibility with Toxiproxy; the metrics are always on.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub runtime_metrics: Option<bool>,

    /// Accepted for compatibility with Toxiproxy; the metrics are always on.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub proxy_metrics: Option<bool>,
}

impl Options {
    /// Where clients of an experiment connect. `None` when only options of Toxiproxy are used.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        let default = everywhere(PROXY_PORT);
        let serves_clients = self.upstream.is_some() || !self.toxiproxy.is_used();
        self.listen.or_else(|| serves_clients.then_some(default))
    }

    /// The service of an experiment.
    #[must_use]
    pub fn upstream(&self) -> Authority {
        let default = || Authority::from(SocketAddr::from((Ipv4Addr::LOCALHOST, SERVICE_PORT)));
        self.upstream.clone().unwrap_or_else(default)
    }

    /// How many threads relay connections.
    pub(crate) fn threads(&self) -> usize {
        let given = self.threads.and_then(|count| usize::try_from(count).ok());
        given.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)).clamp(1, THREADS_MAX)
    }

    /// What makes TLS of connections to the service; `None`: they are plain.
    pub(crate) fn upstream_tls(&self) -> Result<Option<TlsDialer>, TlsError> {
        self.upstream_tls_name.as_ref().map(|name| TlsDialer::new(name, self.upstream_ca.as_deref())).transpose()
    }

    /// How large the head of a message may be.
    pub(crate) fn head_limits(&self) -> HeadLimits {
        let HeadLimits { len_max, fields_max } = HeadLimits::DEFAULT;
        let or = |option: Option<u32>, default| option.and_then(|number| number.try_into().ok()).unwrap_or(default);
        HeadLimits { len_max: or(self.head_len_max, len_max), fields_max: or(self.head_fields_max, fields_max) }
    }

    /// How long a client may be silent before the service is dialled.
    pub(crate) fn service_first_after(&self) -> Duration {
        self.service_first_after.map_or(SERVICE_FIRST_AFTER, DurationText::duration)
    }

    /// Where the proxy is controlled: `HOST:PORT`.
    #[must_use]
    pub fn control(&self) -> String {
        let Toxiproxy { host, port, .. } = &self.toxiproxy;
        match self.control {
            Some(control) => control.to_string(),
            None => format!("{}:{}", host.as_deref().unwrap_or("localhost"), port.unwrap_or(CONTROL_PORT)),
        }
    }
}

impl Toxiproxy {
    const fn is_used(&self) -> bool {
        self.host.is_some() || self.port.is_some() || self.config.is_some() || self.seed.is_some()
    }
}

/// Reads certificates in PEM, or the file that has them.
fn pem(text: &str) -> Result<String, String> {
    if text.contains(PEM_BEGIN) {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(text)
        .map_err(|error| format!("is neither a certificate in PEM nor a file with one ({error})"))
}

/// Reads a seed. A negative one, which Toxiproxy allows, stands for the unsigned number with the same bits.
///
/// # Errors
/// It is not a whole number of at most 64 bits.
pub fn seed(text: &str) -> Result<u64, String> {
    let negative = || text.parse::<i64>().map(i64::cast_unsigned);
    text.parse::<u64>().or_else(|_| negative()).map_err(|_| "use a whole number of at most 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(arguments: &[&str]) -> Options {
        Cli::parse_from([["reset-proxy"].as_slice(), arguments].concat()).options
    }

    #[test]
    fn the_defaults_are_the_ports_of_the_lesson() {
        let options = parsed(&[]);
        assert_eq!(options.listen().map(|address| address.to_string()).as_deref(), Some("[::]:8888"));
        assert_eq!(
            (options.control().as_str(), options.upstream().to_string().as_str()),
            ("localhost:8474", "127.0.0.1:8080")
        );
        assert_eq!((options.dial_timeout.ms(), options.connections_max), (5_000, 4096));
    }

    #[test]
    fn with_only_options_of_toxiproxy_only_the_api_listens() {
        let options = parsed(&["--host", "0.0.0.0", "--port", "9474"]);
        assert_eq!((options.listen(), options.control().as_str()), (None, "0.0.0.0:9474"));
        assert!(parsed(&["--seed", "7", "--upstream", "127.0.0.1:1"]).listen().is_some());
    }

    #[test]
    fn toxiproxys_options_are_read_as_it_reads_them() {
        let options = parsed(&["--seed", "-1", "--runtime-metrics", "--proxy-metrics=false"]);
        assert_eq!(options.toxiproxy.seed, Some(u64::MAX));
        assert_eq!((options.toxiproxy.runtime_metrics, options.toxiproxy.proxy_metrics), (Some(true), Some(false)));
    }

    #[test]
    fn an_option_with_an_invalid_value_is_refused() {
        for arguments in [
            ["--upstream", "8080"],
            ["--connections-max", "0"],
            ["--threads", "0"],
            ["--dial-timeout", "5"],
            ["--listen", "x"],
            ["--port", "x"],
            ["--upstream-ca", "x"],
        ] {
            assert!(Cli::try_parse_from([["reset-proxy"].as_slice(), &arguments].concat()).is_err(), "{arguments:?}");
        }
    }
}
