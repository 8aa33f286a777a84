//! Starts a node for manual use, and stops it. It must not know what a node consists of.
#![expect(clippy::print_stdout, reason = "its result is its output")]

use std::time::Instant;

use anyhow::bail;
use paylab_e2e::{Node, NodeKind, stop_node};

const USAGE: &str = "usage: paylab-e2e up | up-api-server | down NAME";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["up"] => up(NodeKind::Full),
        ["up-api-server"] => up(NodeKind::ControlPlane),
        ["down", name] => stop_node(name),
        _ => bail!(USAGE),
    }
}

/// Runs a node until this process ends, for whatever reason, or until `down` is called.
fn up(kind: NodeKind) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut node = Node::start(kind)?;
    println!("# {} is up after {:.1?}; it stops when this process ends", node.name(), begun.elapsed());
    println!("export KUBECONFIG={}", node.kubeconfig().display());
    node.wait_until_stopped()
}
