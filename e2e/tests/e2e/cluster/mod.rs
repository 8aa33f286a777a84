//! Tests of an installation that watches the whole cluster, through kubectl and helm as its users.

mod changes;
mod chart;
mod disturbances;
mod failures;
mod gauntlet;
mod gitops;
mod lessons;
mod node;
mod removal;
mod secrets;
mod targets;

use paylab_e2e::{Node, NodeKind};

use crate::support::{Suite, import_image, install_chart};

/// Several tests run at once, because they wait most of the time.
pub(crate) const SUITE: Suite = Suite {
    kind: NodeKind::Full,
    prepare,
    parallel: 4,
    groups: &[
        &[
            ("node", node::TESTS),
            ("gauntlet", gauntlet::TESTS),
            ("gitops", gitops::TESTS),
            ("lessons", lessons::TESTS),
            ("failures", failures::TESTS),
            ("changes", changes::TESTS),
            ("secrets", secrets::TESTS),
            ("disturbances", disturbances::TESTS),
            ("targets", targets::TESTS),
            ("removal", removal::TESTS),
        ],
        &[("disturbances", disturbances::DISTURBING), ("removal", removal::DISTURBING), ("chart", chart::TESTS)],
    ],
};

/// The values of the release. More labs than the defaults allow, and parts that ask for less, because the tests that run at once must not wait for
/// each other's.
const VALUES: &[&str] = &["labs.max=40", "labs.maxPerNamespace=10", "parts.resources.requests.cpu=20m"];

fn prepare(node: &Node) {
    import_image(node);
    targets::import_services(node);
    install_chart(node, "paylab", VALUES).unwrap();
}
