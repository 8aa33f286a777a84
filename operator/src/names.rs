//! What the objects of an experiment are called and labelled. Names come from the experiment alone, so that a second look
//! finds what a first one made.

use std::collections::BTreeMap;

/// Who makes the objects.
pub(crate) const MANAGER: &str = "paylab";
pub(crate) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Which part of the lab a pod is.
pub(crate) const PART_LABEL: &str = "app.kubernetes.io/component";
/// The experiment's name, by which a change of an object leads to its experiment.
pub(crate) const EXPERIMENT_LABEL: &str = "paylab.dev/experiment";
/// The run, by which the objects of this experiment are told from those of a former one with the same name.
pub(crate) const RUN_LABEL: &str = "paylab.dev/run-id";
/// On the plan: the image of every part, so that an operator of another version goes on with what was begun.
pub(crate) const IMAGE_ANNOTATION: &str = "paylab.dev/image";
/// On the Job: the pods that were there when the load began, as [`crate::observe::pods::fingerprint`] writes them.
pub(crate) const LAB_ANNOTATION: &str = "paylab.dev/lab-pods";
/// On the pods of an indexed Job, set by Kubernetes.
pub(crate) const SHARD_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// A part of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    PaymentService,
    ResetProxy,
    LoadJob,
}

impl Part {
    /// As the part's label says it; also the command that starts it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PaymentService => "payment-service",
            Self::ResetProxy => "reset-proxy",
            Self::LoadJob => "load-job",
        }
    }
}

/// The name of a part's objects.
pub(crate) fn part(experiment: &str, part: Part) -> String {
    format!("{experiment}-{}", part.name())
}

/// The `ConfigMap` that holds the plan and owns all the rest.
pub(crate) fn plan(experiment: &str) -> String {
    format!("{experiment}-plan")
}

/// The Service that names every pod of the payment service, where there are several.
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
    use paylab_experiment::spec::NAME_LEN_MAX;

    use super::*;

    #[test]
    fn the_longest_name_leaves_room_for_every_object() {
        let name = "x".repeat(NAME_LEN_MAX);
        let all = [Part::PaymentService, Part::ResetProxy, Part::LoadJob].map(|each| part(&name, each));
        // A Job's pods have its name and an index of at most two digits as their host name.
        for name in all.into_iter().map(|name| format!("{name}-63")).chain([plan(&name)]) {
            assert!(name.len() <= 63, "{name}");
        }
    }
}
