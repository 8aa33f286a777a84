//! What keeps a Service of the user's own from being paid: it is missing, lacks the port, or none of its pods is ready.

use k8s_openapi::{
    api::core::v1::{Pod, Service},
    jiff::Timestamp,
};
use paylab_contract::spec::ServiceSpec;

use super::problem::{PodProblem, Tolerance, unsteady, worst};
use crate::observe::{PaidService, pods::is_ready};

/// How many ports of a Service are named in a message.
const PORTS_SHOWN: usize = 8;

/// Why payments to a Service would not arrive; `None`: nothing is known that keeps them.
pub(super) fn problem(wanted: &ServiceSpec, found: &PaidService, now: Timestamp) -> Option<PodProblem> {
    let ServiceSpec { name, port } = wanted;
    let PaidService::Present { service, pods } = found else {
        let message = format!("the namespace has no Service {name} (spec.target.service.name)");
        return Some(PodProblem::new("ServiceNotFound", message, Tolerance::Short));
    };
    let ports = ports(service);
    if !is_external(service) && !ports.contains(port) {
        let message = format!("the Service {name} has {}, not {port} (spec.target.service.port)", in_words(&ports));
        return Some(PodProblem::new("PortNotFound", message, Tolerance::Short));
    }
    pods.as_deref().and_then(|pods| no_endpoint(name, pods, now))
}

/// Why a Service that selects these pods leads to none of them.
fn no_endpoint(name: &str, pods: &[Pod], now: Timestamp) -> Option<PodProblem> {
    let is_steady = |pod: &Pod| is_ready(pod) && unsteady([pod], now).is_none();
    if pods.iter().any(is_steady) {
        return None;
    }
    let reason = "NoEndpoints";
    if pods.is_empty() {
        let message = format!(
            "the Service {name} leads to no pod; is its selector that of your Deployment, and has that replicas?"
        );
        return Some(PodProblem::new(reason, message, Tolerance::Short));
    }
    // One that is ready will be paid soon, whatever keeps the others from it.
    if let Some(problem) = unsteady(pods, now) {
        return Some(problem);
    }
    let Some(PodProblem { reason: _, message, tolerance }) = worst(pods) else {
        return Some(PodProblem::new(reason, format!("no pod of the Service {name} is ready"), Tolerance::Long));
    };
    Some(PodProblem::new(reason, format!("no pod of the Service {name} is ready: {message}"), tolerance))
}

/// Whether a Service is another name of a host, which has no ports of its own.
fn is_external(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName")
}

fn ports(service: &Service) -> Vec<i32> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    ports.into_iter().flatten().map(|port| port.port).collect()
}

/// `the port 80`, `the ports 80 and 443`.
fn in_words(ports: &[i32]) -> String {
    let texts: Vec<_> = ports.iter().take(PORTS_SHOWN).map(ToString::to_string).collect();
    match &texts[..] {
        [] => "no port".to_owned(),
        [one] => format!("the port {one}"),
        [first @ .., last] => format!("the ports {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        fixtures::{at, pod, ready, restarted, waiting},
        names::Part,
    };

    fn told(service: Value, pods: Option<Vec<Pod>>) -> String {
        let service = Box::new(serde_json::from_value(json!({"spec": service})).unwrap());
        let wanted = ServiceSpec { name: "shop".to_owned(), port: 80 };
        let problem = problem(&wanted, &PaidService::Present { service, pods }, at(20));
        problem.map_or_else(|| "nothing".to_owned(), |it| format!("{} {:?}: {}", it.reason, it.tolerance, it.message))
    }

    #[test]
    fn every_reason_why_a_service_leads_nowhere_is_named() {
        let wanted = ServiceSpec { name: "shop".to_owned(), port: 80 };
        let missing = problem(&wanted, &PaidService::Absent, at(20)).map(|problem| problem.message).unwrap();
        let good = || json!({"ports": [{"port": 443}, {"port": 80}]});
        let shop = |status: Value| pod(Part::Target, "shop-0", status);
        let all = [
            missing,
            told(json!({"ports": [{"port": 8080}]}), Some(vec![shop(ready())])),
            told(json!({"ports": [{"port": 1}, {"port": 2}, {"port": 3}]}), Some(vec![shop(ready())])),
            told(good(), Some(Vec::new())),
            told(good(), Some(vec![shop(waiting("ImagePullBackOff", "no such image"))])),
            told(good(), Some(vec![shop(json!({"phase": "Pending"}))])),
            told(good(), Some(vec![shop(waiting("ImagePullBackOff", "no such image")), shop(ready())])),
            told(good(), Some(vec![shop(restarted(11))])),
            told(good(), Some(vec![shop(waiting("ImagePullBackOff", "no such image")), shop(restarted(11))])),
            told(good(), Some(vec![shop(restarted(11)), shop(ready())])),
            told(good(), Some(vec![shop(restarted(10))])),
            // Nobody can say what a Service without a selector leads to.
            told(good(), None),
            told(json!({"type": "ExternalName", "externalName": "shop.example"}), None),
        ];
        expect_test::expect![[r#"
            the namespace has no Service shop (spec.target.service.name)
            PortNotFound Short: the Service shop has the port 8080, not 80 (spec.target.service.port)
            PortNotFound Short: the Service shop has the ports 1, 2 and 3, not 80 (spec.target.service.port)
            NoEndpoints Short: the Service shop leads to no pod; is its selector that of your Deployment, and has that replicas?
            NoEndpoints Short: no pod of the Service shop is ready: the image of pod shop-0 cannot be pulled: no such image
            NoEndpoints Long: no pod of the Service shop is ready
            nothing
            Restarted Long: pod shop-0 was started anew a moment ago: Error, exit code 3; the load begins when it has run for 10 s
            Restarted Long: pod shop-0 was started anew a moment ago: Error, exit code 3; the load begins when it has run for 10 s
            nothing
            nothing
            nothing
            nothing"#]].assert_eq(&all.join("\n"));
    }
}
