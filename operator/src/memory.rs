//! What the operator knows of each experiment from its last look. It is in memory only, and a courtesy to the API server: an operator that knows
//! nothing, because it has just started or because a request has failed, looks again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use paylab_resource::spec::ChaosExperiment;
use tokio::time::Instant;

use crate::{decide::Decision, observe::Ownership, queue::Place};

/// What is known of every experiment, by UID.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Known>>);

/// What is known of an experiment.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// It waits for its turn, and its status says that it has this place.
    Waiting(Place),
    /// It is under way.
    UnderWay(Box<UnderWay>),
    /// It has ended, and its lab is kept without running parts.
    Kept(Kept),
    /// It has ended, and nothing is to be done about it any more.
    Settled,
}

/// What is known of an experiment that is under way.
#[derive(Debug, Clone)]
pub(crate) struct UnderWay {
    /// The resource as it was last read or written.
    pub(crate) resource: ChaosExperiment,
    /// The plan without its data, as it was last read. ConfigMaps are not watched.
    pub(crate) plan: Option<(Ownership, ConfigMap)>,
    /// What the watches said was to be done, and the last look has answered. While they say the same, there is no reason to look again.
    pub(crate) answered: Option<Decision>,
    /// When to look again, whatever the watches say.
    pub(crate) look_at: Instant,
    /// When to read the progress of the load again.
    pub(crate) progress_at: Instant,
}

/// What is known of a lab that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// When it is to be removed.
    pub(crate) until: Timestamp,
    /// The UID of its plan, if there is one.
    pub(crate) plan: Option<String>,
    /// The watches have heard by then that its parts were stopped.
    pub(crate) heard_at: Instant,
}

impl Memory {
    /// Takes what is known of an experiment. Who succeeds remembers it again; after a failure nothing is known.
    pub(crate) fn take(&self, uid: &str) -> Option<Known> {
        self.lock().remove(uid)
    }

    pub(crate) fn remember(&self, uid: String, known: Known) {
        self.lock().insert(uid, known);
    }

    /// Forgets the experiments that do not exist any more.
    pub(crate) fn keep(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| exists(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
