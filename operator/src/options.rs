//! What `paylab operator` is told on its command line or in its environment.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use k8s_openapi::api::core::v1::ResourceRequirements;

/// Where health and metrics are.
const PORT: u16 = 8080;

/// Reconciles ChaosExperiments on the cluster that the environment or a kubeconfig names.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Watch one namespace; all of them when absent
    #[arg(long, env = "PAYLAB_WATCH_NAMESPACE", value_name = "NAMESPACE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub watch_namespace: Option<String>,
    /// The image that every part of an experiment runs, with its tag or digest
    #[arg(long, env = "PAYLAB_IMAGE", value_name = "NAME:TAG")]
    pub image: String,
    /// When that image is pulled: IfNotPresent, Always or Never
    #[arg(long, env = "PAYLAB_IMAGE_PULL_POLICY", value_name = "WORD", default_value = "IfNotPresent",
        value_parser = ["IfNotPresent", "Always", "Never"])]
    pub image_pull_policy: String,
    /// Secrets to pull it with, in each experiment's namespace, separated by commas
    #[arg(long, env = "PAYLAB_IMAGE_PULL_SECRETS", value_name = "NAMES", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// Requests and limits of every part's container, as JSON
    #[arg(long, env = "PAYLAB_PART_RESOURCES", value_name = "JSON", default_value = "{}", value_parser = resources)]
    pub part_resources: ResourceRequirements,
    /// Whether each experiment gets a NetworkPolicy that keeps others away from its parts
    #[arg(long, env = "PAYLAB_NETWORK_POLICIES", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub network_policies: bool,
    /// Where /healthz, /readyz and /metrics are; port 0 lets the system choose
    #[arg(long, env = "PAYLAB_LISTEN", value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))]
    pub listen: SocketAddr,
    /// Who leads among several operators
    #[command(flatten)]
    pub leadership: Leadership,
}

/// Who leads among several operators.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Leader election")]
pub struct Leadership {
    /// The Lease that the leader holds; without it this operator takes itself for the only one
    #[arg(long, env = "PAYLAB_LEASE", value_name = "NAME", requires_all = ["lease_namespace", "identity"])]
    pub lease: Option<String>,
    /// The namespace of the Lease
    #[arg(long, env = "PAYLAB_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// What this operator is called in the Lease, such as its pod's name
    #[arg(long, env = "PAYLAB_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
}

fn resources(text: &str) -> Result<ResourceRequirements, String> {
    let example = r#"use JSON such as {"requests": {"cpu": "50m"}, "limits": {"memory": "512Mi"}}"#;
    serde_json::from_str(text).map_err(|error| format!("{error}; {example}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn only_the_image_must_be_named() {
        let Line { options } = Line::try_parse_from(["operator", "--image", "paylab:1"]).unwrap();
        assert_eq!((options.watch_namespace, options.network_policies), (None, true));
        assert_eq!(options.part_resources, ResourceRequirements::default());
        assert!(options.leadership.lease.is_none() && options.image_pull_secrets.is_empty());
        assert!(Line::try_parse_from(["operator"]).is_err());
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        for arguments in [
            ["--part-resources", "{"],
            ["--part-resources", r#"{"limits": 5}"#],
            ["--image-pull-policy", "Sometimes"],
            ["--network-policies", "perhaps"],
            ["--lease", "without-an-identity"],
            ["--watch-namespace", ""],
        ] {
            let line = [&["operator", "--image", "paylab:1"], &arguments[..]].concat();
            assert!(Line::try_parse_from(line).is_err(), "{arguments:?}");
        }
    }
}
