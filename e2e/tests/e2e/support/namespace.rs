//! A Kubernetes namespace for one test. It must not know what runs in it.

use std::time::Duration;

use paylab_e2e::{Node, eventually};
use serde_json::Value;

use super::reader::Reader;

/// The time limit for the controllers to create the default service account.
const ACCOUNT_WITHIN: Duration = Duration::from_secs(20);

/// Deleted when this is dropped; the deletion is not waited for.
pub(crate) struct Namespace<'a> {
    node: &'a Node,
    name: &'static str,
    reader: Reader,
}

impl<'a> Namespace<'a> {
    /// Creates it and waits until it is ready for pods. The labels are `NAME=VALUE`.
    pub(crate) fn new(node: &'a Node, name: &'static str, labels: &[&str]) -> Self {
        node.kubectl(&["create", "namespace", name]).unwrap();
        let namespace = Self { node, name, reader: Reader::new(node.kubeconfig()) };
        for label in labels {
            node.kubectl(&["label", "namespace", name, label]).unwrap();
        }
        eventually("default service account", ACCOUNT_WITHIN, || namespace.read("api/v1", "serviceaccounts/default"))
            .unwrap();
        namespace
    }

    /// Creates it with Pod Security `restricted` enforced.
    pub(crate) fn restricted(node: &'a Node, name: &'static str) -> Self {
        Self::new(node, name, &["pod-security.kubernetes.io/enforce=restricted"])
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Reads an object or a list of this namespace, such as `apis/apps/v1` and `deployments`.
    pub(crate) fn read(&self, api: &str, what: &str) -> anyhow::Result<Value> {
        self.reader.get(&format!("/{api}/namespaces/{}/{what}", self.name))
    }

    /// Runs kubectl in this namespace and returns its standard output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap()
    }

    /// As [`Self::kubectl`], but returns the error.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.node.kubectl(&[&["--namespace", self.name], arguments].concat())
    }

    /// Applies YAML documents that name no namespace.
    pub(crate) fn apply(&self, documents: &str) {
        self.try_apply(documents).unwrap();
    }

    /// As [`Self::apply`], but returns the error.
    pub(crate) fn try_apply(&self, documents: &str) -> anyhow::Result<String> {
        self.node.apply_in(self.name, documents)
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // The test may have deleted the namespace itself.
        let _ = self.node.kubectl(&["delete", "namespace", self.name, "--wait=false", "--ignore-not-found"]);
    }
}
