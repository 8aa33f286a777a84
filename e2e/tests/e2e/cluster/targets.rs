//! Tests of services that are not Paylab's own: deployed for the run from an image, or behind a Service of the namespace. They are the
//! small services of `testbed/apis`, and one of the published libraries in `subjects`.

use std::{path::PathBuf, process::Command};

use paylab_apis::{Conduct, Shape};
use paylab_e2e::Node;
use paylab_present::status;
use serde_json::{Value, json};

use super::lessons::comparable;
use crate::support::{Namespace, Test, condition, message, root, run_here, written_texts};

pub(crate) const TESTS: &[Test] = &[
    ("an_image_is_judged_as_the_same_service_is_on_one_machine", image),
    ("a_published_library_is_judged_in_an_image", library),
    ("a_service_of_the_namespace_is_paid_by_several_workers", service),
    ("a_secret_reaches_the_service_and_nobody_else", secrets),
    ("a_target_that_cannot_be_paid_is_told_with_the_reason", unpayable),
];

/// The image of `testbed/apis`.
const IMAGE: &str = "registry.local/apis:lab";
/// The place that the examples name.
const EXAMPLE_URL: &str = "url: http://127.0.0.1:9000";
/// A part of every secret value.
const MARK: &str = "planted4711";

/// Builds the images of the services, if they are not in the cache, and imports them.
pub(crate) fn import_services(node: &Node) {
    for image in ["apis", "gofiber"] {
        let script = root().join("e2e/images").join(image);
        let output = Command::new(&script).stderr(std::process::Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{} failed", script.display());
        let archive = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        node.import_image(&archive).unwrap();
    }
}

/// An example of a target under another name and at another place. A busy node may take long to answer, and an attempt that times out
/// is none that the prediction knows.
fn example(shape: &str, name: &str, place: &str) -> String {
    let text = std::fs::read_to_string(root().join(format!("examples/targets/{shape}.yaml"))).unwrap();
    let named = format!("metadata: {{name: {shape}}}");
    let timeout = "attemptTimeout: 2s";
    assert!([&named, EXAMPLE_URL, timeout].iter().all(|part| text.contains(*part)), "{text}");
    let text = text.replace(timeout, "attemptTimeout: 30s");
    text.replace(&named, &format!("metadata: {{name: {name}}}")).replace(EXAMPLE_URL, place)
}

/// The place of a service that is deployed with these arguments.
fn image_with(arguments: &str, more: &str) -> String {
    format!("image: {{image: {IMAGE}, port: 9000, args: [{arguments}, --host, 0.0.0.0]{more}}}")
}

/// The status of the same experiment on this machine, with a service of this kind.
fn on_one_machine(text: &str, shape: Shape, conduct: Conduct) -> Value {
    json!(status::outcome(&run_here(text, shape, conduct)))
}

fn image(node: &Node) {
    let ns = Namespace::restricted(node, "target-image");
    let correct = example("stripe", "correct", &image_with("stripe", ", readyPath: /v1/charges"));
    let broken = example("stripe", "broken", &image_with("stripe, --broken", "")) + "  expect: Violated\n";
    ns.apply(&correct);
    ns.apply(&broken);
    let (upheld, violated) = (ns.final_status("correct"), ns.final_status("broken"));
    assert_eq!(upheld["verdict"], "Upheld", "{upheld:#}");
    let here = on_one_machine(&correct, Shape::Stripe, Conduct::Correct);
    assert_eq!(comparable(upheld), comparable(here), "the outcome is that of one machine");
    assert_eq!((&violated["verdict"], &violated["reason"]), (&json!("Violated"), &json!("Duplicated")), "{violated:#}");
    assert_eq!(condition(&violated, "Verified"), Some("True"));
    let here = on_one_machine(&broken, Shape::Stripe, Conduct::Broken);
    for total in ["ledger", "payments", "attempts", "verdict", "reason", "observed"] {
        assert_eq!(violated[total], here[total], "{total}");
    }
    // Both verdicts are as expected, so nothing is kept.
    ns.wait_until_no_lab_objects();
}

fn library(node: &Node) {
    let ns = Namespace::restricted(node, "target-library");
    let text = std::fs::read_to_string(root().join("subjects/gofiber-idempotency/experiment.yaml")).unwrap();
    let place = "image: {image: registry.local/gofiber:lab, port: 9000, env: [{name: HOST, value: 0.0.0.0}]}";
    let (drift, expected, timeout) = ("bodyDrift: Amount, ", "expect: Violated", "attemptTimeout: 5s");
    assert!([EXAMPLE_URL, drift, expected, timeout].iter().all(|part| text.contains(part)), "{text}");
    let broken = text.replace(EXAMPLE_URL, place).replace(timeout, "attemptTimeout: 30s");
    let correct = broken.replace("name: gofiber-idempotency", "name: same-amount");
    let correct = correct.replace(drift, "").replace(expected, "expect: Upheld");
    ns.apply(&broken);
    ns.apply(&correct);
    let (broken, correct) = (ns.final_status("gofiber-idempotency"), ns.final_status("same-amount"));
    assert_eq!((&broken["verdict"], &broken["reason"]), (&json!("Violated"), &json!("Mismatched")), "{broken:#}");
    assert_eq!((&correct["verdict"], &correct["payments"]["booked"]), (&json!("Upheld"), &json!(40)), "{correct:#}");
}

/// The Deployment and the Service of a shop.
fn shop(arguments: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop}}
spec:
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec:
      automountServiceAccountToken: false
      securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
        - name: shop
          image: {IMAGE}
          args: [{arguments}, --host, 0.0.0.0, --port, \"8080\"]
          securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
          readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  selector: {{app: shop}}
  ports: [{{port: 80, targetPort: 8080}}]
"
    )
}

