//! The chart on a real API server whose pods do not run: every way from one set of values to another, and what tools make of a resource
//! that no operator has seen.

use std::{io::Write as _, path::PathBuf};

use paylab_e2e::Node;
use serde_json::Value;

use super::crash::OPERATOR;
use crate::support::{Namespace, await_established, experiment, root};

/// The namespace and the name of the release.
const RELEASE: &str = "ways";
/// The sets of values in `charts/paylab/ci` that can be installed as they are.
const SETS: [&str; 6] = ["default", "namespace", "replicas", "everything", "minimal", "openshift"];
/// Kinds of the Prometheus Operator, which the set `everything` needs. Nothing looks into them.
const MONITORS: [(&str, &str); 2] = [("servicemonitors", "ServiceMonitor"), ("prometheusrules", "PrometheusRule")];

/// A Helm, and how it sends an upgrade.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Helm {
    name: &'static str,
    run: fn(&Node, &[&str]) -> anyhow::Result<String>,
    options: &'static [&'static str],
}

/// It knows client-side apply alone.
pub(crate) const HELM_3: Helm = Helm { name: "Helm 3", run: Node::helm3, options: &[] };
/// With server-side apply, which is its default for a new release.
pub(crate) const HELM_4: Helm = Helm { name: "Helm 4", run: Node::helm, options: &["--server-side=true"] };
/// With its default: what the last one has used who changed the release.
const HELM_4_AUTO: Helm = Helm { name: "Helm 4 as before", run: Node::helm, options: &[] };
/// Who changes a release in turn.
const TURNS: [Helm; 4] = [HELM_3, HELM_4_AUTO, HELM_3, HELM_4];

/// The operator's token creates and deletes no ConfigMap but those of experiments, though its role names none.
pub(crate) fn only_own_config_maps(node: &Node) {
    let ns = Namespace::new(node, "config-maps", &[]);
    ns.apply(&experiment("shop", ""));
    let owned_by = |api: &str, kind: &str, name: &str| {
        let uid = ns.kubectl(&["get", kind, name, "--output=jsonpath={.metadata.uid}"]);
        format!("{{apiVersion: {api}, kind: {kind}, name: {name}, uid: {uid}, controller: true}}")
    };
    let ours = owned_by("paylab.dev/v1alpha1", "ChaosExperiment", "shop");
    let theirs = owned_by("v1", "ServiceAccount", "default");
    let as_operator = format!("--as={OPERATOR}");
    let create = |name: &str, owner: &str, further: &[&str]| {
        let head = format!("{{name: {name}, ownerReferences: [{owner}]}}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "apiVersion: v1\nkind: ConfigMap\nmetadata: {head}\n").unwrap();
        ns.try_kubectl(&[&["create", "--filename", file.path().to_str().unwrap()], further].concat())
    };
    let delete = |name: &str, further: &[&str]| ns.try_kubectl(&[&["delete", "configmap", name], further].concat());
    let assert_refused = |done: anyhow::Result<String>| {
        let refusal = done.unwrap_err().to_string();
        assert!(refusal.contains("creates and deletes only the ConfigMaps NAME-plan and NAME-evidence"), "{refusal}");
    };
    for (name, owner) in [("shop-plan", ""), ("shop-plan", &theirs), ("settings", &ours)] {
        assert_refused(create(name, owner, &[&as_operator]));
        create(name, owner, &[]).unwrap();
        assert_refused(delete(name, &[&as_operator]));
        delete(name, &[]).unwrap();
    }
    for name in ["shop-plan", "shop-evidence"] {
        create(name, &ours, &[&as_operator]).unwrap();
        delete(name, &[&as_operator]).unwrap();
    }
}

/// Goes every way from one set of values to another, with one release.
pub(crate) fn every_way(node: &Node, helm: Helm) {
    define_monitors(node);
    let mut before = "nothing";
    for set in walk() {
        install(node, helm, set).unwrap_or_else(|error| panic!("from {before} to {set}: {error:#}"));
        check_strategy(node, set);
        before = set;
    }
    // A rollback is an upgrade too.
    (helm.run)(node, &[&["rollback", RELEASE, "--namespace", RELEASE], helm.options].concat()).unwrap();
    (helm.run)(node, &["uninstall", RELEASE, "--namespace", RELEASE]).unwrap();
}

/// One release is upgraded by Helm 3 and Helm 4 in turn, each time to another set of values. Each set meets each of them.
pub(crate) fn taking_turns(node: &Node) {
    define_monitors(node);
    for step in 0..SETS.len() * TURNS.len() / 2 {
        let (set, helm) = (SETS[step % SETS.len()], TURNS[step % TURNS.len()]);
        install(node, helm, set).unwrap_or_else(|error| panic!("step {step}, to {set} with {}: {error:#}", helm.name));
        check_strategy(node, set);
    }
    // Each can undo what the other one has done last, and remove it.
    node.helm3(&["rollback", RELEASE, "--namespace", RELEASE]).unwrap();
    node.helm(&["rollback", RELEASE, "--namespace", RELEASE]).unwrap();
    node.helm3(&["uninstall", RELEASE, "--namespace", RELEASE]).unwrap();
}

fn install(node: &Node, helm: Helm, set: &str) -> anyhow::Result<String> {
    let (chart, values) = (chart(), chart().join(format!("ci/{set}.yaml")));
    let (chart, values) = (chart.to_str().unwrap(), values.to_str().unwrap());
    let arguments = ["upgrade", "--install", RELEASE, chart, "--namespace", RELEASE, "--create-namespace"];
    let further = ["--set=crds.install=false", "--values", values];
    (helm.run)(node, &[&arguments[..], &further, helm.options].concat())
}

/// The sets in an order in which each follows each other one once, beginning and ending with the first.
fn walk() -> Vec<&'static str> {
    let pairs = (0..SETS.len()).flat_map(|one| (one + 1..SETS.len()).flat_map(move |other| [one, other]));
    pairs.chain([0]).map(|index| SETS[index]).collect()
}

