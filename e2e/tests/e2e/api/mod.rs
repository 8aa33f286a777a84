//! What needs a real API server and its controllers, and no pods that run: admission, and the crashes of the operator.

mod admission;
mod crash;
mod faults;
mod kubelet;

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Client;
use paylab_e2e::{Node, Tier};
use serde_json::json;
use tokio::runtime::Runtime;

use self::{faults::Fault, kubelet::Kubelet};
use crate::support::{Program, Test, root};

/// Each sweep is a crowd by itself. The rights are held against all that was asked for before.
pub(crate) const PROGRAM: Program = Program {
    tier: Tier::ApiServer,
    prepare,
    at_once: 1,
    lists: &[&[("admission", ADMISSION), ("crash", CRASH)], &[("rights", RIGHTS)]],
};

/// The operator, whoever runs it, with the rights that the chart gives.
const OPERATOR: &str = "system:serviceaccount:paylab:paylab";

const ADMISSION: &[Test] = &[
    ("every_bad_resource_is_refused_with_its_field", |node| {
        run(node, async |client| admission::refuses_what_is_bad(&client).await);
    }),
    ("what_the_laptop_runs_is_admitted", |node| {
        run(node, async |client| admission::admits_what_is_good(&client).await);
    }),
    ("a_spec_stays_as_it_was_accepted", |node| {
        run(node, async |client| admission::keeps_the_spec(&client).await);
    }),
];

const CRASH: &[Test] = &[
    ("killed_before_each_request", |node| sweep(node, Fault::KilledBefore)),
    ("killed_after_each_request", |node| sweep(node, Fault::KilledAfter)),
    ("each_request_fails", |node| sweep(node, Fault::InternalError)),
    ("each_write_conflicts", |node| sweep(node, Fault::Conflict)),
    ("each_answer_is_lost", |node| sweep(node, Fault::AnswerLost)),
];

const RIGHTS: &[Test] = &[("the_operator_has_the_rights_that_it_uses_and_no_others", every_right)];

/// The chart, without pods that would run: its definition and its rights, and a kubelet that plays.
fn prepare(node: &Node) {
    let chart = root().join("charts/paylab");
    let rendered =
        node.helm(&["template", "paylab", chart.to_str().unwrap(), "--namespace", "paylab", "--skip-tests"]).unwrap();
    node.kubectl(&["create", "namespace", "paylab"]).unwrap();
    node.apply(&rendered).unwrap();
    node.kubectl(&["wait", "--for=condition=Established", "crd/chaosexperiments.paylab.dev", "--timeout=30s"]).unwrap();
    let (kubelet, kubeconfig) = (Kubelet::of(crash::EXPERIMENT), node.kubeconfig().to_owned());
    // It ends with this process, which may outlive the node.
    std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async { kubelet.play(client(&kubeconfig).await).await });
    });
}

async fn client(kubeconfig: &Path) -> Client {
    Client::try_from(crash::admin(kubeconfig).await).unwrap()
}

fn run(node: &Node, test: impl AsyncFnOnce(Client)) {
    Runtime::new().unwrap().block_on(async { test(client(node.kubeconfig()).await).await });
}

fn sweep(node: &Node, fault: Fault) {
    let met = Runtime::new().unwrap().block_on(crash::sweep(node, fault));
    println!("{}: met {met} requests, each came to the same end", fault.name());
}

/// What the chart grants is what the operator has asked for in all these experiments: no more, and no less, for less would
/// have failed them. `finalizers` are asked for by the API server itself, and logs only where pods run.
fn every_right(node: &Node) {
    let role = node.kubectl(&["get", "clusterrole", "paylab", "--output=json"]).unwrap();
    let role: ClusterRole = serde_json::from_str(&role).unwrap();
    let mut granted = BTreeSet::new();
    for rule in role.rules.unwrap_or_default() {
        for resource in rule.resources.unwrap_or_default() {
            granted.extend(rule.verbs.iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    let requests = node.audit_from_start().requests().unwrap();
    let asked = requests.iter().filter(|request| request.user == OPERATOR);
    let (refused, used): (Vec<_>, Vec<_>) = asked.partition(|request| request.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
    let used: BTreeSet<_> = used.iter().map(|request| format!("{} {}", request.verb, request.resource)).collect();
    let spare: Vec<_> = granted.iter().filter(|right| !used.contains(*right)).collect();
    let known = ["get pods/log", "update chaosexperiments/finalizers", "update configmaps/finalizers"];
    let spare: Vec<_> = spare.into_iter().filter(|right| !known.contains(&right.as_str())).collect();
    assert!(spare.is_empty(), "granted and never used: {}", json!(spare));
}
