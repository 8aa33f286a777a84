//! The supervisor of a service: it has the service's process, kills it when the proxy orders that, and starts it again at once. It is a
//! thread of a run on one machine, and the first process of a service's container on a cluster.
//!
//! A process that ends without an order ends its supervisor too: a restart that nobody has ordered must be seen.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use paylab_part::{
    listen::listen,
    supervision::{Order, START_TIMEOUT, Token},
};
use reset_proxy::options::Authority;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, wait, waitpgid};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{exit::Interrupted, guard, lab::Part, leftovers::ProcessGroup};

/// The pause between two tries to reach the port of a service that starts.
const START_PAUSE: Duration = Duration::from_micros(500);
/// How long a service may take to end after it was asked to.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How many orders may wait.
const ORDERS_MAX: usize = 64;

/// Starts the process of a service.
pub(crate) type Spawn = Box<dyn Fn() -> io::Result<Child> + Send>;

/// A service that can be started again and again.
pub(crate) struct Service {
    /// Starts its process, which must lead a process group of its own. If its standard input is a pipe, it waits for a line on it.
    pub(crate) spawn: Spawn,
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// Whose processes must be waited for.
    pub(crate) reaped: Reaped,
}

/// Whose processes a supervisor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// Its service's alone.
    Own,
    /// All that have lost their parent, as the first process of a container must.
    All,
}

/// A service that is supervised by a thread of this process.
#[derive(Debug)]
pub(crate) struct Supervised {
    part: Part<SocketAddr>,
    /// Where the service serves.
    pub(crate) address: SocketAddr,
    token: Token,
}

/// Where a supervisor takes orders, and the token that it asks for.
#[derive(Debug, Clone)]
pub(crate) struct OrdersTo {
    pub(crate) address: Authority,
    pub(crate) token: Token,
}

/// A process that runs.
struct Running {
    leader: u32,
    group: ProcessGroup,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
}

/// A supervisor whose service serves.
pub(crate) struct Supervisor {
    service: Service,
    running: Running,
    /// The process that runs now.
    now: Arc<AtomicU32>,
    listener: TcpListener,
    token: Token,
}

impl Supervised {
    /// Starts a service and its supervisor.
    ///
    /// # Errors
    /// The service does not serve, or nobody wants that any more.
    pub(crate) fn start(service: Service, unwanted: &CancellationToken) -> anyhow::Result<Self> {
        let unwanted = unwanted.clone();
        let token = Token::new(Uuid::new_v4().simple().to_string());
        let (address, expected) = (service.address, token.clone());
        let part = Part::start("supervisor of the service", async move |addresses, shutdown| {
            let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let local = listener.local_addr()?;
            let supervisor = Supervisor::start(service, listener, expected, &unwanted).await?;
            addresses.send(local)?;
            let ended = supervisor.serve(shutdown.clone()).await?;
            if shutdown.is_cancelled() {
                return Ok(());
            }
            Err(anyhow!("the service has ended ({ended}), though no fault has ordered that"))
        })?;
        Ok(Self { part, address, token })
    }

    /// Where the proxy gives its orders.
    pub(crate) fn orders_to(&self) -> OrdersTo {
        OrdersTo { address: self.part.addresses.into(), token: self.token.clone() }
    }

    /// Ends the service.
    ///
    /// # Errors
    /// It has ended before without an order.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.part.stop()
    }
}

impl Supervisor {
    /// Starts a service, and returns once it serves.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer in time; or nobody wants that any more, and it has ended again.
    pub(crate) async fn start(
        service: Service,
        listener: TcpListener,
        token: Token,
        unwanted: &CancellationToken,
    ) -> anyhow::Result<Self> {
        adopt_orphans();
        let running = Running::start(&service)?;
        let now = Arc::new(AtomicU32::new(running.leader));
        let mut supervisor = Self { service, running, now, listener, token };
        let serving = tokio::select! {
            serving = supervisor.await_serving() => Some(serving),
            () = unwanted.cancelled() => None,
        };
        match serving {
            Some(Ok(())) => Ok(supervisor),
            Some(Err(error)) => {
                supervisor.running.group.kill();
                Err(error)
            }
            None => {
                supervisor.running.stop().await?;
                Err(Interrupted.into())
            }
        }
    }

