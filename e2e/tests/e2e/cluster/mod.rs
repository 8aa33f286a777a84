//! The chart installed for the whole cluster: what its users see.

mod chart;
mod failures;
mod lessons;
mod node;
mod removal;

use paylab_e2e::{Node, Tier};

use crate::support::{Program, import, install};

/// Most of their time these tests wait.
pub(crate) const PROGRAM: Program = Program {
    tier: Tier::Full,
    prepare,
    at_once: 4,
    lists: &[
        &[
            ("node", node::TESTS),
            ("lessons", lessons::TESTS),
            ("failures", failures::TESTS),
            ("removal", removal::TESTS),
        ],
        &[("chart", chart::TESTS)],
    ],
};

fn prepare(node: &Node) {
    import(node);
    install(node, "paylab", &[]).unwrap();
}
