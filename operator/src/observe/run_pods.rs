//! Which pods are the run's own, and which only carry its labels. Pure.

use k8s_openapi::api::core::v1::Pod;

use super::{cluster::Observed, ownership::controls, pods::is_part};
use crate::names::Part;

/// The pods that carry the labels of a run. A pod is the run's own if its controller is: for a load pod the run's Job, for a pod
/// of the lab a ReplicaSet of one of the run's Deployments.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunPods<'a> {
    /// The run's own load pods: nobody else can report.
    pub(crate) load: Vec<&'a Pod>,
    /// The run's own pods of the service and the reset proxy.
    pub(crate) lab: Vec<&'a Pod>,
    /// Pods of somebody else that call themselves load pods. What they report is no evidence.
    pub(crate) foreign_load: Vec<&'a Pod>,
    /// Pods of somebody else that call themselves the service or the reset proxy. The Services of the run choose pods by their
    /// labels, so payments reach these too.
    pub(crate) foreign_lab: Vec<&'a Pod>,
}

impl<'a> RunPods<'a> {
    pub(super) fn of(observed: &'a Observed) -> Self {
        let job = observed.job.as_ref().and_then(|job| job.metadata.uid.as_deref());
        let sets: Vec<_> = observed.replica_sets.iter().map(|set| set.metadata.uid.as_deref()).collect();
        let mut all = Self::default();
        for pod in &observed.pods {
            if is_part(pod, Part::LoadJob) {
                let own = controls(job, pod);
                if own { all.load.push(pod) } else { all.foreign_load.push(pod) }
            } else if [Part::PaymentService, Part::Target, Part::ResetProxy].iter().any(|part| is_part(pod, *part)) {
                let own = sets.iter().any(|set| controls(*set, pod));
                if own { all.lab.push(pod) } else { all.foreign_lab.push(pod) }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;

    use super::*;
    use crate::fixtures::{foreign, loaded, pod, ready};

    fn names(pods: &[&Pod]) -> Vec<String> {
        pods.iter().map(|pod| pod.name_any()).collect()
    }

    #[test]
    fn a_pod_with_the_labels_of_a_run_is_foreign_unless_the_runs_objects_control_it() {
        let mut observed = loaded(ready());
        observed.pods.push(foreign(pod(Part::LoadJob, "forged-0", ready())));
        observed.pods.push(foreign(pod(Part::PaymentService, "forged-service", ready())));
        observed.pods.push(foreign(pod(Part::ResetProxy, "forged-proxy", ready())));
        // The service of target.image, whose supervisor is in the same pod.
        observed.pods.push(foreign(pod(Part::Target, "forged-target", ready())));
        let all = observed.run_pods();
        assert_eq!(
            (names(&all.load), names(&all.lab)),
            (vec!["load-0".to_owned()], vec!["service".to_owned(), "proxy".to_owned()])
        );
        assert_eq!(names(&all.foreign_load), ["forged-0"]);
        assert_eq!(names(&all.foreign_lab), ["forged-service", "forged-proxy", "forged-target"]);
        // Without their controllers, the same pods are nobody's.
        observed.job = None;
        observed.replica_sets.clear();
        let all = observed.run_pods();
        assert!(all.load.is_empty() && all.lab.is_empty());
    }
}
