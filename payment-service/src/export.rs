//! The ledger as a stream for the judge: one moment of it, a page at a time, and a footer that proves that it is whole. When the
//! database fails midway the stream breaks off without a footer.

use std::{collections::VecDeque, io, sync::Arc};

use axum::body::Bytes;
use futures::{Stream, stream};
use paylab_experiment::{
    evidence::Sealer,
    ledger::{LedgerFooter, LedgerItem},
};
use tracing::error;

use crate::{
    bookings::Bookings,
    ledger::{LedgerError, Tx},
};

/// Entries read at once.
const PAGE: i64 = 1000;

enum State {
    Start,
    /// Entries after this number are still to come.
    Pages {
        tx: Tx,
        sealer: Sealer,
        after: i64,
    },
    End,
}

/// The ledger's lines.
pub(crate) fn stream(bookings: Arc<Bookings>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(State::Start, move |state| {
        let bookings = Arc::clone(&bookings);
        async move {
            match next(&bookings, state).await {
                Ok(next) => next.map(|(lines, state)| (Ok(lines), state)),
                Err(error) => {
                    error!(error = bookings.ledger.explain(&error), "the ledger cannot be read to its end");
                    Some((Err(io::Error::other("the ledger cannot be read to its end")), State::End))
                }
            }
        }
    })
}

async fn next(bookings: &Bookings, state: State) -> Result<Option<(Bytes, State)>, LedgerError> {
    let (mut tx, mut sealer, after) = match state {
        State::Start => (bookings.ledger.snapshot().await?, Sealer::default(), i64::MIN),
        State::Pages { tx, sealer, after } => (tx, sealer, after),
        State::End => return Ok(None),
    };
    let mut entries: VecDeque<_> = tx.entries_after(after, PAGE).await?.into();
    let Some(last) = entries.back().map(|entry| entry.id) else {
        let total_minor = tx.total_minor().await?;
        let footer = LedgerFooter { seal: sealer.seal(), total_minor, counters: bookings.counters() };
        return Ok(Some((lines([LedgerItem::Footer(footer)]), State::End)));
    };
    let page = lines(entries.drain(..).map(LedgerItem::Entry));
    sealer.add(&page);
    Ok(Some((page, State::Pages { tx, sealer, after: last })))
}

fn lines(items: impl IntoIterator<Item = LedgerItem>) -> Bytes {
    let mut text = Vec::new();
    for item in items {
        // A line of plain fields can always be written into memory.
        let _ = serde_json::to_writer(&mut text, &item);
        text.push(b'\n');
    }
    text.into()
}
