//! The lab on one machine: service and proxy as threads of this process, each with its own runtime, its own loopback
//! sockets and the same HTTP as on a cluster. Nothing but addresses passes between them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use load_job::{Load, Progress, Telling};
use paylab_contract::{Contract, request::Tls};
use paylab_core::{
    chronicle::Chronicle, duration_text::DurationText, judge::report::Report, plan::Plan, run_id::RunId,
};
use paylab_part::tls::TlsDialer;
use reset_proxy::{ResetProxy, options::Authority};
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use crate::database::{Database, DatabaseParser};
use crate::{database::Ledger, machine::IN_FLIGHT_MAX, our_service::OurProcess, supervisor::OrdersTo};

/// The proxy's rules outlive a stalled load by this long.
const LEASE: Duration = Duration::from_secs(30);

/// The service is on this machine, so if it cannot be dialled within this time, it does not run any more.
pub(crate) const DIAL_TIMEOUT: DurationText = DurationText::from_ms(5_000);

/// A service and a proxy in front of it, running.
#[derive(Debug)]
pub struct Lab {
    /// Paylab's own service, with its ledger; `None`: the user's own service is paid.
    service: Option<(OurProcess, Ledger)>,
    proxy: Part<ProxyAddresses>,
    contract: Option<Arc<Contract>>,
    /// What makes TLS of connections to that service.
    tls: Option<TlsDialer>,
}

#[derive(Debug, Clone, Copy)]
struct ProxyAddresses {
    payments: SocketAddr,
    control: SocketAddr,
}

/// One part on its own thread, which ends when this is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Part<A> {
    name: &'static str,
    pub(crate) addresses: A,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Lab {
    /// Starts the parts of a plan on ports that the system chooses.
    ///
    /// # Errors
    /// A part cannot start, or the database cannot be used for a run.
    pub fn start(plan: &Plan, run: &RunId, database: &Database) -> anyhow::Result<Self> {
        let ledger = Ledger::prepare(run, database)?;
        match start_parts(plan, &ledger) {
            Ok((service, proxy)) => Ok(Self { service: Some((service, ledger)), proxy, contract: None, tls: None }),
            Err(error) => {
                // Why the parts cannot start is the cause of whatever else fails now.
                let _ = ledger.clean();
                Err(error)
            }
        }
    }

    /// Starts a proxy in front of the user's own service.
    ///
    /// # Errors
    /// The proxy cannot start.
    pub(crate) fn in_front_of(contract: Arc<Contract>, orders_to: Option<OrdersTo>) -> anyhow::Result<Self> {
        let upstream = contract.origin.address.parse().context("the address of spec.target.url")?;
        let tls = Load::tls_of(Some(&contract))?;
        let proxy = start_proxy((upstream, Vec::new()), contract.origin.tls.as_ref(), orders_to)
            .context("the reset proxy cannot start")?;
        Ok(Self { service: None, proxy, contract: Some(contract), tls })
    }

    /// One share of the load for this lab.
    #[must_use]
    pub fn load(&self, plan: &Plan, run: &RunId, worker: u32) -> Load {
        let ProxyAddresses { payments, control } = self.proxy.addresses;
        let [proxy, control] = [payments, control].map(|address| address.to_string());
        let service = match (&self.service, &self.contract) {
            (Some((service, _)), _) => service.address().to_string(),
            (None, contract) => contract.as_ref().map(|contract| contract.origin.address.clone()).unwrap_or_default(),
        };
        Load {
            plan: plan.clone(),
            run: run.clone(),
            proxy,
            control,
            service,
            replicas: self.replicas().into_iter().map(|replica| replica.to_string()).collect(),
            contract: self.contract.clone(),
            tls: self.tls.clone(),
            worker,
            lease: LEASE,
            patience: Duration::ZERO,
        }
    }

    fn replicas(&self) -> Vec<SocketAddr> {
        self.service.as_ref().map(|(service, _)| service.other_addresses()).unwrap_or_default()
    }

    /// Runs every share of the plan against this lab and merges what the judge says of each.
    ///
    /// # Errors
    /// A load cannot begin.
    pub async fn measure(
        &self,
        plan: &Plan,
        run: &RunId,
        progress: &[Progress],
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Report> {
        Ok(self.measure_telling(plan, run, progress, shutdown, Telling::Verdict).await?.0)
    }

    /// The same, and merges the chronicles of the shares, if they are asked for.
    ///
    /// # Errors
    /// A load cannot begin.
    pub async fn measure_telling(
        &self,
        plan: &Plan,
        run: &RunId,
        progress: &[Progress],
        shutdown: &CancellationToken,
        telling: Telling,
    ) -> anyhow::Result<(Report, Chronicle)> {
        let loads: Vec<_> = (0..plan.client.workers).map(|worker| self.load(plan, run, worker)).collect();
        let shares = loads
            .iter()
            .zip(progress)
            .map(|(load, progress)| load_job::execute_telling(load, progress, shutdown, telling));
        let told = futures::future::try_join_all(shares).await?;
        let merged = told
            .into_iter()
            .reduce(|(report, chronicle), (other, others)| (report.merge(other), chronicle.merge(others)));
        merged.ok_or_else(|| anyhow!("the plan has no workers"))
    }

    /// Ends the service alone, as if it were killed during a load.
    ///
    /// # Errors
    /// The service has failed before.
    pub fn stop_service(&mut self) -> anyhow::Result<()> {
        self.service.as_mut().map_or(Ok(()), |(service, _)| service.stop())
    }

    /// Ends the parts, the proxy first, and removes what the run has left in the database.
    ///
    /// # Errors
    /// A part has failed, or the database could not be cleaned.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let proxy = self.proxy.stop();
        let Some((mut service, ledger)) = self.service.take() else { return proxy };
        let (service, cleaned) = (service.stop(), ledger.clean());
        proxy.and(service).and(cleaned)
    }
}

