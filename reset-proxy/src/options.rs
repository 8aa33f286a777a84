//! What can be set from the command line and the environment.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use paylab_experiment::{
    contract::{CONTROL_PORT, PROXY_PORT, SERVICE_PORT},
    span::Span,
};

pub use crate::upstream::{Authority, AuthorityError};

/// How the proxy runs. Which faults it carries out is told at its control port.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where clients connect: IP:PORT; port 0 takes a free one.
    #[arg(long, env = "PAYLAB_LISTEN", value_name = "IP:PORT",
        default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PROXY_PORT)))]
    pub listen: SocketAddr,

    /// Where the proxy is controlled: IP:PORT. Whoever reaches it can break connections; keep it on loopback or behind a network policy.
    #[arg(long, env = "PAYLAB_CONTROL", value_name = "IP:PORT",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL_PORT)))]
    pub control: SocketAddr,

    /// The service behind the proxy: HOST:PORT, resolved when it is dialled.
    #[arg(long, env = "PAYLAB_UPSTREAM", value_name = "HOST:PORT",
        default_value_t = Authority::from(SocketAddr::from((Ipv4Addr::LOCALHOST, SERVICE_PORT))))]
    pub upstream: Authority,

    /// Connections open at once, 1 to 65536; past it, new ones wait to be accepted. Each needs two file descriptors.
    #[arg(long, env = "PAYLAB_CONNECTIONS_MAX", value_name = "COUNT", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub connections_max: u32,

    /// How long dialling the service may take, such as 250ms or 5s.
    #[arg(long, env = "PAYLAB_DIAL_TIMEOUT", value_name = "SPAN", default_value_t = Span::from_ms(5_000))]
    pub dial_timeout: Span,
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

    #[test]
    fn the_defaults_are_the_ports_of_the_lesson() {
        let Options { listen, control, upstream, connections_max, dial_timeout } =
            Cli::parse_from(["reset-proxy"]).options;
        assert_eq!((listen.to_string(), control.to_string()), ("0.0.0.0:8888".into(), "127.0.0.1:8474".into()));
        assert_eq!((upstream.to_string().as_str(), dial_timeout.ms()), ("127.0.0.1:8080", 5_000));
        assert!(connections_max > 0);
    }

    #[test]
    fn an_option_that_cannot_be_obeyed_is_refused() {
        for arguments in
            [["--upstream", "8080"], ["--connections-max", "0"], ["--dial-timeout", "5"], ["--listen", "x"]]
        {
            assert!(Cli::try_parse_from([["reset-proxy"].as_slice(), &arguments].concat()).is_err(), "{arguments:?}");
        }
    }
}
