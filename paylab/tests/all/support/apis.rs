//! The services of `testbed/apis`, each on a thread of its own.

use std::{net::SocketAddr, thread};

use paylab_apis::{Conduct, Shape, serve};
use tokio::{net::TcpListener, runtime};

/// Starts a service, which serves until the test process ends.
pub(crate) fn start(shape: Shape, conduct: Conduct) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, shape.router(conduct)).await
        })
    });
    receiver.recv().unwrap()
}
