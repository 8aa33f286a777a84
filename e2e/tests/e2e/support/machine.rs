//! Runs of experiments on this machine that pay a service of `testbed/apis`.

use std::{sync::Arc, thread};

use paylab::commands::run::measure_theirs;
use paylab_apis::{Conduct, Shape, serve};
use paylab_core::outcome::{Outcome, Setting};
use paylab_resource::{
    file::{self, Experiment},
    plan::contract,
};
use tokio::{net::TcpListener, runtime};

/// Runs an experiment on this machine. A service of this kind is started for it, in place of the one that the experiment names.
pub(crate) fn run_here(text: &str, shape: Shape, conduct: Conduct) -> Outcome {
    let (sender, receiver) = std::sync::mpsc::channel();
    // It serves until this process ends.
    thread::spawn(move || {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(format!("http://{}", listener.local_addr().unwrap())).unwrap();
            serve(listener, shape.router(conduct)).await
        })
    });
    let Experiment { mut resource, plan, contract: _ } = file::parse(text, 0).unwrap();
    resource.spec.target.as_mut().unwrap().move_to(&receiver.recv().unwrap());
    let contract = contract(&resource.spec).unwrap().unwrap();
    measure_theirs(&plan, &Arc::new(contract), Setting::default()).unwrap()
}
