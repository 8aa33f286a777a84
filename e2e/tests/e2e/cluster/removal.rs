//! Tests of deletion in every phase: no object remains, and no deletion blocks.

use std::time::{Duration, Instant};

use paylab_e2e::Node;

use crate::support::{Namespace, Test, example, experiment, message, slow_experiment};

/// A resource without finalizers is removed at once; the rest is kubectl's own time, and that of a busy node.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);

pub(crate) const TESTS: &[Test] = &[
    ("an_experiment_deleted_while_preparing_leaves_no_objects", while_preparing),
    ("an_experiment_deleted_while_loading_leaves_no_objects", while_loading),
    ("a_completed_experiment_is_deleted_with_its_kept_objects", when_ended),
    ("a_namespace_can_be_deleted_while_a_load_runs", namespace_while_loading),
    ("retain_decides_which_labs_are_kept", retain),
    ("an_experiment_deleted_and_applied_again_is_run_again", applied_again),
];

/// This one takes the operator away from the others.
pub(crate) const DISTURBING: &[Test] =
    &[("an_operator_killed_while_a_load_runs_completes_the_experiment", operator_killed)];

fn delete(ns: &Namespace<'_>, name: &str) {
    let begun = Instant::now();
    ns.kubectl(&["delete", "payx", name, "--timeout=60s"]);
    assert!(begun.elapsed() < REMOVED_WITHIN, "the removal took {:?}", begun.elapsed());
    ns.wait_until_no_lab_objects();
}

fn while_preparing(node: &Node) {
    let ns = Namespace::restricted(node, "deleted-preparing");
    // A missing Secret keeps the experiment in this phase.
    ns.apply(&experiment("deleted", "  service: {database: {secretKeyRef: {name: absent, key: url}}}\n"));
    ns.status_when("deleted", |status| status["phase"] == "Preparing");
    ns.wait_for_lab_objects(|names| names.contains("pod/"));
    delete(&ns, "deleted");
}

fn while_loading(node: &Node) {
    let ns = Namespace::restricted(node, "deleted-loading");
    ns.apply(&slow_experiment("deleted", ""));
    ns.status_under_load("deleted");
    delete(&ns, "deleted");
}

fn when_ended(node: &Node) {
    let ns = Namespace::restricted(node, "deleted-ended");
    ns.apply(&experiment("deleted", "  expect: Violated\n  retain: Always\n"));
    ns.final_status("deleted");
    assert!(ns.lab_objects().contains("deployment"), "{}", ns.lab_objects());
    delete(&ns, "deleted");
}

fn namespace_while_loading(node: &Node) {
    let ns = Namespace::restricted(node, "deleted-whole");
    ns.apply(&slow_experiment("deleted", ""));
    ns.status_under_load("deleted");
    node.kubectl(&["delete", "namespace", "deleted-whole", "--timeout=90s"]).unwrap();
}

fn retain(node: &Node) {
    let ns = Namespace::restricted(node, "retain");
    for (name, expect, retain, kept) in [
        ("fine-on-failure", "Violated", "OnFailure", false),
        ("bad-on-failure", "Upheld", "OnFailure", true),
        ("bad-never", "Upheld", "Never", false),
        ("fine-always", "Violated", "Always", true),
    ] {
        ns.apply(&experiment(name, &format!("  expect: {expect}\n  retain: {retain}\n  payments: {{count: 100}}\n")));
        ns.final_status(name);
        let deployment = format!("deployment.apps/{name}-reset-proxy");
        ns.wait_for_lab_objects(|names| names.contains(&deployment) == kept);
    }
}

fn applied_again(node: &Node) {
    let ns = Namespace::restricted(node, "again");
    let text = example("never-pay-too-little").replace("spec:", "spec:\n  retain: Always");
    ns.apply(&text);
    let first = ns.final_status("never-pay-too-little");
    // kubectl deletes in the background, so the new experiment meets objects of the old one.
    ns.kubectl(&["delete", "payx", "never-pay-too-little"]);
    ns.apply(&text);
    let second = ns.final_status("never-pay-too-little");
    assert_ne!(first["runId"], second["runId"]);
    assert_eq!(message(&first), message(&second));
    let spec_change = ns.try_apply(&text.replace("seed: 42", "seed: 43")).unwrap_err().to_string();
    assert!(spec_change.contains("one experiment is one run"), "{spec_change}");
    assert_eq!(ns.status("never-pay-too-little"), second);
}

fn operator_killed(node: &Node) {
    let ns = Namespace::restricted(node, "killed");
    ns.apply(&slow_experiment("slow", ""));
    ns.status_under_load("slow");
    let operator = "--selector=app.kubernetes.io/component=operator";
    node.kubectl(&["delete", "pods", operator, "-n", "paylab", "--grace-period=0", "--force"]).unwrap();
    let status = ns.final_status("slow");
    assert_eq!(status["verdict"], "Upheld", "{}", message(&status));
    assert_eq!(status["payments"]["booked"], 600);
    ns.wait_until_no_lab_objects();
}
