//! What the tests share: suites with a node, the installation of Paylab, namespaces and experiments.

mod experiments;
mod installation;
mod namespace;
mod suite;

pub(crate) use self::{
    experiments::{COMPLETED_WITHIN, LAB_OBJECTS, condition, example, experiment, message, slow_experiment},
    installation::{IMAGE, import_image, install_chart, root},
    namespace::Namespace,
    suite::{Suite, Test},
};
