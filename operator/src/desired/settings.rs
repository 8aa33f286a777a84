//! The operator's options that are the same for every experiment.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::{names, options::Options, parts::Parts};

/// The settings of every experiment's objects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) image: String,
    pub(crate) pull_policy: String,
    pub(crate) pull_secrets: Vec<String>,
    pub(crate) parts: Parts,
    pub(crate) network_policies: bool,
}

impl Settings {
    pub(crate) fn of(options: &Options) -> Self {
        let Options {
            watch_namespace: _,
            labs_max: _,
            labs_max_per_namespace: _,
            keep_labs_for: _,
            image,
            image_pull_policy,
            image_pull_secrets,
            parts,
            network_policies,
            listen: _,
            leadership: _,
        } = options;
        Self {
            image: image.clone(),
            pull_policy: image_pull_policy.clone(),
            pull_secrets: image_pull_secrets.iter().filter(|name| !name.is_empty()).cloned().collect(),
            parts: parts.clone(),
            network_policies: *network_policies,
        }
    }

    /// These settings with the image that is written on a plan, so that a new version of the operator does not change the
    /// image of a run in progress.
    pub(crate) fn with_image_of(&self, plan: &ConfigMap) -> Self {
        let image = plan.metadata.annotations.as_ref().and_then(|all| all.get(names::IMAGE_ANNOTATION));
        Self { image: image.cloned().unwrap_or_else(|| self.image.clone()), ..self.clone() }
    }
}
