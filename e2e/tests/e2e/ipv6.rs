//! A cluster without IPv4: the chart, an operator and labs on a node whose pods and Services have addresses of IPv6 only.

use std::net::IpAddr;

use paylab_e2e::{Node, NodeKind};
use serde_json::Value;

use crate::support::{Namespace, Suite, Test, condition, example, import_image, install_chart, message};

pub(crate) const SUITE: Suite = Suite { kind: NodeKind::FullIpv6, prepare, parallel: 1, groups: &[&[("ipv6", TESTS)]] };

const TESTS: &[Test] = &[("a_cluster_without_ipv4_gives_the_same_verdicts", same_verdicts)];

fn prepare(node: &Node) {
    import_image(node);
    install_chart(node, "paylab", &[]).unwrap();
}

/// Two lessons with the totals that they have everywhere.
fn same_verdicts(node: &Node) {
    let ns = Namespace::restricted(node, "ipv6");
    for name in ["never-pay-too-little", "pay-exactly-once"] {
        ns.apply(&example(name).replace("spec:", "spec:\n  retain: Always"));
    }
    let duplicated = |name| ns.final_status(name)["payments"]["duplicated"].as_i64();
    assert_eq!((duplicated("never-pay-too-little"), duplicated("pay-exactly-once")), (Some(329), Some(0)));
    let status = ns.status("pay-exactly-once");
    assert_eq!(condition(&status, "Verified"), Some("True"), "{}", message(&status));
    let read = |kinds: &str, namespace: &str| -> Vec<Value> {
        let list = node.kubectl(&["get", kinds, "--namespace", namespace, "--output=json"]).unwrap();
        serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
    };
    let pods = [read("pods", "ipv6"), read("pods", "paylab")].concat();
    let of_pods = pods.iter().flat_map(|pod| pod["status"]["podIPs"].as_array().unwrap()).map(|one| &one["ip"]);
    let services = [read("services", "ipv6"), read("services", "paylab")].concat();
    let of_services = services.iter().flat_map(|service| service["spec"]["clusterIPs"].as_array().unwrap());
    let addresses: Vec<IpAddr> = of_pods.chain(of_services).map(|ip| ip.as_str().unwrap().parse().unwrap()).collect();
    assert!(addresses.len() > 4 && addresses.iter().all(IpAddr::is_ipv6), "{addresses:?}");
}
