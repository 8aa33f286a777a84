//! What the page shows, as one value that is sent whole whenever it has changed, and what is kept beside it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paylab_core::{claim::Verdict, targets::ours::Dedup, witness::ledger::ServiceCounters};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    experiment::{Key, Until},
    parts::{Parts, ProxyCounts},
};

/// Everything that the page shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// The seed that the page suggests.
    pub(super) seed: u64,
    /// The mode of the service.
    pub(super) dedup: Dedup,
    /// What is being done.
    pub(super) doing: Option<Doing>,
    pub(super) toxics: Toxics,
    /// The payments of the page since the ledger was emptied.
    pub(super) page: PagePayments,
    /// What has passed the proxy since then for the page, and for others.
    pub(super) passed: Passage,
    pub(super) outside: Passage,
    pub(super) ledger: LedgerTotals,
    /// What the last thousand have come to.
    pub(super) result: Option<RunResult>,
    pub(super) places: Places,
}

/// What the page is doing. It does one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Doing {
    PayingOne,
    PayingMany,
    ChangingMode,
    Clearing,
}

/// The toxics in force on the proxy, as shares of its connections.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Toxics {
    pub(super) request_lost: f64,
    pub(super) answer_lost: f64,
    /// Those that the page does not set.
    pub(super) others: Vec<String>,
}

/// Payments of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PagePayments {
    pub(super) intended_minor: i64,
    /// What the client believes to be paid.
    pub(super) believed_minor: i64,
}

/// Requests on their way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Passage {
    pub(super) sent: u64,
    pub(super) requests_lost: u64,
    pub(super) answers_lost: u64,
}

/// What the service has booked since the ledger was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LedgerTotals {
    pub(super) booked_minor: i64,
    pub(super) entries: u64,
    pub(super) repeats: u64,
}

/// The verdict on a thousand payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RunResult {
    pub(super) verdict: Verdict,
    pub(super) sentence: String,
    /// How they were paid.
    pub(super) until: Until,
    pub(super) key: Key,
    pub(super) dedup: Dedup,
}

/// Where others can pay and look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Places {
    service: String,
    proxy: String,
    api: String,
    name: String,
}

/// What the parts had counted when the ledger was emptied.
#[derive(Debug, Clone, Default)]
pub(super) struct Baseline {
    pub(super) proxy: ProxyCounts,
    pub(super) service: ServiceCounters,
}

/// What the routes, the worker and the watcher share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) shutdown: CancellationToken,
    /// Held while the parts are read, and while the ledger is emptied: what was read before is never shown after what was read later.
    pub(super) looking: tokio::sync::Mutex<()>,
    /// Held while toxics are set.
    pub(super) setting_toxics: tokio::sync::Mutex<()>,
    state: watch::Sender<State>,
    baseline: Mutex<Baseline>,
    /// The report of the last thousand payments.
    report: Mutex<Option<Arc<str>>>,
    /// Ends the load that is under way.
    stop: Mutex<CancellationToken>,
}

/// Something is being done, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Shared>);

impl Shared {
    pub(super) fn new(parts: Parts, seed: u64, dedup: Dedup, shutdown: CancellationToken) -> Arc<Self> {
        let places = Places {
            service: parts.service.to_string(),
            proxy: parts.proxy.clone(),
            api: parts.control.to_string(),
            name: parts.name.clone(),
        };
        let state = State {
            seed,
            dedup,
            doing: None,
            toxics: Toxics::default(),
            page: PagePayments::default(),
            passed: Passage::default(),
            outside: Passage::default(),
            ledger: LedgerTotals::default(),
            result: None,
            places,
        };
        Arc::new(Self {
            parts,
            looking: tokio::sync::Mutex::default(),
            setting_toxics: tokio::sync::Mutex::default(),
            state: watch::Sender::new(state),
            baseline: Mutex::default(),
            report: Mutex::default(),
            stop: Mutex::new(shutdown.child_token()),
            shutdown,
        })
    }

    /// Follows the state; the first value is the present one.
    pub(super) fn follow(&self) -> watch::Receiver<State> {
        let mut state = self.state.subscribe();
        state.mark_changed();
        state
    }

    /// How many look at the page.
    pub(super) fn followers(&self) -> usize {
        self.state.receiver_count()
    }

    pub(super) fn now(&self) -> State {
        self.state.borrow().clone()
    }

    /// Changes what is shown, and tells those who look if it differs.
    pub(super) fn show(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// Begins to do something. `None`: something else is being done.
    pub(super) fn begin(self: &Arc<Self>, doing: Doing) -> Option<Busy> {
        let is_free = self.state.send_if_modified(|state| {
            let is_free = state.doing.is_none();
            if is_free {
                state.doing = Some(doing);
            }
            is_free
        });
        is_free.then(|| {
            *locked(&self.stop) = self.shutdown.child_token();
            Busy(Arc::clone(self))
        })
    }

    /// What ends the load that is under way.
    pub(super) fn stop(&self) -> CancellationToken {
        locked(&self.stop).clone()
    }

    pub(super) fn baseline(&self) -> Baseline {
        locked(&self.baseline).clone()
    }

    /// Counts from here on.
    pub(super) fn begin_round(&self, baseline: Baseline) {
        *locked(&self.baseline) = baseline;
        self.show(|state| {
            state.page = PagePayments::default();
            state.passed = Passage::default();
            state.outside = Passage::default();
            state.ledger = LedgerTotals::default();
            state.result = None;
        });
    }

    pub(super) fn report(&self) -> Option<Arc<str>> {
        locked(&self.report).clone()
    }

    pub(super) fn keep_report(&self, html: String) {
        *locked(&self.report) = Some(html.into());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.show(|state| state.doing = None);
    }
}

impl Passage {
    /// What was counted since.
    pub(super) const fn since(self, baseline: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(baseline.sent),
            requests_lost: self.requests_lost.saturating_sub(baseline.requests_lost),
            answers_lost: self.answers_lost.saturating_sub(baseline.answers_lost),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and every value is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
