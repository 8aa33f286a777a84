//! Deletion, at every phase and in every way: nothing is left behind, and nothing hangs.

use std::time::{Duration, Instant};

use paylab_e2e::Node;

use crate::support::{Namespace, Test, example, experiment, message, slow};

/// A resource without finalizers is gone as soon as it is deleted; the rest is kubectl's own time.
const GONE_AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) const TESTS: &[Test] = &[
    ("an_experiment_deleted_while_it_prepares_leaves_nothing", while_preparing),
    ("an_experiment_deleted_while_it_loads_leaves_nothing", while_loading),
    ("an_experiment_deleted_when_it_has_ended_takes_what_was_kept", when_ended),
    ("a_namespace_deleted_while_a_load_runs_is_gone", namespace_while_loading),
    ("retain_decides_what_stays", retain),
    ("the_same_file_deleted_and_applied_again_is_run_again", applied_again),
    ("an_operator_killed_while_a_load_runs_comes_to_the_same_end", operator_killed),
];

fn delete(ns: &Namespace<'_>, name: &str) {
    let begun = Instant::now();
    ns.kubectl(&["delete", "payx", name, "--timeout=60s"]);
    assert!(begun.elapsed() < GONE_AT_ONCE, "the resource took {:?} to go", begun.elapsed());
    ns.assert_bare();
}

fn while_preparing(node: &Node) {
    let ns = Namespace::restricted(node, "gone-preparing");
    // A Secret that never comes keeps it in this phase.
    ns.apply(&experiment("gone", "  service: {database: {secretKeyRef: {name: absent, key: url}}}\n"));
    ns.status_when("gone", |status| status["phase"] == "Preparing");
    ns.left_when(|left| left.contains("pod/"));
    delete(&ns, "gone");
}

fn while_loading(node: &Node) {
    let ns = Namespace::restricted(node, "gone-loading");
    ns.apply(&slow("gone", ""));
    ns.under_way("gone");
    delete(&ns, "gone");
}

fn when_ended(node: &Node) {
    let ns = Namespace::restricted(node, "gone-ended");
    ns.apply(&experiment("gone", "  expect: Violated\n  retain: Always\n"));
    ns.ended("gone");
    assert!(ns.left().contains("deployment"), "{}", ns.left());
    delete(&ns, "gone");
}

fn namespace_while_loading(node: &Node) {
    let ns = Namespace::restricted(node, "gone-whole");
    ns.apply(&slow("gone", ""));
    ns.under_way("gone");
    node.kubectl(&["delete", "namespace", "gone-whole", "--timeout=90s"]).unwrap();
}

fn retain(node: &Node) {
    let ns = Namespace::restricted(node, "retain");
    for (name, expect, retain, stays) in [
        ("fine-on-failure", "Violated", "OnFailure", false),
        ("bad-on-failure", "Upheld", "OnFailure", true),
        ("bad-never", "Upheld", "Never", false),
        ("fine-always", "Violated", "Always", true),
    ] {
        ns.apply(&experiment(name, &format!("  expect: {expect}\n  retain: {retain}\n  payments: {{count: 100}}\n")));
        ns.ended(name);
        let deployment = format!("deployment.apps/{name}-reset-proxy");
        ns.left_when(|left| left.contains(&deployment) == stays);
    }
}

fn applied_again(node: &Node) {
    let ns = Namespace::restricted(node, "again");
    let text = example("never-pay-too-little").replace("spec:", "spec:\n  retain: Always");
    ns.apply(&text);
    let first = ns.ended("never-pay-too-little");
    // In the background, as kubectl does it: the new one finds the parts of the old.
    ns.kubectl(&["delete", "payx", "never-pay-too-little"]);
    ns.apply(&text);
    let second = ns.ended("never-pay-too-little");
    assert_ne!(first["runId"], second["runId"]);
    assert_eq!(message(&first), message(&second));
    let spec_change = ns.try_apply(&text.replace("seed: 42", "seed: 43")).unwrap_err().to_string();
    assert!(spec_change.contains("one experiment is one run"), "{spec_change}");
    assert_eq!(ns.status("never-pay-too-little"), second);
}

fn operator_killed(node: &Node) {
    let ns = Namespace::restricted(node, "killed");
    ns.apply(&slow("slow", ""));
    ns.under_way("slow");
    let operator = "--selector=app.kubernetes.io/component=operator";
    node.kubectl(&["delete", "pods", operator, "-n", "paylab", "--grace-period=0", "--force"]).unwrap();
    let status = ns.ended("slow");
    assert_eq!(status["verdict"], "Upheld", "{}", message(&status));
    assert_eq!(status["payments"]["booked"], 600);
    ns.assert_bare();
}
