//! Describes every object of an experiment in full, as a pure function of the experiment and the operator's settings. It must
//! not know which objects exist.
//!
//! The plan's `ConfigMap` belongs to the experiment and owns all other objects, so that one deletion removes the whole lab.

mod deployment;
mod evidence;
mod load;
mod memory;
mod metadata;
mod network;
mod placement;
mod plan;
mod pod;
mod proxy;
mod service;
mod settings;
mod supervisor;
mod target;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Service, networking::v1::NetworkPolicy},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

pub(crate) use self::{
    evidence::{evidence, share_len_max},
    load::job,
    plan::plan,
    settings::Settings,
};
use crate::planned::{Paid, PlannedExperiment};

/// The objects of a lab, without the plan that owns them and the load's Job that comes last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lab {
    pub(crate) policies: Vec<NetworkPolicy>,
    pub(crate) services: Vec<Service>,
    /// Created last: if both exist, all other objects do too.
    pub(crate) deployments: Vec<Deployment>,
}

/// The lab of an experiment; `owner` is its plan.
pub(crate) fn lab(experiment: &PlannedExperiment, settings: &Settings, owner: &OwnerReference) -> Lab {
    let (services, mut deployments) = match experiment.paid() {
        Paid::Ours => (service::services(experiment, owner), vec![service::deployment(experiment, settings, owner)]),
        Paid::Image(image) => (
            vec![target::service(experiment, image, owner)],
            vec![target::deployment(experiment, image, settings, owner)],
        ),
        Paid::Service(_) | Paid::Elsewhere(_) => (Vec::new(), Vec::new()),
    };
    deployments.push(proxy::deployment(experiment, settings, owner));
    Lab {
        policies: if settings.network_policies { network::policies(experiment, owner) } else { Vec::new() },
        services,
        deployments,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        fixtures::{PROXY, planned, settings},
        names,
    };

    /// All objects of an experiment, in the order of their creation.
    fn all(spec: &serde_json::Value, settings: &Settings) -> Vec<serde_json::Value> {
        let experiment = planned(spec);
        let root = plan(&experiment, settings);
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: names::plan(&experiment.name),
            uid: "uid-of-the-plan".to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        let Lab { policies, services, deployments } = lab(&experiment, settings, &owner);
        let job = job(&experiment, settings, &owner, "the fingerprint of the lab", PROXY);
        let mut objects = vec![json!(root)];
        objects.extend(policies.iter().map(|one| json!(one)));
        objects.extend(services.iter().map(|one| json!(one)));
        objects.extend(deployments.iter().map(|one| json!(one)));
        objects.push(json!(job));
        objects
    }

    #[test]
    fn a_lesson_has_these_objects() {
        insta::assert_json_snapshot!(all(&json!({}), &settings()));
    }

    #[test]
    fn replicas_share_a_database_and_workers_share_a_job() {
        let spec = json!({
            "client": {"workers": 3, "hedge": 2, "concurrency": 1024, "idempotencyKey": "PerPayment"},
            "service": {"dedup": "Replay", "replicas": 2, "keyTtl": "5s", "processingTime": "10ms",
                "database": {"secretKeyRef": {"name": "ledger", "key": "url"}}},
        });
        let settings = Settings {
            pull_secrets: vec!["registry".to_owned()],
            network_policies: false,
            parts: r#"{"resources": {"limits": {"memory": "64Mi"}}}"#.parse().unwrap(),
            ..settings()
        };
        insta::assert_json_snapshot!(all(&spec, &settings));
    }

    /// A target of the user's own at this place.
    fn target(place: &serde_json::Value) -> serde_json::Value {
        let mut target = json!({
            "secrets": [{"name": "token", "secretKeyRef": {"name": "shop-api", "key": "token"}}],
            "headers": {"Authorization": "Bearer {secret.token}"},
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
        });
        for (field, value) in place.as_object().unwrap() {
            target[field] = value.clone();
        }
        json!({"target": target})
    }

    #[test]
    fn an_image_is_deployed_in_place_of_the_payment_service() {
        let secret = json!({"secretKeyRef": {"name": "shop-db", "key": "url"}});
        let image = json!({
            "image": "registry.example/shop:2", "imagePullPolicy": "Never", "imagePullSecrets": [{"name": "own"}],
            "port": 9000, "command": ["/shop"], "args": ["--verbose"], "readyPath": "/ready",
            "env": [{"name": "CURRENCY", "value": "EUR"}, {"name": "DATABASE", "valueFrom": secret}],
            "resources": {"requests": {"cpu": 1, "memory": "64Mi"}}, "securityContext": {"runAsUser": 1000},
        });
        let settings = Settings { pull_secrets: vec!["registry".to_owned()], ..settings() };
        insta::assert_json_snapshot!(all(&target(&json!({"image": image})), &settings));
    }

    /// What every pod of a lab gets from the settings, with the labels of the operator beside those of the user.
    #[test]
    fn the_pods_of_a_lab_are_as_the_clusters_owner_wants_them() {
        let asked = json!({
            "podAnnotations": {"sidecar.istio.io/inject": "false"},
            "podLabels": {"team": "payments"},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "lab", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "topologySpreadConstraints":
                [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}],
            "priorityClassName": "low",
            "serviceAccountName": "lab",
            "podSecurityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containerSecurityContext": {},
        });
        let settings = Settings { parts: asked.to_string().parse().unwrap(), ..settings() };
        let shop = target(&json!({"image": {"image": "shop:2", "port": 80, "securityContext": {"runAsUser": 1000}}}));
        let pods = [json!({}), shop].into_iter().flat_map(|spec| all(&spec, &settings));
        let pods: Vec<_> = pods.map(|object| object["spec"]["template"].clone()).filter(|pod| !pod.is_null()).collect();
        assert_eq!(pods.len(), 6);
        for pod in pods {
            let (labels, spec) = (&pod["metadata"]["labels"], &pod["spec"]);
            assert_eq!(pod["metadata"]["annotations"], asked["podAnnotations"]);
            assert_eq!((&labels["team"], &labels[names::MANAGED_BY_LABEL]), (&json!("payments"), &json!("paylab")));
            for field in ["nodeSelector", "tolerations", "affinity", "priorityClassName", "serviceAccountName"] {
                assert_eq!(spec[field], asked[field], "{field}");
            }
            let spread = &spec["topologySpreadConstraints"][0];
            assert_eq!(spread["labelSelector"]["matchLabels"][names::PART_LABEL], labels[names::PART_LABEL]);
            assert!(spread["labelSelector"]["matchLabels"][names::RUN_LABEL].is_string(), "{spread}");
            assert_eq!(spec["automountServiceAccountToken"], false);
            let container = &spec["containers"][0];
            if container["name"] == "target" {
                // The user of the user's own image is up to the experiment.
                assert_eq!(spec["securityContext"]["runAsUser"], 1000);
            } else {
                assert_eq!(
                    (&spec["securityContext"], &container["securityContext"]),
                    (&asked["podSecurityContext"], &json!(null))
                );
            }
        }
    }

    #[test]
    fn a_service_that_faults_kill_has_a_supervisor() {
        let kill = json!([{"name": "killed", "probability": 0.1, "kill": {"at": "BeforeResponse"}}]);
        insta::assert_json_snapshot!("ours_is_supervised", all(&json!({"faults": kill}), &settings()));
        let image =
            json!({"image": "registry.example/shop:2", "port": 9000, "command": ["/shop"], "args": ["--verbose"]});
        let mut spec = target(&json!({"image": image}));
        spec["faults"] = kill;
        insta::assert_json_snapshot!("an_image_is_supervised", all(&spec, &settings()));
    }

    #[test]
    fn a_service_that_exists_gets_only_proxy_and_load() {
        let objects = all(&target(&json!({"service": {"name": "shop", "port": 80}})), &settings());
        let kinds: Vec<_> = objects.iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["ConfigMap", "NetworkPolicy", "NetworkPolicy", "Deployment", "Job"]);
        let arguments =
            |object: &serde_json::Value| object["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        let says = |object, option: &str, value: &str| {
            let arguments = arguments(object);
            let words: Vec<_> = arguments.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            assert!(words.windows(2).any(|pair| pair == [option, value]), "{words:?}");
        };
        says(&objects[3], "--upstream", "shop:80");
        says(&objects[4], "--target", "http://shop:80");
        assert_eq!(objects[1]["spec"]["ingress"].as_array().unwrap().len(), 1, "only the proxy is the lab's own");
    }

    #[test]
    fn the_file_in_the_plan_parses_to_the_same_experiment() {
        let experiment = planned(&json!({"client": {"workers": 3}}));
        let plan = plan(&experiment, &settings());
        let text = &plan.data.unwrap()["experiment.yaml"];
        let read =
            paylab_resource::file::parse(text, paylab_core::fault::sampler::seed_of_run(&experiment.id)).unwrap();
        assert_eq!((read.plan, read.resource.spec), (experiment.plan, experiment.spec));
    }

    #[test]
    fn a_lab_keeps_the_image_that_it_was_begun_with() {
        let experiment = planned(&json!({}));
        let existing = plan(&experiment, &settings());
        let newer = Settings { image: "paylab:newer".to_owned(), ..settings() };
        assert_eq!(newer.with_image_of(&existing).image, settings().image);
    }
}
