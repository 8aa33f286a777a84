//! A namespace of a test's own. It must not know what is in it.

use std::time::Duration;

use paylab_e2e::{Node, eventually};

/// The controllers give each namespace its default account.
const ACCOUNT_WITHIN: Duration = Duration::from_secs(20);

/// Is deleted, without a wait, when the test is over.
pub(crate) struct Namespace<'a> {
    node: &'a Node,
    name: &'static str,
}

impl<'a> Namespace<'a> {
    /// Ready for pods. The labels are `NAME=VALUE`.
    pub(crate) fn new(node: &'a Node, name: &'static str, labels: &[&str]) -> Self {
        node.kubectl(&["create", "namespace", name]).unwrap();
        let namespace = Self { node, name };
        for label in labels {
            node.kubectl(&["label", "namespace", name, label]).unwrap();
        }
        eventually("default account", ACCOUNT_WITHIN, || namespace.try_kubectl(&["get", "serviceaccount", "default"]))
            .unwrap();
        namespace
    }

    /// Where nothing runs but what Pod Security `restricted` allows.
    pub(crate) fn restricted(node: &'a Node, name: &'static str) -> Self {
        Self::new(node, name, &["pod-security.kubernetes.io/enforce=restricted"])
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// What kubectl writes, asked about this namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap()
    }

    /// The same, where it may fail.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.node.kubectl(&[&["--namespace", self.name], arguments].concat())
    }

    /// Applies documents that name no namespace.
    pub(crate) fn apply(&self, documents: &str) {
        self.try_apply(documents).unwrap();
    }

    /// The same, where it may fail.
    pub(crate) fn try_apply(&self, documents: &str) -> anyhow::Result<String> {
        self.node.apply_in(self.name, documents)
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // A test may have deleted it itself.
        let _ = self.node.kubectl(&["delete", "namespace", self.name, "--wait=false", "--ignore-not-found"]);
    }
}
