//! Paylab's own service on one machine: a thread of this process, or, where a plan kills it, a process of its own under a supervisor.

use std::{
    env,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, anyhow};
use paylab_core::{
    plan::Plan,
    targets::{Target, ours::OurService},
};
use payment_service::{DATABASE_ENV, PaymentService, options::Options};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use crate::{
    database::Ledger,
    guard,
    lab::{Part, loopback, one_thread},
    supervisor::{OrdersTo, Reaped, Service, Supervised},
};

/// Paylab's own service, running.
#[derive(Debug)]
pub(crate) enum OurProcess {
    /// In threads of this process, one for each replica.
    Threads {
        /// The replica whose ledger is read.
        first: Part<SocketAddr>,
        /// The others.
        others: Vec<Part<SocketAddr>>,
    },
    /// In a process of its own that can be killed.
    Supervised {
        /// The process with its supervisor.
        supervised: Supervised,
        /// Keeps its port while it is dead.
        _port: TcpSocket,
    },
}

impl OurProcess {
    /// Starts the service of a plan.
    ///
    /// # Errors
    /// It cannot start.
    pub(crate) fn start(plan: &Plan, ledger: &Ledger) -> anyhow::Result<Self> {
        let Target::Ours(service) = &plan.target else {
            return Err(anyhow!("the plan pays a service of the user's own"));
        };
        let options = Options {
            listen: loopback(),
            database: ledger.url.clone(),
            schema: ledger.schema(),
            ..Options::of(service, plan.seed())
        };
        if plan.kills().next().is_some() {
            return Self::start_supervised(service, &options);
        }
        // One after the other, because each makes sure of the tables.
        let first = start_thread(options.clone())?;
        let others = (1..service.replicas).map(|_| start_thread(options.clone())).collect::<Result<_, _>>()?;
        Ok(Self::Threads { first, others })
    }

    fn start_supervised(service: &OurService, options: &Options) -> anyhow::Result<Self> {
        let port = {
            let runtime = one_thread()?;
            let _entered = runtime.enter();
            let port = TcpSocket::new_v4()?;
            port.set_reuseaddr(true)?;
            port.bind(loopback())?;
            port
        };
        let address = port.local_addr()?;
        let binary = env::current_exe().context("the path of this program is not known")?;
        let arguments = arguments(service, address, options);
        let database = options.database.expose().to_owned();
        let spawn = Box::new(move || {
            let mut command = Command::new(&binary);
            command.args(&arguments).env(DATABASE_ENV, &database).env("PAYLAB_LOG", "warn").process_group(0);
            command.env(guard::HELD_ENV, "1").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
        });
        let supervised = Supervised::start(Service { spawn, address, reaped: Reaped::Own }, &CancellationToken::new())?;
        Ok(Self::Supervised { supervised, _port: port })
    }

    /// Where it serves.
    pub(crate) const fn address(&self) -> SocketAddr {
        match self {
            Self::Threads { first, .. } => first.addresses,
            Self::Supervised { supervised, .. } => supervised.address,
        }
    }

    /// Where its other replicas serve.
    pub(crate) fn other_addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Threads { others, .. } => others.iter().map(|part| part.addresses).collect(),
            Self::Supervised { .. } => Vec::new(),
        }
    }

    /// Who can kill it.
    pub(crate) fn orders_to(&self) -> Option<OrdersTo> {
        match self {
            Self::Threads { .. } => None,
            Self::Supervised { supervised, .. } => Some(supervised.orders_to()),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It has failed before.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Threads { first, others } => {
                others.iter_mut().fold(first.stop(), |ended, part| ended.and(part.stop()))
            }
            Self::Supervised { supervised, .. } => supervised.stop(),
        }
    }
}

fn start_thread(options: Options) -> anyhow::Result<Part<SocketAddr>> {
    Part::start("payment-service", async move |addresses, shutdown| {
        let service = PaymentService::start(options).await?;
        addresses.send(service.address())?;
        Ok(service.serve(shutdown).await?)
    })
}

/// The command line of the service alone. The database is not on it, because every user of the machine can read command lines.
fn arguments(service: &OurService, address: SocketAddr, options: &Options) -> Vec<String> {
    let ms = |duration: std::time::Duration| format!("{}ms", duration.as_millis());
    let mut arguments = vec!["payment-service".to_owned(), format!("--listen={address}"), "--commit=group".to_owned()];
    arguments.push(format!("--dedup={:?}", service.dedup));
    arguments.push(format!("--on-disconnect={:?}", service.on_disconnect));
    arguments.push(format!("--missing-key={:?}", service.missing_key));
    arguments.push(format!("--processing-time={}", ms(service.processing_time)));
    arguments.push(format!("--fail-after={}", service.fail_after.value()));
    arguments.push(format!("--seed={}", options.seed));
    arguments.extend(service.key_ttl.map(|ttl| format!("--key-ttl={}", ms(ttl))));
    arguments.extend(options.schema.as_ref().map(|schema| format!("--schema={schema}")));
    arguments
}
