//! Carries out a kill: the request goes as far as for a reset at the same point, the process of the service dies, and only then the client
//! learns of it. The entry of the request is complete when the service serves again.

use std::{sync::Arc, time::Duration};

use paylab_core::{
    fault::point::Point,
    witness::record::{End, KillTimes},
};
use paylab_part::supervision::Killed;
use tokio::time::sleep;
use tracing::warn;

use crate::{
    fault::{
        connection::ClientConnection,
        exchange::ExchangeEnd,
        record::{OpenEntry, Transfer},
        response_copy::ResponseCopy,
        service_life::KillTurn,
    },
    transport::{
        endings::{await_sent, close, reset},
        service_stream::ServiceStream,
    },
};

impl ClientConnection {
    /// Kills the service before anything of this request is forwarded.
    pub(super) async fn kill_unforwarded(self, after: Duration, mut entry: OpenEntry) {
        self.count_reset(Some(&entry));
        let plane = Arc::clone(&self.plane);
        let turn = plane.service_life.turn().await;
        pause(after).await;
        let killed = kill(&turn, &mut entry).await;
        let transfer = Transfer { rst_client_ok: Some(reset(self.client)), ..Transfer::default() };
        await_new_life(killed, &mut entry).await;
        entry.complete(transfer, End::Faulted);
    }

    /// Kills the service at this point of its exchange. `turn` is given at `AfterResponse`: there it was taken before the exchange.
    pub(super) async fn kill_at(
        mut self,
        point: Point,
        after: Duration,
        mut service: ServiceStream,
        end: &ExchangeEnd,
        (mut entry, turn): (OpenEntry, Option<KillTurn<'_>>),
    ) {
        self.count_reset(Some(&entry));
        let plane = Arc::clone(&self.plane);
        let mut transfer = end.transfer();
        if let Some(turn) = turn {
            // A client that has not received the whole response is told so by the end of its connection.
            let sent = await_sent(self.client, transfer.bytes_down).await;
            pause(after).await;
            let killed = kill(&turn, &mut entry).await;
            if let Ok(client) = sent {
                close(client).await;
            }
            await_new_life(killed, &mut entry).await;
            return entry.complete(transfer, End::Faulted);
        }
        pause(after).await;
        let turn = plane.service_life.turn().await;
        if self.is_killed() {
            return self.reset_unanswered(end, Some(entry));
        }
        let killed = kill(&turn, &mut entry).await;
        transfer.rst_client_ok = Some(reset(self.client));
        if point == Point::AfterRequest {
            // What the service has answered before it died.
            let (down, counters) = (&mut self.down, &plane.counters);
            let (_, response) = ResponseCopy::finish_late(down, end.response, &mut service, None, counters).await;
            transfer.status = response.progress.head.map(|head| head.status);
        }
        drop(service);
        await_new_life(killed, &mut entry).await;
        entry.complete(transfer, End::Faulted);
    }
}

async fn kill(turn: &KillTurn<'_>, entry: &mut OpenEntry) -> Option<Killed> {
    let ordered_us = entry.now_us();
    entry.kill = Some(KillTimes { ordered_us, dead_us: None, serving_us: None });
    match turn.kill().await {
        Ok(killed) => {
            entry.kill = Some(KillTimes { ordered_us, dead_us: Some(entry.now_us()), serving_us: None });
            Some(killed)
        }
        Err(error) => {
            warn!(%error, "a fault could not kill the service");
            None
        }
    }
}

/// Waits until the service serves again.
async fn await_new_life(killed: Option<Killed>, entry: &mut OpenEntry) {
    let Some(killed) = killed else { return };
    match killed.served_again().await {
        Ok(()) => {
            let serving_us = Some(entry.now_us());
            entry.kill = entry.kill.map(|times| KillTimes { serving_us, ..times });
        }
        Err(error) => warn!(%error, "the service does not serve again"),
    }
}

async fn pause(length: Duration) {
    if !length.is_zero() {
        sleep(length).await;
    }
}
