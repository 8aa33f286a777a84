//! What the tests share: suites with a node, the installation of Paylab, namespaces and experiments.

mod admission;
mod experiments;
mod flux;
mod installation;
mod machine;
#[path = "../../../../paylab/tests/all/support/marks.rs"]
pub(crate) mod marks;
mod namespace;
mod reader;
mod suite;
mod webhook;
mod written;

pub(crate) use self::{
    admission::{await_admission, await_established, probe},
    experiments::{COMPLETED_WITHIN, LAB_OBJECTS, condition, example, experiment, message, slow_experiment},
    flux::{Flux, ready},
    installation::{IMAGE, import_image, install_chart, root},
    machine::run_here,
    namespace::Namespace,
    suite::{Suite, Test},
    webhook::Webhook,
    written::written_texts,
};
