//! What the watches have told of all labs: copies of their objects, without what no decision needs. Who looks at them asks the API server for
//! nothing. They may be late, so they are no evidence, and nothing that cannot be taken back may stand on them alone.

use std::fmt::Debug;

use futures::FutureExt as _;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Resource, ResourceExt as _,
    api::PartialObjectMeta,
    runtime::reflector::{ObjectRef, Store, store::Writer},
};

use super::{
    cluster::Observed,
    ownership::{Ownership, controls},
};
use crate::{
    names::{self, EXPERIMENT_LABEL, Part, RUN_LABEL},
    planned::PlannedExperiment,
};

/// The objects of all labs that are watched.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pods: Store<Pod>,
    deployments: Store<Deployment>,
    jobs: Store<Job>,
    replica_sets: Store<PartialObjectMeta<ReplicaSet>>,
}

/// Where the watches write what they are told.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    pub(crate) pods: Writer<Pod>,
    pub(crate) deployments: Writer<Deployment>,
    pub(crate) jobs: Writer<Job>,
    pub(crate) replica_sets: Writer<PartialObjectMeta<ReplicaSet>>,
}

impl Writers {
    /// Where to read what is written here.
    pub(crate) fn watched(&self) -> Watched {
        let Self { pods, deployments, jobs, replica_sets } = self;
        Watched {
            pods: pods.as_reader(),
            deployments: deployments.as_reader(),
            jobs: jobs.as_reader(),
            replica_sets: replica_sets.as_reader(),
        }
    }
}

impl Watched {
    /// The lab of a run as far as it is watched; its plan is not, and neither is a Service of the user's own. `None`: not every watch has listed
    /// what exists, perhaps because it may not.
    pub(crate) fn lab(&self, experiment: &PlannedExperiment, plan: Option<(Ownership, ConfigMap)>) -> Option<Observed> {
        if !self.is_filled() {
            return None;
        }
        let key = |part| names::part(&experiment.name, part);
        let run = experiment.id.as_str();
        let parts = experiment.lab_parts().into_iter();
        let observed = Observed {
            plan,
            deployments: parts
                .filter_map(|(part, _)| named(&self.deployments, &experiment.namespace, &key(part)))
                .collect(),
            replica_sets: of_run(&self.replica_sets, &experiment.namespace, run),
            job: named(&self.jobs, &experiment.namespace, &key(Part::LoadJob)),
            pods: of_run(&self.pods, &experiment.namespace, run),
            paid_service: None,
            load_refusal: None,
        };
        Some(observed.without_foreign_objects())
    }

    /// Whether a part of a lab is to run that belongs to the plan with this UID.
    pub(crate) fn is_running(&self, namespace: &str, experiment: &str, plan: &str) -> bool {
        let runs = |one: &Deployment| {
            let is_named = one.labels().get(EXPERIMENT_LABEL).is_some_and(|name| name == experiment);
            let is_asked_for = one.spec.as_ref().is_some_and(|spec| spec.replicas != Some(0));
            is_named
                && is_asked_for
                && one.metadata.namespace.as_deref() == Some(namespace)
                && controls(Some(plan), one)
        };
        self.deployments.find(runs).is_some()
    }

    /// Whether every watch has listed what existed when it began.
    pub(crate) fn is_filled(&self) -> bool {
        let Self { pods, deployments, jobs, replica_sets } = self;
        is_filled(pods) && is_filled(deployments) && is_filled(jobs) && is_filled(replica_sets)
    }
}

fn is_filled<K>(store: &Store<K>) -> bool
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.wait_until_ready().now_or_never().is_some_and(|filled| filled.is_ok())
}

fn named<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace)).map(|object| (*object).clone())
}

/// The objects with the label of a run, in the order in which the API server lists them.
fn of_run<K>(store: &Store<K>, namespace: &str, run: &str) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    let is_of_run = |object: &K| {
        object.meta().namespace.as_deref() == Some(namespace)
            && object.labels().get(RUN_LABEL).is_some_and(|label| label == run)
    };
    let mut found: Vec<K> = store.state_filter(is_of_run).iter().map(|object| (**object).clone()).collect();
    found.sort_by_key(|object| object.name_any());
    found
}