    /// Carries out orders until the service ends by itself, or until it has ended at the end of this process. Returns how it has ended.
    ///
    /// # Errors
    /// The service ends without an order.
    pub(crate) async fn serve(mut self, shutdown: CancellationToken) -> anyhow::Result<ExitStatus> {
        let (sender, mut orders) = mpsc::channel(ORDERS_MAX);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.running.stop().await,
                ended = &mut self.running.ended => return Ok(ended??),
                Some(order) = orders.recv() => self.obey(order, &shutdown).await?,
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        tokio::spawn(receive(stream, self.token.clone(), sender.clone()));
                    }
                }
            }
        }
    }

    /// Passes a signal on to the process that is the service's at that time.
    pub(crate) fn passing(&self) -> impl Fn(Signal) + use<> {
        let now = Arc::clone(&self.now);
        move |signal| {
            let leader = now.load(Ordering::Relaxed);
            if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
                // A group that has ended needs no signal.
                let _ = kill_process_group(group, signal);
            }
        }
    }

    /// Kills the process, and starts it again at once. If whoever has ordered it is gone, that changes nothing. Whether it serves again is not
    /// waited for at the end of this process.
    async fn obey(&mut self, mut order: Order, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.running.group.kill();
        (&mut self.running.ended).await??;
        let dead = begun.elapsed();
        let _ = order.tell_dead().await;
        self.running = Running::start(&self.service)?;
        self.now.store(self.running.leader, Ordering::Relaxed);
        let serving = tokio::select! {
            serving = self.await_serving() => serving,
            () = shutdown.cancelled() => return Ok(()),
        };
        if let Err(error) = serving {
            self.running.group.kill();
            let _ = order.refuse(&format!("{error:#}")).await;
            return Err(error);
        }
        let _ = order.tell_serving().await;
        let serving = begun.elapsed();
        info!(dead_us = dead.as_micros(), serving_us = serving.as_micros(), "killed the service and started it again");
        Ok(())
    }

    async fn await_serving(&mut self) -> anyhow::Result<()> {
        let address = self.service.address;
        let serving = async {
            // Bounded by START_TIMEOUT.
            while TcpStream::connect(address).await.is_err() {
                sleep(START_PAUSE).await;
            }
        };
        tokio::select! {
            served = timeout(START_TIMEOUT, serving) => {
                let seconds = START_TIMEOUT.as_secs();
                served.map_err(|_| anyhow!("nothing answered at {address} within {seconds} s"))
            }
            ended = &mut self.running.ended => {
                Err(anyhow!("it ended before anything answered at {address} ({})", ended??))
            }
        }
    }
}

impl Running {
    fn start(service: &Service) -> anyhow::Result<Self> {
        let mut child = (service.spawn)().context("the service cannot be started")?;
        let leader = child.id();
        let group = ProcessGroup::of(leader);
        guard::release(&mut child).context("the service has ended before it began")?;
        let (sender, ended) = oneshot::channel();
        let reaped = service.reaped;
        let reaper = thread::Builder::new().name("reaper".to_owned()).spawn(move || {
            // Nobody waits for it after the end of the supervisor.
            let _ = sender.send(reaped.wait_for(child));
        });
        if let Err(error) = reaper {
            group.kill();
            return Err(anyhow!(error).context("nobody could wait for the end of the service"));
        }
        Ok(Self { leader, group, ended })
    }

    /// Asks the process to end, and ends it if it does not.
    async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.group.terminate();
        match timeout(STOP_TIMEOUT, &mut self.ended).await {
            Ok(ended) => {
                // What is left of the group, such as a child of a shell that did not listen.
                self.group.kill();
                Ok(ended??)
            }
            Err(_) => {
                self.group.kill();
                Ok(self.ended.await??)
            }
        }
    }
}

impl Reaped {
    /// Waits for the end of a process and of all others of its group, such as the child of a shell: a service that is not dead as a
    /// whole may still hold its port, and may still book.
    fn wait_for(self, mut child: Child) -> io::Result<ExitStatus> {
        let Some(leader) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return child.wait() };
        let status = match self {
            Self::Own => child.wait()?,
            // Ends with the process that it waits for.
            Self::All => loop {
                match wait(WaitOptions::empty())? {
                    Some((pid, status)) if pid == leader => break ExitStatus::from_raw(status.as_raw()),
                    Some(_) | None => {}
                }
            },
        };
        // Those that are left are children of this process now. Ends with the last of them.
        while let Ok(Some(_)) = waitpgid(leader, WaitOptions::empty()) {}
        Ok(status)
    }
}

/// Makes this process the parent of those that lose theirs, so that it can wait for the whole group of a service.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        warn!(%error, "cannot wait for the children of a service that have lost their parent");
    }
}

async fn receive(stream: TcpStream, token: Token, orders: mpsc::Sender<Order>) {
    match Order::receive(stream, token.expose()).await {
        Ok(order) => {
            // The receiver is gone when the supervisor has ended.
            let _ = orders.send(order).await;
        }
        Err(error) => warn!(%error, "refused an order"),
    }
}
