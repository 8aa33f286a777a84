//! Suites of tests, each with a node of its own. It must not know Paylab.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use libtest_mimic::{Arguments, Failed, Trial};
use paylab_e2e::{Node, NodeKind};

/// The name of a test and its function.
pub(crate) type Test = (&'static str, fn(&Node));

/// A suite: tests that share a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) kind: NodeKind,
    /// Prepares the node for the first test.
    pub(crate) prepare: fn(&Node),
    /// The number of tests that run at once in the first group, unless `--test-threads` is given; those of the other groups run
    /// one after another.
    pub(crate) parallel: usize,
    /// Groups of tests by module. Each group runs after the previous one.
    pub(crate) groups: &'static [&'static [(&'static str, &'static [Test])]],
}

/// The node of a suite. The first test that runs starts it.
#[derive(Debug)]
struct SharedNode {
    kind: NodeKind,
    prepare: fn(&Node),
    node: OnceLock<Result<Node, String>>,
}

impl SharedNode {
    fn get(&self) -> Result<&Node, Failed> {
        let start = || {
            let node = Node::start(self.kind).map_err(|error| format!("{error:#}"))?;
            (self.prepare)(&node);
            Ok(node)
        };
        Ok(self.node.get_or_init(start).as_ref()?)
    }

    fn stop(self) -> anyhow::Result<()> {
        match self.node.into_inner() {
            Some(Ok(node)) => node.stop(),
            Some(Err(_)) | None => Ok(()),
        }
    }
}

impl Suite {
    /// Runs the tests and stops the node; true when all tests passed and the node stopped.
    pub(crate) fn run(self) -> bool {
        let Self { kind, prepare, parallel, groups } = self;
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(parallel);
        let shared = Arc::new(SharedNode { kind, prepare, node: OnceLock::new() });
        let mut passed = true;
        for group in groups {
            let tests = group.iter().flat_map(|(module, tests)| tests.iter().map(move |test| (module, test)));
            let trials = tests.map(|(module, (name, test))| trial(format!("{module}::{name}"), &shared, *test));
            passed &= !libtest_mimic::run(&arguments, trials.collect()).has_failed();
            arguments.test_threads = Some(1);
        }
        if let Some(Err(error)) = Arc::into_inner(shared).map(SharedNode::stop) {
            eprintln!("the node did not stop: {error:#}");
            passed = false;
        }
        passed
    }
}

fn trial(name: String, shared: &Arc<SharedNode>, test: fn(&Node)) -> Trial {
    let shared = Arc::clone(shared);
    Trial::test(name.clone(), move || {
        let node = shared.get()?;
        let begun = Instant::now();
        test(node);
        eprintln!("{:5.1} s {name}", begun.elapsed().as_secs_f64());
        Ok(())
    })
}
