//! A node for all tests of a program, and Paylab on it, as a user has it: installed with helm, used with kubectl.

mod experiments;
mod namespace;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Instant,
};

use libtest_mimic::{Arguments, Failed, Trial};
use paylab_e2e::{Node, Tier};

pub(crate) use self::{
    experiments::{END_WITHIN, OURS, condition, example, experiment, message, slow},
    namespace::Namespace,
};

/// Names the image archive that `image/build` has written.
const ARCHIVE_ENV: &str = "PAYLAB_IMAGE_ARCHIVE";
/// The name of the image in that archive.
pub(crate) const IMAGE: (&str, &str) = ("registry.local/paylab", "ci");

/// A name and what it tests.
pub(crate) type Test = (&'static str, fn(&Node));

/// Tests that share a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) tier: Tier,
    /// What the node needs before the first test.
    pub(crate) prepare: fn(&Node),
    /// So many tests of the first list run at once, unless told otherwise, and those of the others one after another.
    pub(crate) at_once: usize,
    /// Each list runs after the one before; its tests are in modules.
    pub(crate) lists: &'static [&'static [(&'static str, &'static [Test])]],
}

/// The node of all tests of a program. It is brought up by the first test that runs.
#[derive(Debug)]
struct Cluster {
    tier: Tier,
    prepare: fn(&Node),
    node: OnceLock<Result<Node, String>>,
}

impl Cluster {
    fn node(&self) -> Result<&Node, Failed> {
        let up = || {
            let node = Node::up(self.tier).map_err(|error| format!("{error:#}"))?;
            (self.prepare)(&node);
            Ok(node)
        };
        Ok(self.node.get_or_init(up).as_ref()?)
    }

    fn down(self) -> anyhow::Result<()> {
        match self.node.into_inner() {
            Some(Ok(node)) => node.down(),
            Some(Err(_)) | None => Ok(()),
        }
    }
}

impl Program {
    /// Runs its tests and takes its node down; true when all is well.
    pub(crate) fn run(self) -> bool {
        let Self { tier, prepare, at_once, lists } = self;
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(at_once);
        let cluster = Arc::new(Cluster { tier, prepare, node: OnceLock::new() });
        let mut passed = true;
        for list in lists {
            let tests = list.iter().flat_map(|(module, tests)| tests.iter().map(move |test| (module, test)));
            let trials = tests.map(|(module, (name, test))| trial(format!("{module}::{name}"), &cluster, *test));
            passed &= !libtest_mimic::run(&arguments, trials.collect()).has_failed();
            arguments.test_threads = Some(1);
        }
        if let Some(Err(error)) = Arc::into_inner(cluster).map(Cluster::down) {
            eprintln!("the node does not go down: {error:#}");
            passed = false;
        }
        passed
    }
}

fn trial(name: String, cluster: &Arc<Cluster>, test: fn(&Node)) -> Trial {
    let cluster = Arc::clone(cluster);
    Trial::test(name.clone(), move || {
        let node = cluster.node()?;
        let begun = Instant::now();
        test(node);
        eprintln!("{:5.1} s {name}", begun.elapsed().as_secs_f64());
        Ok(())
    })
}

/// The folder of the whole project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Gives a node the image.
pub(crate) fn import(node: &Node) {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/paylab");
    let cache = std::env::var_os("PAYLAB_CACHE").map_or_else(home, PathBuf::from);
    let archive = std::env::var_os(ARCHIVE_ENV).map_or_else(|| cache.join("paylab.tar"), PathBuf::from);
    let (name, tag) = IMAGE;
    assert!(archive.exists(), "there is no image; make it: image/build {name}:{tag} {}", archive.display());
    node.import_image(&archive).unwrap();
}

/// Installs or upgrades a release of the chart and waits until the operator is ready.
pub(crate) fn install(node: &Node, namespace: &str, values: &[&str]) -> anyhow::Result<String> {
    let chart = root().join("charts/paylab");
    let image = format!("image.repository={},image.tag={}", IMAGE.0, IMAGE.1);
    let mut arguments = vec!["upgrade", "--install", "paylab", chart.to_str().unwrap(), "--namespace", namespace];
    arguments.extend(["--create-namespace", "--wait", "--timeout=3m", "--set", &image]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    node.helm(&arguments)
}
