//! Tests that need a real API server and its controllers, but no running pods: admission, obstacles, and crashes of the operator.

mod admission;
mod chart;
mod crash;
mod fake_kubelet;
mod obstacles;
mod request_faults;
mod requests;
mod yaml_reading;

use std::{collections::BTreeSet, io::Write as _, path::Path, time::Duration};

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Client;
use paylab_e2e::{Node, NodeKind};
use serde_json::json;
use tokio::runtime::Runtime;

use self::{
    crash::{Experiment, LESSON, SHOP},
    fake_kubelet::FakeKubelet,
    request_faults::RequestFault,
};
use crate::support::{Suite, Test, await_established, root};

/// The tests run one after another, because each crash test runs many experiments. The rights are compared with all requests of
/// the tests before.
pub(crate) const SUITE: Suite = Suite {
    kind: NodeKind::ControlPlane,
    prepare,
    parallel: 1,
    groups: &[
        &[("admission", ADMISSION), ("obstacles", OBSTACLES), ("requests", REQUESTS), ("crash", CRASH)],
        &[("rights", RIGHTS)],
        &[("chart", CHART)],
    ],
};

const ADMISSION: &[Test] = &[
    ("every_invalid_resource_is_refused_with_its_field", |node| {
        run(node, async |client| admission::refuses_invalid_resources(&client).await);
    }),
    ("a_resource_that_runs_on_one_machine_is_admitted", |node| {
        run(node, async |client| admission::admits_valid_resources(&client).await);
    }),
    ("yaml_is_read_as_on_one_machine", |node| {
        run(node, async |client| yaml_reading::is_the_same(&client).await);
    }),
    ("an_accepted_spec_cannot_be_changed", |node| {
        run(node, async |client| admission::refuses_changes_of_the_spec(&client).await);
    }),
];

const OBSTACLES: &[Test] = &[
    ("what_the_cluster_refuses_ends_in_bounded_time_with_its_words", |node| {
        Runtime::new().unwrap().block_on(obstacles::end_with_their_reason(node));
    }),
    ("a_hundred_experiments_at_once_all_end_in_the_order_of_their_age", |node| {
        Runtime::new().unwrap().block_on(obstacles::a_hundred_at_once(node));
    }),
    ("an_ordinary_experiment_does_not_wait_until_huge_ones_are_computed", |node| {
        Runtime::new().unwrap().block_on(obstacles::beside_huge_ones(node));
    }),
];

const REQUESTS: &[Test] = &[
    ("an_experiment_costs_few_requests_and_one_that_has_ended_costs_none", |node| {
        Runtime::new().unwrap().block_on(requests::of_one_experiment(node));
    }),
    ("five_hundred_that_wait_cost_less_than_one_request_a_second", |node| {
        Runtime::new().unwrap().block_on(requests::of_many_that_wait(node));
    }),
    ("an_operator_that_may_not_watch_goes_on_and_does_not_spin", |node| {
        Runtime::new().unwrap().block_on(requests::without_the_right_to_watch(node));
    }),
];

const CHART: &[Test] = &[
    ("a_resource_that_no_operator_has_seen_is_in_progress", chart::unseen),
    ("the_operators_token_changes_no_config_map_of_others", chart::only_own_config_maps),
    ("every_set_of_values_upgrades_to_every_other_one_with_helm_4", |node| chart::every_way(node, chart::HELM_4)),
    ("every_set_of_values_upgrades_to_every_other_one_with_helm_3", |node| chart::every_way(node, chart::HELM_3)),
    ("a_release_of_helm_3_is_upgraded_by_helm_4_and_back", chart::taking_turns),
];

const CRASH: &[Test] = &[
    ("killed_before_each_request", |node| at_every_request(node, LESSON, RequestFault::KilledBefore)),
    ("killed_after_each_request", |node| at_every_request(node, LESSON, RequestFault::KilledAfter)),
    ("each_request_fails", |node| at_every_request(node, LESSON, RequestFault::InternalError)),
    ("each_write_conflicts", |node| at_every_request(node, LESSON, RequestFault::Conflict)),
    ("each_response_is_lost", |node| at_every_request(node, LESSON, RequestFault::ResponseLost)),
    ("killed_before_each_request_for_a_target", |node| at_every_request(node, SHOP, RequestFault::KilledBefore)),
    ("killed_after_each_request_for_a_target", |node| at_every_request(node, SHOP, RequestFault::KilledAfter)),
];

