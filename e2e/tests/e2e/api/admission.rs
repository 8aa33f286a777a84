//! What the API server admits: it refuses each of a table of invalid resources with a message that names the field, because of
//! the schema and the CEL rules alone. `paylab` on one machine must refuse the same resources.

use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use paylab_core::field_error::FieldError;
use paylab_resource::{file, spec::ChaosExperiment};
use serde_json::{Value, json};

use crate::support::root;

/// The namespace of the resources.
const NAMESPACE: &str = "default";

/// The smallest valid resource, with fields of the spec replaced.
fn resource(name: &str, changes: &Value) -> Value {
    let mut spec = json!({"claim": "ExactlyOnce"});
    merge(&mut spec, changes);
    json!({"apiVersion": "paylab.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": {"name": name}, "spec": spec})
}

/// Replaces fields recursively; `null` removes a field.
fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (field, change) in changes {
                match change {
                    Value::Null => drop(fields.remove(field)),
                    change => merge(fields.entry(field).or_insert(Value::Null), change),
                }
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

fn fault(changes: &Value) -> Value {
    let mut fault = json!({"name": "a", "probability": 0.3, "reset": {"at": "BeforeRequest"}});
    merge(&mut fault, changes);
    json!({"faults": [fault]})
}

/// Invalid specs, each with the field that the message must name, and a part of the message.
fn invalid_payments_and_clients() -> Vec<(Value, &'static str, &'static str)> {
    let retry = |retry: Value| json!({"client": {"retry": retry}});
    let client = |client: Value| json!({"client": client});
    let payments = |payments: Value| json!({"payments": payments});
    vec![
        (json!({"claim": null}), "spec.claim", "Required"),
        (json!({"claim": "Twice"}), "spec.claim", "ExactlyOnce"),
        (json!({"expect": "Maybe"}), "spec.expect", "Violated"),
        (json!({"seed": -1}), "spec.seed", "greater than or equal to 0"),
        (json!({"seed": "x"}), "spec.seed", "integer"),
        (json!({"colour": "red"}), "spec.colour", "unknown field"),
        (json!({"retain": "Sometimes"}), "spec.retain", "OnFailure"),
        (json!({"minExposures": -1}), "spec.minExposures", "greater than or equal to 0"),
        (json!({"activeDeadline": "soon"}), "spec.activeDeadline", "match"),
        (json!({"activeDeadline": "0s"}), "spec.activeDeadline", "at least 1ms"),
        (json!({"activeDeadline": "99999999999s"}), "spec.activeDeadline", "11"),
        (payments(json!({"count": 0})), "spec.payments.count", "greater than or equal to 1"),
        (payments(json!({"count": 100_000_001})), "spec.payments.count", "less than or equal to 100000000"),
        (payments(json!({"count": 1.5})), "spec.payments.count", "integer"),
        (payments(json!({"amount": 1})), "spec.payments.amount", "string"),
        (payments(json!({"amount": "-1.00"})), "spec.payments.amount", "match"),
        (payments(json!({"amount": "1.001"})), "spec.payments.amount", "match"),
        (payments(json!({"amount": "0.00"})), "spec.payments.amount", "more than zero"),
        (
            payments(json!({"amount": "1000000000", "count": 100_000_000})),
            "spec.payments.amount",
            "at most 10000000000000.00",
        ),
        (payments(json!({"currency": "euro"})), "spec.payments.currency", "match"),
        (payments(json!({"from": ""})), "spec.payments.from", "match"),
        (payments(json!({"to": "a b"})), "spec.payments.to", "match"),
        (payments(json!({"to": "x".repeat(65)})), "spec.payments.to", "64"),
        (client(json!({"concurrency": 0})), "spec.client.concurrency", "greater than or equal to 1"),
        (client(json!({"concurrency": 1025})), "spec.client.concurrency", "less than or equal to 1024"),
        (client(json!({"workers": 65})), "spec.client.workers", "less than or equal to 64"),
        (client(json!({"hedge": 9})), "spec.client.hedge", "less than or equal to 8"),
        (client(json!({"rate": 0})), "spec.client.rate", "greater than or equal to 0.01"),
        (client(json!({"connection": "Pooled"})), "spec.client.connection", "KeepAlive"),
        (client(json!({"bodyDrift": "Currency"})), "spec.client.bodyDrift", "Amount"),
        (client(json!({"idempotencyKey": "Sometimes"})), "spec.client.idempotencyKey", "PerPayment"),
        (retry(json!({"maxAttempts": -1})), "spec.client.retry.maxAttempts", "greater than or equal to 0"),
        (retry(json!({"maxAttempts": 1001})), "spec.client.retry.maxAttempts", "less than or equal to 1000"),
        (client(json!({"hedge": 3, "retry": {"maxAttempts": 2}})), "spec.client.retry.maxAttempts", "hedge"),
        (retry(json!({"attemptTimeout": "0s"})), "spec.client.retry.attemptTimeout", "at least 1ms"),
        (retry(json!({"attemptTimeout": 5})), "spec.client.retry.attemptTimeout", "string"),
        (retry(json!({"backoff": {"cap": "1y"}})), "spec.client.retry.backoff.cap", "match"),
    ]
}

/// The same for the service and the faults.
fn invalid_services_and_faults() -> Vec<(Value, &'static str, &'static str)> {
    let seventeen: Vec<_> =
        (0..17).map(|n| json!({"name": format!("f{n}"), "probability": 0.1, "reset": {"at": "Connect"}})).collect();
    let service = |service: Value| json!({"service": service});
    let kill = |kill: Value| fault(&json!({"reset": null, "kill": kill}));
    let delay = |delay: Value| fault(&json!({"reset": null, "delay": delay}));
    vec![
        (service(json!({"dedup": "Magic"})), "spec.service.dedup", "UniqueKey"),
        (service(json!({"dedup": "Replay"})), "spec.client.idempotencyKey", "PerPayment"),
        (service(json!({"replicas": 0})), "spec.service.replicas", "greater than or equal to 1"),
        (service(json!({"replicas": 2})), "spec.service.replicas", "secretKeyRef"),
        (service(json!({"keyTtl": "5s"})), "spec.service.keyTtl", "Replay"),
        (
            json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "Replay", "keyTtl": "0ms"}}),
            "spec.service.keyTtl",
            "at least 1ms",
        ),
        (service(json!({"database": {}})), "spec.service.database.secretKeyRef", "Required"),
        (
            service(json!({"database": {"secretKeyRef": {"name": "A", "key": "url"}}})),
            "spec.service.database.secretKeyRef.name",
            "match",
        ),
        (service(json!({"onDisconnect": "Wait"})), "spec.service.onDisconnect", "Finish"),
        (fault(&json!({"name": "B_"})), "spec.faults[0].name", "match"),
        (fault(&json!({"name": "x".repeat(64)})), "spec.faults[0].name", "63"),
        (fault(&json!({"probability": 1.5})), "spec.faults[0].probability", "less than or equal to 1"),
        (fault(&json!({"probability": -0.1})), "spec.faults[0].probability", "greater than or equal to 0"),
        (fault(&json!({"probability": null})), "spec.faults[0].probability", "Required"),
        (fault(&json!({"reset": null})), "spec.faults[0]", "exactly one effect"),
        (fault(&json!({"delay": {"at": "Connect", "for": "1s"}})), "spec.faults[0]", "exactly one effect"),
        (fault(&json!({"kill": {"at": "Connect"}})), "spec.faults[0]", "exactly one effect"),
        (kill(json!({})), "spec.faults[0].kill.at", "Required"),
        (kill(json!({"at": "Sometime"})), "spec.faults[0].kill.at", "BeforeRequest"),
        (kill(json!({"at": "AfterRequest", "after": "31s"})), "spec.faults[0].kill.after", "at most 30s"),
        (delay(json!({"at": "Connect"})), "spec.faults[0].delay.for", "Required"),
        (delay(json!({"at": "Sometime", "for": "1s"})), "spec.faults[0].delay.at", "BeforeRequest"),
        (delay(json!({"at": "Connect", "for": "0s"})), "spec.faults[0].delay.for", "at least 1ms"),
        (delay(json!({"at": "Connect", "for": "31s"})), "spec.faults[0].delay.for", "at most 30s"),
        (delay(json!({"at": "Connect", "for": "long"})), "spec.faults[0].delay.for", "match"),
        (fault(&json!({"reset": {"at": "Sometime"}})), "spec.faults[0].reset.at", "AfterRequest"),
        (fault(&json!({"attempts": []})), "spec.faults[0].attempts", "at least 1"),
        (fault(&json!({"attempts": [0]})), "spec.faults[0].attempts[0]", "greater than or equal to 1"),
        (fault(&json!({"payments": {"from": 5, "to": 5}})), "spec.faults[0].payments", "`from` must be below `to`"),
        (fault(&json!({"probability": 1})), "spec.client.retry.maxAttempts", "never ends"),
        (
            json!({"faults": [fault(&json!({}))["faults"][0], fault(&json!({}))["faults"][0]]}),
            "spec.faults",
            "a name of its own",
        ),
        (json!({"faults": seventeen}), "spec.faults", "16"),
    ]
}