impl<A: Copy + Send + 'static> Part<A> {
    /// Starts a thread for a part, and returns once the part has sent its addresses.
    pub(crate) fn start<F>(name: &'static str, serve: F) -> anyhow::Result<Self>
    where
        F: AsyncFnOnce(mpsc::Sender<A>, CancellationToken) -> anyhow::Result<()> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let (sender, receiver) = mpsc::channel();
        let runtime = one_thread()?;
        let token = shutdown.clone();
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(serve(sender, token)))?;
        let Ok(addresses) = receiver.recv() else {
            return Err(failure(name, thread));
        };
        Ok(Self { name, addresses, shutdown, thread: Some(thread) })
    }
}

impl<A> Part<A> {
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error.context(format!("the {} failed", self.name))),
            Some(Err(_)) => Err(anyhow!("the {} crashed", self.name)),
        }
    }
}

impl<A> Drop for Part<A> {
    fn drop(&mut self) {
        // A caller that needs the error calls `stop` itself.
        let _ = self.stop();
    }
}

/// Why a thread ended before its part was ready.
fn failure(name: &str, thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Error {
    match thread.join() {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => anyhow!("the {name} ended before it was ready"),
    }
}

fn start_parts(plan: &Plan, ledger: &Ledger) -> anyhow::Result<(OurProcess, Part<ProxyAddresses>)> {
    let service = OurProcess::start(plan, ledger).context("the payment service cannot start")?;
    let upstreams = (service.address().into(), service.other_addresses().into_iter().map(Authority::from).collect());
    let proxy = start_proxy(upstreams, None, service.orders_to());
    Ok((service, proxy.context("the reset proxy cannot start")?))
}

fn start_proxy(
    (service, replicas): (Authority, Vec<Authority>),
    tls: Option<&Tls>,
    orders_to: Option<OrdersTo>,
) -> anyhow::Result<Part<ProxyAddresses>> {
    let (supervisor, supervisor_token) = orders_to.map(|orders| (orders.address, orders.token)).unzip();
    let options = reset_proxy::options::Options {
        listen: Some(loopback()),
        control: Some(loopback()),
        upstream: Some(service),
        replicas,
        upstream_tls_name: tls.map(|tls| tls.name.clone()),
        upstream_ca: tls.and_then(|tls| tls.ca.clone()),
        connections_max: IN_FLIGHT_MAX,
        dial_timeout: DIAL_TIMEOUT,
        supervisor,
        supervisor_token,
        ..reset_proxy::options::Options::default()
    };
    Part::start("reset-proxy", async move |addresses, shutdown| {
        let proxy = ResetProxy::start(options).await?;
        let payments = proxy.address().context("the proxy listens")?;
        addresses.send(ProxyAddresses { payments, control: proxy.control_address() })?;
        Ok(proxy.serve(shutdown).await?)
    })
}

/// A port of the loopback interface that the system chooses.
pub(crate) const fn loopback() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

/// The runtime of one part: one thread, no work stealing.
pub(crate) fn one_thread() -> anyhow::Result<runtime::Runtime> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?)
}

/// A run id that no other run has.
pub(crate) fn draw_run_id() -> anyhow::Result<RunId> {
    Ok(Uuid::new_v4().simple().to_string().parse()?)
}
