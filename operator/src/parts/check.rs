//! What is wrong with the settings of the parts, in a sentence that names the field.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};

use super::Parts;
use crate::{
    names::{self, Part},
    quantity::amount,
};

/// Labels by which the operator, its Services, its policies and Kubernetes' controllers find the pods of a lab.
const RESERVED_LABELS: [&str; 5] =
    [names::MANAGED_BY_LABEL, names::PART_LABEL, "pod-template-hash", "controller-uid", "job-name"];
/// What the names of such labels and annotations begin with.
const RESERVED_PREFIXES: [&str; 3] = ["paylab.dev/", "batch.kubernetes.io/", "apps.kubernetes.io/"];
/// The most characters of the name and of the value of a label.
const LABEL_LEN_MAX: usize = 63;

pub(super) fn check(parts: &Parts) -> Result<(), String> {
    for (field, resources) in [
        ("resources", &parts.resources),
        ("paymentService.resources", &parts.payment_service.resources),
        ("resetProxy.resources", &parts.reset_proxy.resources),
        ("load.resources", &parts.load.resources),
    ] {
        quantities(field, resources)?;
    }
    for (field, part) in
        [("paymentService", Part::PaymentService), ("resetProxy", Part::ResetProxy), ("load", Part::LoadJob)]
    {
        requests_within_limits(field, &parts.resources(part))?;
    }
    for (name, value) in &parts.pod_labels {
        not_reserved("podLabels", name)?;
        label("podLabels", name, value)?;
    }
    for (name, value) in &parts.node_selector {
        label("nodeSelector", name, value)?;
    }
    parts.pod_annotations.keys().try_for_each(|name| {
        not_reserved("podAnnotations", name)?;
        key("podAnnotations", name)
    })
}

fn quantities(field: &str, resources: &ResourceRequirements) -> Result<(), String> {
    for (kind, quantities) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (name, Quantity(text)) in quantities.iter().flatten() {
            if amount(text).is_none_or(|amount| amount < 0.0) {
                return Err(format!(
                    "`{field}.{kind}.{name}`: \"{text}\" is no quantity; write one such as 512Mi or 50m"
                ));
            }
        }
    }
    Ok(())
}

/// Kubernetes refuses a pod that requests more than its limit.
fn requests_within_limits(field: &str, resources: &ResourceRequirements) -> Result<(), String> {
    let limits = resources.limits.iter().flatten();
    for (name, Quantity(limit)) in limits {
        let request = resources.requests.as_ref().and_then(|requests| requests.get(name));
        if let Some(Quantity(request)) = request
            && amount(request) > amount(limit)
        {
            return Err(format!(
                "`{field}.resources`: it requests {name}: {request}, which is more than its limit {limit}; change one of them, here or in \
                 `resources`, which counts for every part"
            ));
        }
    }
    Ok(())
}

fn not_reserved(field: &str, name: &str) -> Result<(), String> {
    let is_reserved =
        RESERVED_LABELS.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if is_reserved {
        return Err(format!(
            "`{field}`: {name} is set by Paylab or Kubernetes, which find the pods of a lab by it; use another name"
        ));
    }
    Ok(())
}

fn label(field: &str, name: &str, value: &str) -> Result<(), String> {
    key(field, name)?;
    if value.is_empty() || is_word(value) {
        return Ok(());
    }
    Err(format!(
        "`{field}.{name}`: \"{value}\" is no value of a label; use at most {LABEL_LEN_MAX} letters, digits, '-', '_' and '.', with a letter \
         or digit at both ends"
    ))
}

/// The key of a label or an annotation: a name, perhaps with a domain before it.
fn key(field: &str, text: &str) -> Result<(), String> {
    let (domain, name) = text.rsplit_once('/').unwrap_or(("x", text));
    if is_word(name) && is_domain(domain) {
        return Ok(());
    }
    Err(format!("`{field}`: \"{text}\" is no key; write NAME or DOMAIN/NAME, as in example.com/team"))
}

fn is_word(text: &str) -> bool {
    let is_inner = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    let ends = [text.bytes().next(), text.bytes().last()];
    let has_ends = ends.iter().all(|letter| letter.is_some_and(|letter| letter.is_ascii_alphanumeric()));
    has_ends && text.len() <= LABEL_LEN_MAX && text.bytes().all(is_inner)
}

fn is_domain(text: &str) -> bool {
    const LEN_MAX: usize = 253;
    let is_part = |part: &str| {
        is_word(part)
            && part.bytes().all(|letter| letter == b'-' || letter.is_ascii_digit() || letter.is_ascii_lowercase())
    };
    text.len() <= LEN_MAX && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(parts: &Value) -> Result<Parts, String> {
        parts.to_string().parse()
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_its_field() {
        for (parts, expected) in [
            (json!({"resources": {"limits": {"memory": "abc"}}}), "`resources.limits.memory`: \"abc\" is no quantity"),
            (json!({"load": {"resources": {"requests": {"cpu": "-1"}}}}), "`load.resources.requests.cpu`: \"-1\""),
            (
                json!({"resources": {"requests": {"memory": "1Gi"}}, "resetProxy": {"resources": {"limits": {"memory": "512Mi"}}}}),
                "`resetProxy.resources`: it requests memory: 1Gi, which is more than its limit 512Mi",
            ),
            (json!({"podLabels": {"team": "a b"}}), "`podLabels.team`: \"a b\" is no value of a label"),
            (json!({"podLabels": {"a/b/c": "x"}}), "`podLabels`: \"a/b/c\" is no key"),
            (json!({"podLabels": {"Big.example/x": "x"}}), "`podLabels`: \"Big.example/x\" is no key"),
            (json!({"nodeSelector": {"": "x"}}), "`nodeSelector`: \"\" is no key"),
            (json!({"podAnnotations": {"-x": "any text"}}), "`podAnnotations`: \"-x\" is no key"),
        ] {
            let text = read(&parts).unwrap_err();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn labels_by_which_pods_are_found_cannot_be_replaced() {
        let reserved = RESERVED_LABELS.into_iter().chain([
            names::EXPERIMENT_LABEL,
            names::RUN_LABEL,
            names::WORKER_LABEL,
            "apps.kubernetes.io/pod-index",
        ]);
        for name in reserved {
            let text = read(&json!({"podLabels": {name: "mine"}})).unwrap_err();
            assert!(text.contains(&format!("{name} is set by Paylab or Kubernetes")), "{text}");
        }
        let text = read(&json!({"podAnnotations": {names::LAB_ANNOTATION: "mine"}})).unwrap_err();
        assert!(text.starts_with("`podAnnotations`: paylab.dev/lab is set by"), "{text}");
    }

    #[test]
    fn what_a_cluster_asks_for_is_accepted() {
        let parts = json!({
            "podLabels": {"team": "payments", "example.com/cost-centre": "A.7_b", "empty": ""},
            "podAnnotations": {"sidecar.istio.io/inject": "false", "note": "any text: at all"},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "resources": {"requests": {"cpu": 0.5}, "limits": {"cpu": "1", "nvidia.com/gpu": 1}},
        });
        assert!(read(&parts).is_ok(), "{:?}", read(&parts));
    }
}
