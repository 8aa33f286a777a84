//! Tests of an installation that watches the whole cluster, through kubectl and helm as its users.

mod changes;
mod chart;
mod failures;
mod gauntlet;
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
            ("lessons", lessons::TESTS),
            ("failures", failures::TESTS),
            ("changes", changes::TESTS),
            ("secrets", secrets::TESTS),
            ("targets", targets::TESTS),
            ("removal", removal::TESTS),
        ],
        &[("chart", chart::TESTS)],
    ],
};

fn prepare(node: &Node) {
    import_image(node);
    targets::import_services(node);
    // More than the defaults, because the tests that run at once must not wait for each other's labs.
    install_chart(node, "paylab", &["labs.max=40", "labs.maxPerNamespace=10"]).unwrap();
}
