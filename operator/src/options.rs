//! The options of `paylab operator`, from the command line or the environment.

use std::{net::SocketAddr, num::NonZero};

use clap::Args;
use paylab_core::duration_text::DurationText;
use paylab_part::listen::everywhere;

use crate::parts::Parts;

/// The port of health and metrics.
const PORT: u16 = 8080;
/// Labs under way at once: 24 small pods.
const LABS_MAX: NonZero<u32> = NonZero::new(8).unwrap();
/// Labs under way in one namespace, so that one tenant leaves room for others.
const LABS_MAX_PER_NAMESPACE: NonZero<u32> = NonZero::new(4).unwrap();

/// Reconciles ChaosExperiments on the cluster of the pod's service account or of the kubeconfig.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Watch this namespace only; default: all namespaces
    #[arg(long, env = "PAYLAB_WATCH_NAMESPACE", value_name = "NAMESPACE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub watch_namespace: Option<String>,
    /// Image of every part of an experiment, with its tag or digest
    #[arg(long, env = "PAYLAB_IMAGE", value_name = "NAME:TAG")]
    pub image: String,
    /// When the image is pulled: IfNotPresent, Always or Never
    #[arg(long, env = "PAYLAB_IMAGE_PULL_POLICY", value_name = "WORD", default_value = "IfNotPresent",
        value_parser = ["IfNotPresent", "Always", "Never"])]
    pub image_pull_policy: String,
    /// Secrets for pulling the image, separated by commas; they must exist in each experiment's namespace
    #[arg(long, env = "PAYLAB_IMAGE_PULL_SECRETS", value_name = "NAMES", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// How the pods of a lab are to be: resources, labels, placement and security, as JSON with the fields of the chart's value `parts`
    #[arg(long, env = "PAYLAB_PARTS", value_name = "JSON", default_value = "{}")]
    pub parts: Parts,
    /// Whether each experiment gets a NetworkPolicy that lets only its own parts connect to each other
    #[arg(long, env = "PAYLAB_NETWORK_POLICIES", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub network_policies: bool,
    /// How many experiments may have a lab under way at once; the others wait, the oldest first
    #[arg(long, env = "PAYLAB_LABS_MAX", value_name = "NUMBER", default_value_t = LABS_MAX)]
    pub labs_max: NonZero<u32>,
    /// How many of them in one namespace
    #[arg(long, env = "PAYLAB_LABS_MAX_PER_NAMESPACE", value_name = "NUMBER", default_value_t = LABS_MAX_PER_NAMESPACE)]
    pub labs_max_per_namespace: NonZero<u32>,
    /// How long a lab is kept that spec.retain keeps; its parts are scaled to 0, so that it needs no processor
    #[arg(long, env = "PAYLAB_KEEP_LABS_FOR", value_name = "SPAN", default_value = "24h")]
    pub keep_labs_for: DurationText,
    /// Address of /healthz, /readyz and /metrics, `[::]` for every one of IPv4 and IPv6; port 0 lets the system choose a free port
    #[arg(long, env = "PAYLAB_LISTEN", value_name = "IP:PORT", default_value_t = everywhere(PORT))]
    pub listen: SocketAddr,
    /// Leader election among several operators
    #[command(flatten)]
    pub leadership: Leadership,
}

/// Leader election among several operators.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Leader election")]
pub struct Leadership {
    /// Name of the Lease that the leader holds; without it there is no election, so run only one operator
    #[arg(long, env = "PAYLAB_LEASE", value_name = "NAME", requires_all = ["lease_namespace", "identity"])]
    pub lease: Option<String>,
    /// Namespace of the Lease
    #[arg(long, env = "PAYLAB_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of this operator in the Lease and in Events, such as the name of its pod
    #[arg(long, env = "PAYLAB_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn only_the_image_is_required() {
        let CommandLine { options } = CommandLine::try_parse_from(["operator", "--image", "paylab:1"]).unwrap();
        assert_eq!((options.watch_namespace, options.network_policies), (None, true));
        assert_eq!(options.parts, Parts::default());
        assert!(options.leadership.lease.is_none() && options.image_pull_secrets.is_empty());
        assert!(CommandLine::try_parse_from(["operator"]).is_err());
    }

    #[test]
    fn invalid_options_are_refused() {
        for arguments in [
            ["--parts", "{"],
            ["--parts", r#"{"resources": {"limits": {"memory": "abc"}}}"#],
            ["--image-pull-policy", "Sometimes"],
            ["--network-policies", "perhaps"],
            ["--lease", "without-an-identity"],
            ["--watch-namespace", ""],
            ["--labs-max", "0"],
            ["--labs-max-per-namespace", "-1"],
            ["--keep-labs-for", "forever"],
        ] {
            let line = [&["operator", "--image", "paylab:1"], &arguments[..]].concat();
            assert!(CommandLine::try_parse_from(line).is_err(), "{arguments:?}");
        }
    }
}