/// The spec of a target with these changes.
fn target(changes: &Value) -> Value {
    let mut target = json!({
        "url": "http://shop.example",
        "pay": {"post": "/p", "text": "{reference}"},
        "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
    });
    merge(&mut target, changes);
    json!({"target": target})
}

/// The same for services of the user's own: how they are paid.
fn invalid_targets() -> Vec<(Value, &'static str, &'static str)> {
    let target = |changes: Value| target(&changes);
    let list = |changes: Value| target(json!({"ledger": {"list": changes}}));
    let answer = |answer: Value| target(json!({"pay": {"answers": [answer]}}));
    let mut several = target(json!({"ledger": {"list": null, "total": {"get": "/t", "minor": "$"}}}));
    merge(&mut several, &json!({"claim": "ExactTotal", "client": {"workers": 2}}));
    let mut both = target(json!({}));
    merge(&mut both, &json!({"service": {"dedup": "UniqueKey"}}));
    vec![
        (both, "spec.service", "names another one"),
        (target(json!({"pay": null})), "spec.target.pay", "Required"),
        (target(json!({"model": "Magic"})), "spec.target.model", "UniqueKey"),
        (target(json!({"control": {"reference": "other"}})), "spec.target.control.reference", "same"),
        (target(json!({"ledger": {"list": null}})), "spec.target.ledger", "exactly one of list, lookup, sql and total"),
        (
            target(json!({"ledger": {"list": null, "sql": {"url": "{secret.x}", "query": "select 1"}}})),
            "spec.target.ledger.sql",
            "exactly one amount",
        ),
        (
            target(json!({"ledger": {"list": null, "total": {"get": "/t", "minor": "$", "major": "$"}}})),
            "spec.target.ledger.total",
            "exactly one amount",
        ),
        (
            target(json!({"ledger": {"list": null, "total": {"get": "/t", "minor": "$"}}})),
            "spec.claim",
            "ExactTotal is what a total can prove",
        ),
        (json!({"claim": "ExactTotal"}), "spec.claim", "ExactTotal is what a total can prove"),
        (several, "spec.client.workers", "says nothing of the shares of several workers"),
        (target(json!({"ledger": {"settle": {"quiet": "long"}}})), "spec.target.ledger.settle.quiet", "match"),
        (list(json!({"minor": null})), "spec.target.ledger.list", "exactly one amount"),
        (list(json!({"major": "$.a"})), "spec.target.ledger.list", "exactly one amount"),
        (
            list(json!({"next": {"while": "$.more"}})),
            "spec.target.ledger.list.next",
            "exactly one of query, url and link",
        ),
        (list(json!({"counts": {"$.status": []}})), "spec.target.ledger.list.counts", "at least 1"),
        (answer(json!({"means": "Maybe"})), "spec.target.pay.answers[0].means", "Acknowledged"),
        (
            answer(json!({"status": [42], "means": "Repeat"})),
            "spec.target.pay.answers[0].status[0]",
            "greater than or equal to 200",
        ),
    ]
}

