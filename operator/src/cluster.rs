//! The cluster that the environment names: that of the pod, or of the kubeconfig.

use std::{error::Error as _, time::Duration};

use kube::{
    Client, Config,
    config::{InferConfigError, KubeconfigError},
};

use crate::error::Error;

/// A client for the cluster. `answered_within` is how long one answer may take; without it, as long as the server likes, as a watch needs.
///
/// # Errors
/// No cluster is named, or not as it must be.
pub(crate) async fn client(answered_within: Option<Duration>) -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(|error| told(&error))?;
    config.read_timeout = answered_within;
    Ok(Client::try_from(config)?)
}

/// The error without lines of the kubeconfig, which may hold tokens.
fn told(error: &InferConfigError) -> Error {
    match error.source().and_then(|cause| cause.downcast_ref()) {
        Some(KubeconfigError::Parse(_)) => Error::Kubeconfig,
        Some(cause) => Error::Config(cause.to_string()),
        None => Error::Config(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use kube::config::{KubeConfigOptions, Kubeconfig};

    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_valid_is_known_from_one_that_lacks_something() {
        for text in
            ["token: [planted4711", "users:\n- name: a\n  user:\n    token: \"planted4711\n", "users: planted4711"]
        {
            let error = Kubeconfig::from_yaml(text).unwrap_err();
            assert!(matches!(error, KubeconfigError::Parse(_)), "{error}");
        }
        // Another error tells what is missing.
        let empty = Config::from_custom_kubeconfig(Kubeconfig::default(), &KubeConfigOptions::default()).await;
        assert!(!matches!(empty.unwrap_err(), KubeconfigError::Parse(_)));
    }
}
