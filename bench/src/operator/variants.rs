//! The variants of the samples: the states in which the operator is measured.

/// One experiment, from its creation to its verdict.
pub(super) const EXPERIMENT: &str = "experiment";
/// The operator before any experiment.
pub(super) const IDLE: &str = "idle";
/// The operator after the measured experiments.
pub(super) const AFTER_RUNS: &str = "after the runs";
/// The operator at its start, before any experiment.
pub(super) const START: &str = "start";
/// The operator with many experiments that wait for their turn.
pub(super) const MANY_WAITING: &str = "many waiting";
/// Those that wait alone, without the labs before them.
pub(super) const WAITING_ALONE: &str = "waiting alone";
/// The operator with many completed experiments.
pub(super) const MANY_COMPLETED: &str = "many completed";
/// The image archive.
pub(super) const IMAGE_ARCHIVE: &str = "image";