/// What is left of one set must not change what another one means.
fn check_strategy(node: &Node, set: &str) {
    let name = format!("deployment/{RELEASE}-paylab");
    let deployment = node.kubectl(&["get", &name, "--namespace", RELEASE, "--output=json"]).unwrap();
    let spec = serde_json::from_str::<Value>(&deployment).unwrap()["spec"].clone();
    let (replicas, strategy) = (spec["replicas"].as_u64().unwrap(), &spec["strategy"]);
    assert_eq!(*strategy, serde_json::json!({"type": "Recreate"}), "{set}");
    let spread = &spec["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!(spread.is_null(), replicas == 1, "{set}: {spread}");
    let user = &spec["template"]["spec"]["securityContext"]["runAsUser"];
    assert_eq!(user.is_null(), set == "openshift", "{set}: {user}");
}

fn define_monitors(node: &Node) {
    for (plural, kind) in MONITORS {
        let singular = kind.to_lowercase();
        node.apply(&format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.monitoring.coreos.com}}\n\
             spec:\n  group: monitoring.coreos.com\n  names: {{plural: {plural}, singular: {singular}, kind: {kind}}}\n  scope: Namespaced\n  \
             versions:\n    - name: v1\n      served: true\n      storage: true\n      schema: {{openAPIV3Schema: {{type: object, \
             x-kubernetes-preserve-unknown-fields: true}}}}\n"
        ))
        .unwrap();
        await_established(node, &[&format!("crd/{plural}.monitoring.coreos.com")]);
    }
}

/// A resource that no operator has seen is of no generation, so that kstatus says InProgress, and a client cannot say otherwise.
pub(crate) fn unseen(node: &Node) {
    let ns = Namespace::new(node, "unseen", &[]);
    let claimed = "status: {observedGeneration: 1, conditions: []}\n";
    ns.apply(&(experiment("unseen", "") + claimed));
    let read = || -> Value { serde_json::from_str(&ns.kubectl(&["get", "payx", "unseen", "--output=json"])).unwrap() };
    let resource = read();
    assert_eq!(resource["status"], serde_json::json!({"observedGeneration": -1}), "{resource:#}");
    assert_eq!(resource["metadata"]["generation"], 1);
    // Applied again, as a GitOps tool does all the time, nothing changes.
    let again = ns.try_apply(&experiment("unseen", "")).unwrap();
    assert!(again.contains("unchanged") || again.contains("configured"), "{again}");
    assert_eq!(read()["status"], resource["status"]);
    // Where the operator writes a status, the default does not come back.
    let written = r#"{"status": {"observedGeneration": 1, "phase": "Preparing"}}"#;
    ns.kubectl(&["patch", "payx", "unseen", "--subresource=status", "--type=merge", "--patch", written]);
    assert_eq!(read()["status"], serde_json::json!({"observedGeneration": 1, "phase": "Preparing"}));
}

fn chart() -> PathBuf {
    root().join("charts/paylab")
}
