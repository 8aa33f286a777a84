//! Reads all objects of one experiment's lab.

use std::fmt::Debug;

use futures::future::try_join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        batch::v1::Job,
        core::v1::{ConfigMap, Pod, Service},
        events::v1::Event,
    },
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use super::{
    jobs,
    ownership::{Ownership, controls},
    run_pods::RunPods,
};
use crate::{
    names::{self, Part},
    planned::{Paid, PlannedExperiment},
};

/// The objects of a lab that exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) plan: Option<(Ownership, ConfigMap)>,
    /// The Deployments that the plan controls.
    pub(crate) deployments: Vec<Deployment>,
    /// The ReplicaSets that these Deployments control.
    pub(crate) replica_sets: Vec<PartialObjectMeta<ReplicaSet>>,
    /// The load's Job, if the plan controls it.
    pub(crate) job: Option<Job>,
    /// All pods with the labels of the run, whoever controls them; see [`Observed::run_pods`].
    pub(crate) pods: Vec<Pod>,
    /// The Service of the user's own that is to be paid, until the load has begun; `None` if there is no such Service to wait for.
    pub(crate) paid_service: Option<PaidService>,
    /// Why the load's Job cannot create a pod that it lacks, in Kubernetes' words.
    pub(crate) load_refusal: Option<String>,
}

/// A Service of the user's own.
#[derive(Debug, Clone)]
pub(crate) enum PaidService {
    /// There is none of this name.
    Absent,
    /// It exists.
    Present {
        service: Box<Service>,
        /// The pods that it selects; `None` if it has no selector, so that nobody knows where it leads.
        pods: Option<Vec<Pod>>,
    },
}

impl Observed {
    /// The pods that carry the labels of the run: its own, and those of others.
    pub(crate) fn run_pods(&self) -> RunPods<'_> {
        RunPods::of(self)
    }

    /// Drops the objects that have a name or the labels of this run, but another controller.
    pub(super) fn without_foreign_objects(mut self) -> Self {
        let plan = self.plan.as_ref().filter(|(ownership, _)| *ownership == Ownership::Ours);
        let plan = plan.and_then(|(_, plan)| plan.metadata.uid.as_deref());
        self.deployments.retain(|deployment| controls(plan, deployment));
        self.job = self.job.filter(|job| controls(plan, job));
        let deployments = &self.deployments;
        self.replica_sets.retain(|set| deployments.iter().any(|one| controls(one.metadata.uid.as_deref(), set)));
        self
    }
}

/// Reads everything that belongs to a run, first its plan: without one of its own nothing else is the run's. Objects with a known name are read by
/// that name, because the API server answers a list only when its cache has caught up.
///
/// # Errors
/// A request to the API failed.
pub(crate) async fn observe(client: &Client, experiment: &PlannedExperiment) -> kube::Result<Observed> {
    let name = |part| names::part(&experiment.name, part);
    let plan = read::<ConfigMap>(client, experiment, names::plan(&experiment.name)).await?;
    let plan = plan.map(|plan| (Ownership::of(&plan, &experiment.owner.uid), plan));
    if !matches!(plan, Some((Ownership::Ours, _))) {
        return Ok(Observed { plan, ..Observed::default() });
    }
    let of_this_run = ListParams::default().labels(&names::selector(experiment.id.as_str()));
    let pods = Api::<Pod>::namespaced(client.clone(), &experiment.namespace);
    let replica_sets = Api::<PartialObjectMeta<ReplicaSet>>::namespaced(client.clone(), &experiment.namespace);
    let load_and_pods = async {
        // In this order: the pods of a Job that has finished have ended, so none of them still runs in the first list; and a ReplicaSet exists
        // before its pods, so none of them lacks its controller in the second.
        let job = read::<Job>(client, experiment, name(Part::LoadJob)).await?;
        let pods = pods.list(&of_this_run).await?;
        Ok((job, pods, replica_sets.list(&of_this_run).await?))
    };
    let parts = experiment.lab_parts().into_iter().map(|(part, _)| read::<Deployment>(client, experiment, name(part)));
    let (deployments, (job, pods, replica_sets)) = tokio::try_join!(try_join_all(parts), load_and_pods)?;
    let paid_service = match (experiment.paid(), &job) {
        (Paid::Service(service), None) => Some(read_paid_service(client, experiment, &service.name).await?),
        _ => None,
    };
    let observed = Observed {
        load_refusal: load_refusal(client, experiment, job.as_ref()).await,
        plan,
        deployments: deployments.into_iter().flatten().collect(),
        replica_sets: replica_sets.items,
        job,
        pods: pods.items,
        paid_service,
    };
    Ok(observed.without_foreign_objects())
}

/// Reads why the load's Job cannot create a pod that it lacks. Its controller says so in Events only. Nothing but a message depends on it,
/// so an error is the same as no Event.
async fn load_refusal(client: &Client, experiment: &PlannedExperiment, job: Option<&Job>) -> Option<String> {
    let job = job.filter(|job| jobs::lacks_pods(job, experiment.plan.client.workers))?;
    let uid = job.metadata.uid.as_deref()?;
    let of_this_job = ListParams::default().fields(&format!("regarding.uid={uid},reason=FailedCreate"));
    let events = Api::<Event>::namespaced(client.clone(), &experiment.namespace).list(&of_this_job).await.ok()?;
    events.items.into_iter().next_back()?.note
}

/// Reads a Service of the user's own, and the pods that it selects.
async fn read_paid_service(client: &Client, experiment: &PlannedExperiment, name: &str) -> kube::Result<PaidService> {
    let Some(service) = read::<Service>(client, experiment, name.to_owned()).await? else {
        return Ok(PaidService::Absent);
    };
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|labels| !labels.is_empty());
    let labels = selector.map(|labels| labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>());
    let pods = match labels {
        None => None,
        Some(labels) => {
            let selected = ListParams::default().labels(&labels.join(","));
            Some(Api::<Pod>::namespaced(client.clone(), &experiment.namespace).list(&selected).await?.items)
        }
    };
    Ok(PaidService::Present { service: Box::new(service), pods })
}

async fn read<K>(client: &Client, experiment: &PlannedExperiment, name: String) -> kube::Result<Option<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), &experiment.namespace).get_opt(&name).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{loaded, plan, ready};

    #[test]
    fn an_object_counts_only_if_its_controllers_lead_to_the_plan_of_this_run() {
        let own = loaded(ready()).without_foreign_objects();
        assert_eq!((own.deployments.len(), own.replica_sets.len(), own.job.is_some()), (2, 2, true));

        let mut adopted = loaded(ready());
        adopted.deployments[0].metadata.owner_references = None;
        let adopted = adopted.without_foreign_objects();
        assert_eq!((adopted.deployments.len(), adopted.replica_sets.len(), adopted.job.is_some()), (1, 1, true));

        for stranger in [plan(Ownership::Foreign), plan(Ownership::Former), None] {
            let foreign = Observed { plan: stranger, ..loaded(ready()) }.without_foreign_objects();
            assert!(foreign.deployments.is_empty() && foreign.replica_sets.is_empty() && foreign.job.is_none());
        }
    }
}
