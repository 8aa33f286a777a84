//! Reads what the parts have counted, and only while somebody looks. That is how traffic from outside is seen: nobody has to report it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{
    parts::PartError,
    state::{Baseline, LedgerTotals, Shared},
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(400);
/// After a look comes a pause of at least so many times its length, so that looking takes at most 2.5 % of the time of the parts, whatever
/// the ledger has grown to.
const PAUSE_PER_LOOK: u32 = 40;

/// Watches until it is dropped.
pub(super) async fn watch(shared: &Arc<Shared>) {
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
        if shared.followers() == 0 {
            continue;
        }
        let begun = Instant::now();
        if let Err(error) = observe(shared).await {
            // While the service starts in another mode, or somebody removes the proxy.
            debug!(%error, "the page cannot read the parts");
        }
        pause = PAUSE.max(begun.elapsed() * PAUSE_PER_LOOK);
    }
}

/// Reads the parts once.
pub(super) async fn observe(shared: &Shared) -> Result<(), PartError> {
    let _looking = shared.looking.lock().await;
    let parts = &shared.parts;
    let (proxy, toxics) = (parts.proxy_counts().await?, parts.toxics().await);
    let service = parts.service_counters().await?;
    let booked_minor = parts.total_minor().await?;
    let (before, baseline) = (shared.now(), shared.baseline());
    // Somebody else has emptied the ledger.
    if booked_minor == 0 && before.ledger.booked_minor > 0 && before.doing.is_none() {
        shared.begin_round(Baseline { proxy, service });
        return Ok(());
    }
    shared.show(|state| {
        state.passed = proxy.page.since(baseline.proxy.page);
        state.outside = proxy.outside.since(baseline.proxy.outside);
        state.ledger = LedgerTotals {
            booked_minor,
            entries: service.booked.saturating_sub(baseline.service.booked),
            repeats: service.repeats.saturating_sub(baseline.service.repeats),
        };
        if let Ok(toxics) = toxics {
            state.toxics = toxics;
        }
    });
    Ok(())
}
