//! The lab on one machine: service and proxy as threads of this process, each with its own runtime, its own loopback
//! sockets and the same HTTP as on a cluster. Nothing but addresses passes between them.

use std::{
    ffi::OsStr,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};
use load_job::{Load, Progress};
use paylab_core::{duration_text::DurationText, judge::report::Report, plan::Plan, run_id::RunId, targets::Target};
use payment_service::{DatabaseKind, DatabaseUrl, PaymentService, UrlOrigin, options::DatabaseUrlParser};
use reset_proxy::ResetProxy;
use tempfile::TempDir;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The proxy's rules outlive a stalled load by this long.
const LEASE: Duration = Duration::from_secs(30);

/// More than the largest experiment has in flight.
pub(crate) const CONNECTIONS_MAX: u32 = 16_384;
/// The service is on this machine, so if it cannot be dialled within this time, it does not run any more.
pub(crate) const DIAL_TIMEOUT: DurationText = DurationText::from_ms(5_000);

/// Where the service keeps its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Database {
    /// SQLite in a directory that is removed after the run.
    #[default]
    Temporary,
    /// SQLite in a new file that is kept.
    File(PathBuf),
    /// PostgreSQL, in a schema of the run's own that is dropped after it.
    Postgres(DatabaseUrl),
}

/// Reads the option `--database`. Its refusal does not show the value, which may hold a password.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseParser;

/// A service and a proxy in front of it, running.
#[derive(Debug)]
pub struct Lab {
    service: Part<SocketAddr>,
    proxy: Part<ProxyAddresses>,
    ledger: Ledger,
}

/// Where a ledger is, and what must be done after the run.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) url: DatabaseUrl,
    pub(crate) schema: Option<String>,
    /// Removed when dropped, after the service has ended.
    _directory: Option<TempDir>,
}

#[derive(Debug, Clone, Copy)]
struct ProxyAddresses {
    payments: SocketAddr,
    control: SocketAddr,
}

/// One part on its own thread, which ends when this is stopped or dropped.
#[derive(Debug)]
struct Part<A> {
    name: &'static str,
    addresses: A,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl TypedValueParser for DatabaseParser {
    type Value = Database;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Database, clap::Error> {
        let url = DatabaseUrlParser.parse_ref(command, arg, value)?;
        if url.expose() == "sqlite" {
            return Ok(Database::Temporary);
        }
        let refused = |reason: String| {
            let message = format!("{reason}; sqlite alone is a temporary file\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        };
        match url.kind().map_err(|bad| refused(bad.to_string()))? {
            DatabaseKind::Postgres => Ok(Database::Postgres(url)),
            DatabaseKind::Sqlite => {
                let path = url.expose().trim_start_matches("sqlite:");
                if path.trim_start_matches('/').is_empty() {
                    return Err(refused("the database URL in --database names no file; use sqlite:FILE".to_owned()));
                }
                Ok(Database::File(path.strip_prefix("//").unwrap_or(path).into()))
            }
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Temporary | Self::File(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        })
    }
}

impl Lab {
    /// Starts the parts of a plan on ports that the system chooses.
    ///
    /// # Errors
    /// A part cannot start, or the database cannot be used for a run.
    pub fn start(plan: &Plan, run: &RunId, database: &Database) -> anyhow::Result<Self> {
        let ledger = Ledger::prepare(run, database)?;
        let service = start_service(plan, &ledger).context("the payment service cannot start")?;
        let proxy = start_proxy(service.addresses).context("the reset proxy cannot start")?;
        Ok(Self { service, proxy, ledger })
    }

    /// One share of the load for this lab.
    #[must_use]
    pub fn load(&self, plan: &Plan, run: &RunId, worker: u32) -> Load {
        let ProxyAddresses { payments, control } = self.proxy.addresses;
        let [proxy, control, service] = [payments, control, self.service.addresses].map(|address| address.to_string());
        Load {
            plan: plan.clone(),
            run: run.clone(),
            proxy,
            control,
            service,
            worker,
            lease: LEASE,
            patience: Duration::ZERO,
        }
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
        let loads: Vec<_> = (0..plan.client.workers).map(|worker| self.load(plan, run, worker)).collect();
        let shares = loads.iter().zip(progress).map(|(load, progress)| load_job::execute(load, progress, shutdown));
        let reports = futures::future::try_join_all(shares).await?;
        reports.into_iter().reduce(Report::merge).ok_or_else(|| anyhow!("the plan has no workers"))
    }

    /// Ends the service alone, as if it were killed during a load.
    ///
    /// # Errors
    /// The service has failed before.
    pub fn stop_service(&mut self) -> anyhow::Result<()> {
        self.service.stop()
    }

    /// Ends the parts, the proxy first, and removes what the run has left in the database.
    ///
    /// # Errors
    /// A part has failed, or the database could not be cleaned.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.proxy.stop()?;
        self.service.stop()?;
        self.ledger.clean()
    }
}

impl Ledger {
    /// A ledger that nothing has been booked in.
    pub(crate) fn prepare(run: &RunId, database: &Database) -> anyhow::Result<Self> {
        match database {
            Database::Temporary => {
                let directory = tempfile::Builder::new().prefix("paylab-").tempdir();
                let directory =
                    directory.context("cannot make a temporary directory for the ledger (TMPDIR names its folder)")?;
                let url = format!("sqlite:{}", directory.path().join("ledger.db").display());
                Ok(Self { url: url.into(), schema: None, _directory: Some(directory) })
            }
            Database::File(path) if path.exists() => {
                Err(anyhow!("{} already exists; a run needs a ledger of its own", path.display()))
            }
            Database::File(path) => {
                let url = DatabaseUrl::new(format!("sqlite:{}", path.display()), UrlOrigin::Option);
                Ok(Self { url, schema: None, _directory: None })
            }
            Database::Postgres(url) => Ok(Self { url: url.clone(), schema: Some(run.schema()), _directory: None }),
        }
    }

    /// Drops the schema of the run, if there is one.
    pub(crate) fn clean(&self) -> anyhow::Result<()> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let dropped = one_thread()?.block_on(payment_service::drop_schema(&self.url, schema));
        dropped.with_context(|| format!("cannot drop the schema {schema}"))
    }
}

impl<A: Copy + Send + 'static> Part<A> {
    /// Starts a thread for a part, and returns once the part has sent its addresses.
    fn start<F>(name: &'static str, serve: F) -> anyhow::Result<Self>
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
    fn stop(&mut self) -> anyhow::Result<()> {
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

fn start_service(plan: &Plan, ledger: &Ledger) -> anyhow::Result<Part<SocketAddr>> {
    let Target::Ours(service) = &plan.target;
    let options = payment_service::options::Options {
        listen: loopback(),
        database: ledger.url.clone(),
        schema: ledger.schema.clone(),
        ..payment_service::options::Options::of(service)
    };
    Part::start("payment-service", async move |addresses, shutdown| {
        let service = PaymentService::start(options).await?;
        addresses.send(service.address())?;
        Ok(service.serve(shutdown).await?)
    })
}

fn start_proxy(service: SocketAddr) -> anyhow::Result<Part<ProxyAddresses>> {
    let options = reset_proxy::options::Options {
        listen: Some(loopback()),
        control: Some(loopback()),
        upstream: Some(service.into()),
        connections_max: CONNECTIONS_MAX,
        dial_timeout: DIAL_TIMEOUT,
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
const fn loopback() -> SocketAddr {
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
