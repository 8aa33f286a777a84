//! Reads of the API server from this process. A test that waits looks ten times a second, and a kubectl for each look would take most of the
//! machine from what it waits for.

use std::path::Path;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// A client of the administrator.
pub(crate) struct Reader {
    runtime: Runtime,
    client: Client,
}

impl Reader {
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            Client::try_from(config).unwrap()
        });
        Self { runtime, client }
    }

    /// The object or the list at a path of the API.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.runtime.block_on(self.client.request(request))?)
    }
}
