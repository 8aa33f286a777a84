//! Names and labels of an experiment's objects. A name depends on the experiment alone, so that every reconcile finds the
//! objects that an earlier one created.

use std::collections::BTreeMap;

/// The value of the label that marks the operator's objects.
pub(crate) const MANAGER: &str = "paylab";
pub(crate) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Which part of the lab a pod runs.
pub(crate) const PART_LABEL: &str = "app.kubernetes.io/component";
/// The name of the object's experiment, which is reconciled when the object changes.
pub(crate) const EXPERIMENT_LABEL: &str = "paylab.dev/experiment";
/// The run id, which tells the objects of this experiment from those of an earlier one with the same name.
pub(crate) const RUN_LABEL: &str = "paylab.dev/run-id";
/// On the plan: the image of every part, so that an operator of another version continues a run with the same image.
pub(crate) const IMAGE_ANNOTATION: &str = "paylab.dev/image";
/// On the Job: the fingerprint of the lab when the load began (see [`crate::decide::lab_changes::Fingerprint`]).
pub(crate) const LAB_ANNOTATION: &str = "paylab.dev/lab";
/// On the pods of an indexed Job, set by Kubernetes: the worker that the pod runs.
pub(crate) const WORKER_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// A part of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    PaymentService,
    /// The user's own service, if the operator deploys it.
    Target,
    ResetProxy,
    LoadJob,
}

impl Part {
    /// The value of the part's label, and the subcommand that starts it if it is one of Paylab's own.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PaymentService => "payment-service",
            Self::Target => "target",
            Self::ResetProxy => "reset-proxy",
            Self::LoadJob => "load-job",
        }
    }
}

/// The name of a part's objects.
pub(crate) fn part(experiment: &str, part: Part) -> String {
    format!("{experiment}-{}", part.name())
}

/// The name of the `ConfigMap` that holds the plan and owns all other objects.
pub(crate) fn plan(experiment: &str) -> String {
    format!("{experiment}-plan")
}

/// The name of the `ConfigMap` that holds the evidence of a run.
pub(crate) fn evidence(experiment: &str) -> String {
    format!("{experiment}-evidence")
}

/// The labels of the evidence. It is no part of the lab, so that it has not its labels.
pub(crate) fn evidence_labels(experiment: &str, run: &str) -> BTreeMap<String, String> {
    [(PART_LABEL, "evidence"), (EXPERIMENT_LABEL, experiment), (RUN_LABEL, run)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The name of the headless Service of the payment service's pods, which exists if there are several.
pub(crate) fn replicas(experiment: &str) -> String {
    format!("{experiment}-replicas")
}

/// The label selector of one run's objects.
pub(crate) fn selector(run: &str) -> String {
    format!("{MANAGED_BY_LABEL}={MANAGER},{RUN_LABEL}={run}")
}

/// The labels of every object of a run.
pub(crate) fn labels(experiment: &str, run: &str) -> BTreeMap<String, String> {
    [(MANAGED_BY_LABEL, MANAGER), (EXPERIMENT_LABEL, experiment), (RUN_LABEL, run)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels of one part of a run.
pub(crate) fn part_labels(experiment: &str, run: &str, part: Part) -> BTreeMap<String, String> {
    let mut labels = labels(experiment, run);
    labels.insert(PART_LABEL.to_owned(), part.name().to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use paylab_resource::spec::NAME_LEN_MAX;

    use super::*;

    #[test]
    fn the_longest_name_leaves_room_for_every_object() {
        let name = "x".repeat(NAME_LEN_MAX);
        let all = [Part::PaymentService, Part::Target, Part::ResetProxy, Part::LoadJob].map(|each| part(&name, each));
        // The host name of a Job's pod is the Job's name and an index of at most two digits.
        for name in all.into_iter().map(|name| format!("{name}-63")).chain([plan(&name), evidence(&name)]) {
            assert!(name.len() <= 63, "{name}");
        }
    }
}
