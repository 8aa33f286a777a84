//! A proxy in front of any service, and a load through it.

use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};

use load_job::{Load, Progress};
use paylab_core::{
    duration_text::DurationText,
    outcome::{Outcome, Setting},
    plan::Plan,
};
use reset_proxy::{ResetProxy, options::Options};
use tokio::{runtime::Runtime, time::timeout};
use tokio_util::sync::CancellationToken;

/// No load may take longer.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// A proxy in front of the service, on its own thread until the test process ends: where payments go, and its control port.
pub(crate) fn proxy(service: SocketAddr) -> [SocketAddr; 2] {
    let (sender, addresses) = mpsc::channel();
    thread::spawn(move || {
        let loopback = Some("127.0.0.1:0".parse().unwrap());
        let options = Options {
            listen: loopback,
            control: loopback,
            upstream: Some(service.into()),
            connections_max: 100,
            dial_timeout: DurationText::from_ms(5000),
            ..Options::default()
        };
        Runtime::new().unwrap().block_on(async {
            let proxy = ResetProxy::start(options).await.unwrap();
            sender.send([proxy.address().unwrap(), proxy.control_address()]).unwrap();
            proxy.serve(CancellationToken::new()).await.unwrap();
        });
    });
    addresses.recv_timeout(LOAD_MAX).unwrap()
}

/// The whole load of a plan through a proxy.
pub(crate) fn proxied(plan: &Plan, service: SocketAddr, [payments, control]: [SocketAddr; 2]) -> Load {
    let [proxy, control, service] = [payments, control, service].map(|address| address.to_string());
    let (lease, patience) = (Duration::from_secs(30), Duration::ZERO);
    Load {
        plan: plan.clone(),
        run: "liars".parse().unwrap(),
        proxy,
        control,
        service,
        contract: None,
        tls: None,
        replicas: Vec::new(),
        worker: 0,
        lease,
        patience,
    }
}

/// Runs a load to its end.
pub(crate) fn execute(load: &Load) -> Result<Outcome, load_job::Error> {
    let (progress, shutdown) = (Progress::default(), CancellationToken::new());
    let report = Runtime::new().unwrap().block_on(async {
        timeout(LOAD_MAX, load_job::execute(load, &progress, &shutdown)).await.expect("the load ends")
    })?;
    Ok(Outcome::of(&load.plan, report, Setting::default()))
}