fn service(node: &Node) {
    let ns = Namespace::restricted(node, "target-service");
    // The experiment is there first, and waits for the Service and its pod.
    let text = example("mollie", "shopping", "service: {name: shop, port: 80}");
    let text = text.replace("client: {", "client: {workers: 2, ");
    ns.apply(&text);
    ns.status_when("shopping", |status| message(status).contains("the namespace has no Service shop"));
    ns.apply(&shop("mollie"));
    let status = ns.final_status("shopping");
    assert_eq!((&status["verdict"], &status["payments"]["booked"]), (&json!("Upheld"), &json!(500)), "{status:#}");
    let here = on_one_machine(&text, Shape::Mollie, Conduct::Correct);
    assert_eq!(comparable(status), comparable(here), "the outcome is that of one machine");
    ns.wait_until_no_lab_objects();
    assert!(ns.kubectl(&["get", "deployments,services", "--output=name"]).contains("service/shop"));
}

fn secrets(node: &Node) {
    let ns = Namespace::restricted(node, "target-secrets");
    let secret = |name: &str, value: &str| {
        ns.kubectl(&["create", "secret", "generic", name, &format!("--from-literal=token={value}")]);
    };
    secret("shop-api", &format!("right-{MARK}"));
    secret("other-api", &format!("wrong/{MARK} \"&"));
    let known = "env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: shop-api, key: token}}}]";
    let paid_with = |secret: &str, image: String| {
        format!(
            "{image}
    headers: {{Authorization: \"Bearer {{secret.token}}\"}}
    secrets: [{{name: token, secretKeyRef: {{name: {secret}, key: token}}}}]"
        )
    };
    let serving = |more: &str| image_with("square", &format!(", {known}{more}"));
    ns.apply(&example("square", "right", &paid_with("shop-api", serving(""))));
    ns.apply(&example("square", "wrong", &paid_with("other-api", serving(""))));
    ns.apply(&example("square", "missing", &paid_with("absent", serving(""))));
    // The service writes what it takes for a shape into its last words.
    let telling = format!("image: {{image: {IMAGE}, port: 9000, args: [$(TOKEN)], {known}}}");
    ns.apply(&example("square", "telling", &paid_with("shop-api", telling)));
    // While the service is there, because that of a lab that has ended is stopped.
    ns.status_when("telling", |status| message(status).contains("exit code 2"));
    let texts_before = written_texts(node, &ns);

    let right = ns.final_status("right");
    assert_eq!(right["verdict"], "Upheld", "{right:#}");
    let wrong = ns.final_status("wrong");
    assert_eq!(wrong["reason"], "ContractNotProven", "{wrong:#}");
    assert!(message(&wrong).contains("(secret) is not the token"), "{wrong:#}");
    let missing = ns.final_status("missing");
    assert!(message(&missing).contains("secret \"absent\" not found"), "{missing:#}");
    let telling = ns.final_status("telling");
    assert_eq!(telling["reason"], "CrashLoopBackOff", "{telling:#}");
    assert!(message(&telling).contains("exit code 2"), "{telling:#}");

    // What the user's own service writes into its own log is up to it.
    let texts = [texts_before, written_texts(node, &ns)].concat();
    let is_theirs = |name: &str| name.starts_with("log of pod/") && name.contains("-target-");
    let leaks: Vec<_> = texts.iter().filter(|(name, text)| !is_theirs(name) && text.contains(MARK)).collect();
    assert!(leaks.is_empty(), "the value of a Secret is shown: {leaks:#?}");
    assert!(texts.iter().any(|(name, text)| is_theirs(name) && text.contains(MARK)), "the service has told it");
}

fn unpayable(node: &Node) {
    let ns = Namespace::restricted(node, "target-failures");
    ns.apply(&shop("mollie").replace("selector: {app: shop}", "selector: {app: nobody}"));
    let absent_image = "image: {image: registry.local/absent:1, imagePullPolicy: Never, port: 80}";
    let unready = image_with("stripe", ", readyPath: /nowhere");
    let no_host = "url: http://absent.invalid".to_owned();
    let cases = [
        ("no-image", absent_image.to_owned(), "ErrImageNeverPull", "registry.local/absent:1"),
        ("crash", image_with("no-such-shape", ""), "CrashLoopBackOff", "invalid value 'no-such-shape'"),
        ("no-service", "service: {name: absent, port: 80}".to_owned(), "ServiceNotFound", "has no Service absent"),
        ("no-port", "service: {name: shop, port: 81}".to_owned(), "PortNotFound", "has the port 80, not 81"),
        ("no-pod", "service: {name: shop, port: 80}".to_owned(), "NoEndpoints", "leads to no pod"),
        ("laptop", EXAMPLE_URL.to_owned(), "Refused", "spec.target.url: 127.0.0.1 leads from a pod"),
        ("unready", unready, "NotReady", "GET /nowhere at its port 9000 is not answered with 2xx"),
        ("no-host", no_host, "ReportMissing", "cannot find the service absent.invalid:80"),
    ];
    for (name, place, ..) in &cases {
        let deadline = if *name == "unready" { "  activeDeadline: 60s\n" } else { "" };
        ns.apply(&(example("stripe", name, place) + deadline));
    }
    for (name, _, reason, text) in cases {
        let status = ns.final_status(name);
        assert!(status["phase"] == "Failed" || status["verdict"] == "Inconclusive", "{name}: {status:#}");
        assert_eq!(status["reason"], reason, "{name}: {status:#}");
        assert!(message(&status).contains(text), "{name}: {status:#}");
    }
}
