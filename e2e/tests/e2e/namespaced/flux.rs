//! Flux's own helm-controller and kustomize-controller: they install the chart, run its test, and wait for the verdicts of experiments.

use std::{fs, path::Path};

use paylab_e2e::Node;
use serde_json::{Value, json};

use crate::support::{Flux, IMAGE, Namespace, condition, experiment, message, ready, root};

/// The name of the namespace and of the installation in it.
const NAME: &str = "flux";
/// A claim that holds, with a load of half a minute, so that a test sees what Flux says meanwhile.
const HOLDS: &str =
    "  client: {rate: 20, idempotencyKey: PerPayment}\n  service: {dedup: UniqueKey}\n  payments: {count: 600}\n";

pub(super) fn waits_for_verdicts(node: &Node) {
    let flux = Flux::start(node);
    let ns = Namespace::restricted(node, NAME);
    installs(node, &flux, &ns);
    let chart = tempfile::tempdir().unwrap();
    write_chart(chart.path(), &experiment("released", HOLDS));
    flux.publish_chart(node, &ns, chart.path(), "released");
    let promoted = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    flux.publish_files(
        &ns,
        "lab",
        "1",
        &[
            ("upheld/experiment.yaml", experiment("upheld", HOLDS)),
            ("violated/experiment.yaml", experiment("violated", "  payments: {count: 100}\n")),
            ("released/release.yaml", release("released", &json!({}))),
            ("after-upheld/promoted.yaml", promoted("after-upheld")),
            ("after-violated/promoted.yaml", promoted("after-violated")),
        ],
    );
    let of_release =
        "  healthChecks: [{apiVersion: paylab.dev/v1alpha1, kind: ChaosExperiment, name: released, namespace: flux}]\n";
    for (name, further) in [
        ("upheld", "  wait: true\n"),
        ("violated", "  wait: true\n"),
        ("released", of_release),
        ("after-upheld", "  dependsOn: [{name: upheld}]\n"),
        ("after-violated", "  dependsOn: [{name: violated}]\n"),
    ] {
        ns.apply(&kustomization(name, further));
    }
    while_it_runs(&ns);
    with_the_verdict(&ns);
    again(&flux, &ns);
}

/// helm-controller installs the chart, and is ready when the verdict of the chart's test is as expected.
fn installs(node: &Node, flux: &Flux, ns: &Namespace<'_>) {
    flux.publish_chart(node, ns, &root().join("charts/paylab"), "paylab");
    let (repository, tag) = IMAGE;
    let values = json!({
        "scope": "Namespace",
        "crds": {"install": false},
        "fullnameOverride": NAME,
        "image": {"repository": repository, "tag": tag},
    });
    ns.apply(&release("paylab", &values));
    let status = ns.flux_when("helmrelease/paylab", |ready| ready["status"] == "True");
    assert_eq!(condition(&status, "TestSuccess"), Some("True"), "{status:#}");
}

/// A Kustomization with `wait` is not ready while its experiment runs, and what depends on it is not applied. A HelmRelease is: its
/// controller waits as Helm 3 does. The Kustomization around it can wait in its place.
fn while_it_runs(ns: &Namespace<'_>) {
    is_awaited_while_it_runs(ns, "upheld");
    let dependent = ns.try_kubectl(&["get", "configmap", "after-upheld"]);
    assert!(dependent.unwrap_err().to_string().contains("not found"));
    ns.flux_when("helmrelease/released", |ready| ready["status"] == "True");
    is_awaited_while_it_runs(ns, "released");
}

/// The Kustomization of an experiment is not ready while the load runs.
fn is_awaited_while_it_runs(ns: &Namespace<'_>, name: &str) {
    ns.status_under_load(name);
    let status = ns.flux_status(&format!("kustomization/{name}"));
    assert!(ns.status(name)["completionTime"].is_null(), "{name} has ended before it was looked at");
    assert_eq!(ready(&status)["status"], "Unknown", "{status:#}");
}

fn with_the_verdict(ns: &Namespace<'_>) {
    // Within less than the timeout of the Kustomization: Flux does not wait for what has failed.
    let violated = ns.flux_when("kustomization/violated", |ready| ready["status"] == "False");
    let violated = ready(&violated);
    assert_eq!(violated["reason"], "HealthCheckFailed", "{violated:#}");
    let said = violated["message"].as_str().unwrap();
    assert!(said.contains("ChaosExperiment/flux/violated") && said.contains("Failed"), "{said}");
    for name in ["upheld", "released"] {
        ns.flux_when(&format!("kustomization/{name}"), |ready| ready["status"] == "True");
        let status = ns.status(name);
        assert_eq!(condition(&status, "Verified"), Some("True"), "{name}: {}", message(&status));
    }
    ns.flux_when("kustomization/after-upheld", |ready| ready["status"] == "True");
    ns.kubectl(&["get", "configmap", "after-upheld"]);
    let dependent = ns.flux_status("kustomization/after-violated");
    assert_eq!(ready(&dependent)["reason"], "DependencyNotReady", "{dependent:#}");
    assert!(ns.try_kubectl(&["get", "configmap", "after-violated"]).is_err());
}

/// What has not changed is not run again. A changed experiment is refused, and run again where its file asks Flux to replace it.
fn again(flux: &Flux, ns: &Namespace<'_>) {
    let identity =
        || ns.kubectl(&["get", "payx", "upheld", "--output=jsonpath={.metadata.uid} {.metadata.resourceVersion}"]);
    let before = identity();
    let status = ns.flux_again("kustomization/upheld", "again");
    assert_eq!((ready(&status)["status"].as_str(), identity()), (Some("True"), before.clone()), "{status:#}");
    let changed = experiment("upheld", &HOLDS.replace("count: 600", "count: 50"));
    flux.publish_files(ns, "lab", "2", &[("upheld/experiment.yaml", changed.clone())]);
    let status = ns.flux_when("kustomization/upheld", |ready| ready["status"] == "False");
    let refusal = ready(&status)["message"].as_str().unwrap_or_default().to_owned();
    assert!(refusal.contains("spec cannot be changed, because one experiment is one run"), "{refusal}");
    assert_eq!(identity(), before);
    let forced = "metadata: {name: upheld, annotations: {kustomize.toolkit.fluxcd.io/force: enabled}}";
    let forced = changed.replace("metadata: {name: upheld}", forced);
    flux.publish_files(ns, "lab", "3", &[("upheld/experiment.yaml", forced)]);
    ns.flux_when("kustomization/upheld", |ready| ready["status"] == "True");
    let status = ns.status("upheld");
    assert_eq!(
        (condition(&status, "Verified"), &status["payments"]["intended"]),
        (Some("True"), &json!(50)),
        "{status:#}"
    );
    assert_ne!(identity(), before);
}

/// A chart with one object.
fn write_chart(folder: &Path, object: &str) {
    fs::create_dir(folder.join("templates")).unwrap();
    fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: released\nversion: 0.1.0\n").unwrap();
    fs::write(folder.join("templates/experiment.yaml"), object).unwrap();
}

fn release(chart: &str, values: &Value) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {{name: {chart}}}
spec:
  interval: 10m
  timeout: 5m
  chartRef: {{kind: ExternalArtifact, name: {chart}}}
  test: {{enable: true}}
  values: {values}
"
    )
}

fn kustomization(name: &str, further: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}}}
spec:
  interval: 10m
  timeout: 5m
  prune: true
  path: ./{name}
  targetNamespace: {NAME}
  sourceRef: {{kind: ExternalArtifact, name: lab}}
{further}"
    )
}
