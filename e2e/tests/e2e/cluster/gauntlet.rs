//! Tests of the gauntlet on a cluster: each cell is an experiment, and the service is killed in its pod.

use clap::Parser;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use operator::wait::{self, wait_with};
use paylab::{commands::gauntlet, exit::Exit};
use paylab_e2e::Node;
use tokio::runtime::Runtime;

use crate::support::{Namespace, Test};

pub(crate) const TESTS: &[Test] = &[("the_eight_modes_are_killed_in_their_pods", modes)];

/// One for each mode.
const CELLS: usize = 8;

/// The options of `paylab gauntlet` and of `paylab wait`, as they are written on the command line.
#[derive(Parser)]
struct Arguments<A: clap::Args> {
    #[command(flatten)]
    options: A,
}

fn options<A: clap::Args>(arguments: &[&str]) -> A {
    Arguments::parse_from([&["paylab"], arguments].concat()).options
}

/// Every file expects what docs/gauntlet.md says of its mode, so that both sides are seen: what is broken is Violated, what is safe is Upheld.
fn modes(node: &Node) {
    let ns = Namespace::restricted(node, "gauntlet");
    let directory = tempfile::tempdir().unwrap();
    let cells = directory.path().join("cells");
    let emit = ["--only=killed", "--payments=40", "--quiet", "--emit", cells.to_str().unwrap()];
    assert_eq!(gauntlet::gauntlet(&options(&emit)).unwrap(), Exit::AsExpected);
    ns.kubectl(&["apply", "--filename", cells.to_str().unwrap()]);
    let waited = Runtime::new().unwrap().block_on(async {
        let kubeconfig = Kubeconfig::read_from(node.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let selector = ["--selector=paylab.dev/gauntlet=modes", "--namespace", ns.name(), "--timeout=8m"];
        wait_with(Client::try_from(config).unwrap(), &options::<wait::Options>(&selector)).await.unwrap()
    });
    assert_eq!(waited.len(), CELLS);
    for (name, ending) in waited {
        let ending = ending.unwrap_or_else(|| panic!("{name} has not ended: {:#}", ns.status(&name)));
        assert_eq!(ending.as_expected, Some(true), "{name}: {}", ending.message);
    }
}
