//! The variants of the samples: the states in which the operator is measured.

/// One experiment, from its creation to its verdict.
pub(super) const EXPERIMENT: &str = "experiment";
/// The operator before any experiment.
pub(super) const IDLE: &str = "idle";
/// The operator after the measured experiments.
pub(super) const AFTER_RUNS: &str = "after the runs";
/// The operator with many completed experiments.
pub(super) const MANY_COMPLETED: &str = "many completed";
/// The image archive.
pub(super) const IMAGE_ARCHIVE: &str = "image";