const RIGHTS: &[Test] = &[("the_operator_has_exactly_the_rights_that_it_uses", exact_rights)];

/// Installs the chart's CustomResourceDefinition and rights, and starts the fake kubelet. The operator's own pod does not run.
fn prepare(node: &Node) {
    let chart = root().join("charts/paylab");
    let rendered =
        node.helm(&["template", "paylab", chart.to_str().unwrap(), "--namespace", "paylab", "--skip-tests"]).unwrap();
    node.kubectl(&["create", "namespace", "paylab"]).unwrap();
    node.apply(&rendered).unwrap();
    await_established(node, &["crd/chaosexperiments.paylab.dev"]);
    wait_for_admission(node);
    let (kubelet, kubeconfig) = (FakeKubelet::new(), node.kubeconfig().to_owned());
    // The thread ends with this process, which may outlive the node.
    std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async { kubelet.run(client(&kubeconfig).await).await });
    });
}

/// Waits until the admission plugin OwnerReferencesPermissionEnforcement knows the new kind. Until then it forbids what an experiment owns.
fn wait_for_admission(node: &Node) {
    let owned = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x-plan", "namespace": "paylab", "ownerReferences": [
        {"apiVersion": "paylab.dev/v1alpha1", "kind": "ChaosExperiment", "name": "x", "uid": "x", "controller": true, "blockOwnerDeletion": true}]}});
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(owned.to_string().as_bytes()).unwrap();
    // Nobody asks the administrator.
    let as_operator = format!("--as={}", crash::OPERATOR);
    let create = ["create", "--dry-run=server", "--filename", file.path().to_str().unwrap(), &as_operator];
    paylab_e2e::eventually("admission", Duration::from_secs(60), || node.kubectl(&create)).unwrap();
}

async fn client(kubeconfig: &Path) -> Client {
    Client::try_from(crash::admin_config(kubeconfig).await).unwrap()
}

fn run(node: &Node, test: impl AsyncFnOnce(Client)) {
    Runtime::new().unwrap().block_on(async { test(client(node.kubeconfig()).await).await });
}

fn at_every_request(node: &Node, experiment: Experiment, fault: RequestFault) {
    let count = Runtime::new().unwrap().block_on(crash::inject_at_every_request(node, experiment, fault));
    println!(
        "{}, {}: injected at each of {count} requests, always with the same result",
        experiment.name,
        fault.name()
    );
}

/// The operator has used every right that the chart grants, and no request was forbidden. Exceptions: the API server itself checks
/// the right to `finalizers`, and the operator reads logs only where pods run.
fn exact_rights(node: &Node) {
    let role = node.kubectl(&["get", "clusterrole", "paylab", "--output=json"]).unwrap();
    let role: ClusterRole = serde_json::from_str(&role).unwrap();
    let mut granted = BTreeSet::new();
    for rule in role.rules.unwrap_or_default() {
        for resource in rule.resources.unwrap_or_default() {
            granted.extend(rule.verbs.iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    let requests = node.audit_log().requests().unwrap();
    // What `prepare` asked in its name was asked with kubectl.
    let by_kubectl = |user_agent: &str| user_agent.starts_with("kubectl");
    let from_operator =
        requests.iter().filter(|request| request.user == crash::OPERATOR && !by_kubectl(&request.user_agent));
    let (forbidden, used): (Vec<_>, Vec<_>) = from_operator.partition(|request| request.code == 403);
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let used: BTreeSet<_> = used.iter().map(|request| format!("{} {}", request.verb, request.resource)).collect();
    let unused: Vec<_> = granted.iter().filter(|right| !used.contains(*right)).collect();
    let expected = ["get pods/log", "update chaosexperiments/finalizers", "update configmaps/finalizers"];
    let unused: Vec<_> = unused.into_iter().filter(|right| !expected.contains(&right.as_str())).collect();
    assert!(unused.is_empty(), "granted, but never used: {}", json!(unused));
}
