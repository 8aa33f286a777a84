//! The lives of the service behind the proxy: it is killed at the order of a fault and started again by its supervisor. Requests that
//! come meanwhile wait, so that a kill strikes only what was in flight.

use paylab_part::supervision::{Killed, OrderError, START_TIMEOUT, Token, order_kill};
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::timeout,
};
use tracing::warn;

use crate::options::Options;

/// Who has the process of the service.
#[derive(Debug)]
struct Supervisor {
    /// `HOST:PORT`.
    address: String,
    token: Token,
}

/// The lives of the service.
#[derive(Debug)]
pub(crate) struct ServiceLife {
    supervisor: Option<Supervisor>,
    now: watch::Sender<Now>,
    /// One kill after the other: the next one waits until the service serves again.
    one_kill: Mutex<()>,
}

/// The state of the service, as far as this proxy has changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Now {
    life: Life,
    /// A kill is about to be ordered, or the service does not serve again yet.
    is_awaited: bool,
}

/// The number of a life of the service: how many kills were ordered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Life(u64);

/// The turn of one kill: no other is ordered meanwhile, and no request is begun.
#[derive(Debug)]
pub(crate) struct KillTurn<'a> {
    lives: &'a ServiceLife,
    _one_kill: MutexGuard<'a, ()>,
}

impl ServiceLife {
    pub(crate) fn new(options: &Options) -> Self {
        let supervisor = options.supervisor.as_ref().map(|address| Supervisor {
            address: address.to_string(),
            token: options.supervisor_token.clone().unwrap_or_default(),
        });
        Self { supervisor, now: watch::Sender::default(), one_kill: Mutex::default() }
    }

    /// Whether the service can be killed at all.
    pub(crate) const fn is_supervised(&self) -> bool {
        self.supervisor.is_some()
    }

    /// The present life.
    pub(crate) fn number(&self) -> Life {
        self.now.borrow().life
    }

    /// Returns the present life once the service serves, or has had enough time for it.
    pub(crate) async fn serving(&self) -> Life {
        if self.now.borrow().is_awaited {
            let mut now = self.now.subscribe();
            let serving = async {
                // The sender lives as long as this.
                let _ = now.wait_for(|now| !now.is_awaited).await;
            };
            if timeout(START_TIMEOUT, serving).await.is_err() {
                warn!("the service does not serve again; going on without it");
            }
        }
        self.number()
    }

    /// Waits for the turn of a kill. From then on no request is begun until the turn is over.
    pub(crate) async fn turn(&self) -> KillTurn<'_> {
        let one_kill = self.one_kill.lock().await;
        self.now.send_modify(|now| now.is_awaited = true);
        KillTurn { lives: self, _one_kill: one_kill }
    }
}

impl KillTurn<'_> {
    /// Kills the service. The process is dead for certain when this is `Ok`.
    pub(crate) async fn kill(&self) -> Result<Killed, OrderError> {
        self.lives.now.send_modify(|now| now.life.0 += 1);
        match &self.lives.supervisor {
            Some(Supervisor { address, token }) => order_kill(address, token.expose()).await,
            None => Err(OrderError::Refused("the proxy has no supervisor".to_owned())),
        }
    }
}

impl Drop for KillTurn<'_> {
    fn drop(&mut self) {
        self.lives.now.send_modify(|now| now.is_awaited = false);
    }
}
