//! Brings a node up to play with, and takes it down. It must not know what a node is.
#![expect(clippy::print_stdout, reason = "its result is its output")]

use std::time::Instant;

use anyhow::bail;
use paylab_e2e::{Node, Tier, end};

const USAGE: &str = "usage: paylab-e2e up | up-api-server | down NAME";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["up"] => up(Tier::Full),
        ["up-api-server"] => up(Tier::ApiServer),
        ["down", name] => end(name),
        _ => bail!(USAGE),
    }
}

/// Keeps it up until this process ends, in whatever way, or `down` is called.
fn up(tier: Tier) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut node = Node::up(tier)?;
    println!("# {} is up after {:.1?}; it goes down with this process", node.name(), begun.elapsed());
    println!("export KUBECONFIG={}", node.kubeconfig().display());
    node.wait()
}