/// The same for where they are, and for their secrets.
fn invalid_places() -> Vec<(Value, &'static str, &'static str)> {
    let target = |changes: Value| target(&changes);
    let placed = |mut place: Value| {
        place["url"] = Value::Null;
        target(place)
    };
    let image = |changes: Value| {
        let mut image = json!({"image": "shop:1", "port": 80});
        merge(&mut image, &changes);
        placed(json!({"image": image}))
    };
    let secret = json!({"name": "api", "key": "token"});
    let secrets = |secrets: Value| target(json!({"secrets": secrets}));
    vec![
        (target(json!({"url": null})), "spec.target", "exactly one of url, service and image"),
        (
            target(json!({"service": {"name": "shop", "port": 80}})),
            "spec.target",
            "exactly one of url, service and image",
        ),
        (placed(json!({"service": {"name": "Shop", "port": 80}})), "spec.target.service.name", "match"),
        (placed(json!({"service": {"name": "shop"}})), "spec.target.service.port", "Required"),
        (
            placed(json!({"service": {"name": "shop", "port": 0}})),
            "spec.target.service.port",
            "greater than or equal to 1",
        ),
        (image(json!({"image": null})), "spec.target.image.image", "Required"),
        (image(json!({"imagePullPolicy": "Sometimes"})), "spec.target.image.imagePullPolicy", "IfNotPresent"),
        (image(json!({"readyPath": "ready"})), "spec.target.image.readyPath", "is not a path"),
        (image(json!({"env": [{"name": "1A"}]})), "spec.target.image.env[0].name", "match"),
        (
            image(json!({"env": [{"name": "A", "value": "b", "valueFrom": {"secretKeyRef": secret}}]})),
            "spec.target.image.env[0]",
            "has two values",
        ),
        (
            image(json!({"resources": {"limits": {"memory": "64Q"}}})),
            "spec.target.image.resources.limits.memory",
            "match",
        ),
        (image(json!({"resources": {"limits": {"cpu": true}}})), "spec.target.image.resources.limits.cpu", "integer"),
        (image(json!({"securityContext": {"runAsUser": 0}})), "spec.target.image.securityContext.runAsUser", "1"),
        (
            image(json!({"securityContext": {"privileged": true}})),
            "spec.target.image.securityContext.privileged",
            "unknown field",
        ),
        (secrets(json!([{"name": "a b", "secretKeyRef": secret}])), "spec.target.secrets[0].name", "match"),
        (secrets(json!([{"name": "a"}])), "spec.target.secrets[0].secretKeyRef", "Required"),
        (
            secrets(json!([{"name": "a", "secretKeyRef": secret}, {"name": "A", "secretKeyRef": secret}])),
            "spec.target.secrets",
            "a name of its own",
        ),
    ]
}

