//! The ledger as a stream for the judge: one snapshot, read page by page, and a footer that proves that the stream is whole. When the
//! database fails midway, the stream breaks off without a footer.

use std::{collections::VecDeque, io, sync::Arc};

use axum::body::Bytes;
use futures::{Stream, stream};
use paylab_core::witness::{
    ledger::{Elsewhere, LedgerFooter, LedgerItem},
    seal::Sealer,
};
use tracing::error;

use crate::{
    booking::Bookings,
    ledger::{LedgerError, Tx},
};

/// How many entries are read at once.
const PAGE_LEN: i64 = 1000;

enum ExportState {
    Start,
    /// Entries after this number are still to come.
    Pages {
        tx: Tx,
        sealer: Sealer,
        after: i64,
    },
    End,
}

/// The lines of the ledger.
pub(crate) fn stream(bookings: Arc<Bookings>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(ExportState::Start, move |state| {
        let bookings = Arc::clone(&bookings);
        async move {
            match next(&bookings, state).await {
                Ok(next) => next.map(|(lines, state)| (Ok(lines), state)),
                Err(error) => {
                    error!(error = bookings.ledger.explain(&error), "the ledger cannot be read to its end");
                    Some((Err(io::Error::other("the ledger cannot be read to its end")), ExportState::End))
                }
            }
        }
    })
}

async fn next(bookings: &Bookings, state: ExportState) -> Result<Option<(Bytes, ExportState)>, LedgerError> {
    let (mut tx, mut sealer, after) = match state {
        ExportState::Start => (bookings.ledger.snapshot().await?, Sealer::default(), i64::MIN),
        ExportState::Pages { tx, sealer, after } => (tx, sealer, after),
        ExportState::End => return Ok(None),
    };
    let mut entries: VecDeque<_> = tx.entries_after(after, PAGE_LEN).await?.into();
    let Some(last) = entries.back().map(|entry| entry.id) else {
        let total_minor = tx.total_minor().await?;
        let footer = LedgerFooter {
            seal: sealer.seal(),
            total_minor,
            counters: bookings.counters(),
            elsewhere: Elsewhere::default(),
        };
        return Ok(Some((lines([LedgerItem::Footer(footer)]), ExportState::End)));
    };
    let page = lines(entries.drain(..).map(LedgerItem::Entry));
    sealer.add(&page);
    Ok(Some((page, ExportState::Pages { tx, sealer, after: last })))
}

fn lines(items: impl IntoIterator<Item = LedgerItem>) -> Bytes {
    let mut text = Vec::new();
    for item in items {
        // Writing plain fields to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut text, &item);
        text.push(b'\n');
    }
    text.into()
}