/// The examples of services of the user's own.
fn targets() -> Vec<Value> {
    let folder = std::fs::read_dir(root().join("examples/targets")).unwrap();
    let paths =
        folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    let read = paths.map(|path| file::parse(&std::fs::read_to_string(path).unwrap(), 0).unwrap().resource);
    let mut all: Vec<_> = read.map(|resource| json!(resource)).collect();
    let quantities =
        json!({"requests": {"cpu": 1, "memory": "64Mi", "example.com/gpu": "2"}, "limits": {"memory": "1.5Gi"}});
    let images = [
        json!({"image": "shop:1", "port": 80}),
        json!({"image": "shop:1", "port": 80, "resources": quantities, "command": ["/shop"], "args": ["-v"], "readyPath": "/",
            "env": [{"name": "A"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}],
            "securityContext": {"runAsUser": 1000}, "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "registry"}]}),
    ];
    let places = images
        .map(|image| json!({"image": image}))
        .into_iter()
        .chain([json!({"service": {"name": "shop", "port": 80}})]);
    for mut place in places {
        let mut placed = all[0].clone();
        let target = placed["spec"]["target"].as_object_mut().unwrap();
        target.remove("url");
        target.append(place.as_object_mut().unwrap());
        all.push(placed);
    }
    all
}

/// Sends a new resource to the API server as a dry run, and returns the message of a refusal.
async fn dry_run(client: &Client, resource: &Value) -> Result<(), String> {
    let path =
        format!("/apis/paylab.dev/v1alpha1/namespaces/{NAMESPACE}/chaosexperiments?dryRun=All&fieldValidation=Strict");
    let request = http::Request::post(path).header("content-type", "application/json");
    match client.request::<Value>(request.body(resource.to_string().into_bytes()).unwrap()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("the request to the API server failed: {error}"),
    }
}

/// Validates a resource as `paylab` does on one machine, and returns the message of a refusal.
fn validate_locally(resource: &Value) -> Result<(), String> {
    let joined = |errors: Vec<FieldError>| errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ");
    file::parse(&resource.to_string(), 0).map(drop).map_err(joined)
}

/// Both refuse every invalid resource, with the name of the field.
pub(crate) async fn refuses_invalid_resources(client: &Client) {
    let invalid =
        [invalid_payments_and_clients(), invalid_services_and_faults(), invalid_targets(), invalid_places()].concat();
    assert!(invalid.len() >= 50);
    for (changes, field, text) in &invalid {
        let resource = resource("bad", changes);
        let message = dry_run(client, &resource).await.expect_err(&format!("{changes} is admitted"));
        assert!(message.contains(field) && message.contains(text), "{changes}: {field}, {text}: {message}");
        let message = validate_locally(&resource).expect_err(&format!("{changes} is accepted on one machine"));
        assert!(message.contains(field), "{changes}: {field}: {message}");
    }
    for name in ["1-begins-with-a-digit", "has.dots", &"x".repeat(41)] {
        let resource = resource(name, &json!({}));
        let message = dry_run(client, &resource).await.expect_err(name);
        assert!(message.contains("metadata.name must have at most 40"), "{message}");
        assert!(validate_locally(&resource).is_err_and(|message| message.contains("metadata.name")), "{name}");
    }
}

/// Both accept every valid resource.
pub(crate) async fn admits_valid_resources(client: &Client) {
    let database = json!({"secretKeyRef": {"name": "ledger.db", "key": "DATABASE_URL"}});
    let all_faults: Vec<_> = (0..16)
        .map(|n| json!({"name": format!("f-{n}"), "probability": 0.5, "reset": {"at": "AfterRequest"}, "attempts": (1..=100).collect::<Vec<_>>(), "payments": {"from": 0, "to": 5}}))
        .collect();
    let valid = [
        resource(&"x".repeat(40), &json!({})),
        resource(
            "largest",
            &json!({"payments": {"count": 100_000_000, "amount": "100000.00"}, "client": {"workers": 64, "concurrency": 1024, "hedge": 8, "rate": 0.5}}),
        ),
        resource("replicas", &json!({"service": {"replicas": 16, "database": database}})),
        resource(
            "replay",
            &json!({"client": {"idempotencyKey": "PerPayment"}, "service": {"dedup": "Replay", "keyTtl": "5s"}}),
        ),
        resource("faults", &json!({"faults": all_faults})),
        resource(
            "delayed",
            &json!({"faults": [{"name": "a", "probability": 1, "delay": {"at": "BeforeRequest", "for": "4999ms"}}]}),
        ),
        resource(
            "killed",
            &json!({
                "client": {"concurrency": 1, "redeliver": {"probability": 0.5, "after": "5s"}},
                "service": {"failAfter": 0.1},
                "faults": [{"name": "a", "probability": 0.1, "kill": {"at": "AfterRequest", "after": "10ms"}}],
            }),
        ),
        resource(
            "certain",
            &json!({"client": {"retry": {"maxAttempts": 1}}, "faults": [{"name": "a", "probability": 1, "reset": {"at": "Connect"}}]}),
        ),
    ];
    let targets = targets();
    assert!(targets.len() >= 6);
    for resource in valid.iter().chain(&targets) {
        dry_run(client, resource).await.unwrap_or_else(|message| panic!("{resource} is refused: {message}"));
        validate_locally(resource).unwrap_or_else(|message| panic!("{resource} is refused on one machine: {message}"));
    }
}

/// The spec of a resource cannot be changed, but the rest of the resource can.
pub(crate) async fn refuses_changes_of_the_spec(client: &Client) {
    let api = Api::<ChaosExperiment>::namespaced(client.clone(), NAMESPACE);
    let first: ChaosExperiment = serde_json::from_value(resource("kept", &json!({"seed": 1}))).unwrap();
    let mut kept = api.create(&PostParams::default(), &first).await.unwrap();
    kept.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
    kept = api.replace("kept", &PostParams::default(), &kept).await.unwrap();
    kept.spec.seed = Some(2);
    let message = api.replace("kept", &PostParams::default(), &kept).await.unwrap_err().to_string();
    assert!(message.contains("one experiment is one run"), "{message}");
    api.delete("kept", &DeleteParams::default()).await.unwrap();
}
