//! The ledger as a stream for the judge: one snapshot, read page by page, and a footer that proves that the stream is whole. When the
//! database fails midway, the stream breaks off without a footer.

use std::{io, ops::Range, sync::Arc};

use axum::body::Bytes;
use futures::{Stream, stream};
use paylab_core::{
    run_id::RunId,
    witness::{
        ledger::{Elsewhere, Entry, LedgerFooter, LedgerItem},
        seal::Sealer,
    },
};
use paylab_part::{contract::LedgerQuery, refusal::Refusal};

use crate::{
    booking::Bookings,
    ledger::{LedgerError, Tx},
};

/// How many entries are read at once.
const PAGE_LEN: i64 = 1000;

/// Which entries are sent. Those of the run's payments outside the range are only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Window {
    /// Every entry is sent.
    Everything,
    /// Those of other runs are sent as well, and those without a reference: somebody must look at them.
    PaymentsOf {
        /// The run.
        run: RunId,
        /// Its payments whose entries are sent.
        payments: Range<u64>,
    },
}

/// A ledger that is being sent.
struct Export {
    window: Window,
    tx: Tx,
    sealer: Sealer,
    /// Entries after this number are still to come.
    after: i64,
    elsewhere: Elsewhere,
}

enum ExportState {
    Start(Window),
    Pages(Box<Export>),
    End,
}

impl Window {
    /// Reads a query.
    pub(crate) fn of(query: LedgerQuery) -> Result<Self, Refusal> {
        let LedgerQuery { run, from, to } = query;
        let Some(run) = run else {
            let lonely = from.map(|_| "from").or(to.map(|_| "to"));
            return lonely.map_or(Ok(Self::Everything), |field| {
                Err(Refusal::of_field(
                    field,
                    format!("{field} has a meaning with run only; add run=RUN_ID or remove {field}"),
                ))
            });
        };
        let run = run.parse().map_err(|error| Refusal::of_field("run", format!("run {error}")))?;
        let payments = from.unwrap_or(0)..to.unwrap_or(u64::MAX);
        if payments.start > payments.end {
            let detail = format!("to must be at least from, which is {}", payments.start);
            return Err(Refusal::of_field("to", detail));
        }
        Ok(Self::PaymentsOf { run, payments })
    }

    fn shows(&self, entry: &Entry) -> bool {
        match self {
            Self::Everything => true,
            Self::PaymentsOf { run, payments } => {
                let payment = entry.reference.as_deref().and_then(|reference| run.payment_of(reference));
                payment.is_none_or(|payment| payments.contains(&payment.0))
            }
        }
    }
}

/// The lines of the ledger.
pub(crate) fn stream(bookings: Arc<Bookings>, window: Window) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(ExportState::Start(window), move |state| {
        let bookings = Arc::clone(&bookings);
        async move {
            match next(&bookings, state).await {
                Ok(next) => next.map(|(lines, state)| (Ok(lines), state)),
                Err(error) => {
                    bookings.log.export_failed.write(bookings.ledger.explain(&error));
                    Some((Err(io::Error::other("the ledger cannot be read to its end")), ExportState::End))
                }
            }
        }
    })
}

async fn next(bookings: &Bookings, state: ExportState) -> Result<Option<(Bytes, ExportState)>, LedgerError> {
    let mut export = match state {
        ExportState::Start(window) => Box::new(Export {
            window,
            tx: bookings.ledger.snapshot().await?,
            sealer: Sealer::default(),
            after: i64::MIN,
            elsewhere: Elsewhere::default(),
        }),
        ExportState::Pages(export) => export,
        ExportState::End => return Ok(None),
    };
    // A page without anything to send is not worth a piece of the body.
    while let Some(page) = export.next_page().await? {
        if !page.is_empty() {
            return Ok(Some((page, ExportState::Pages(export))));
        }
    }
    let footer = export.footer(bookings).await?;
    Ok(Some((lines([LedgerItem::Footer(footer)]), ExportState::End)))
}

impl Export {
    /// The lines of the next page; `None` after the last one.
    async fn next_page(&mut self) -> Result<Option<Bytes>, LedgerError> {
        let entries = self.tx.entries_after(self.after, PAGE_LEN).await?;
        let Some(last) = entries.last().map(|entry| entry.id) else { return Ok(None) };
        self.after = last;
        let (sent, elsewhere): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| self.window.shows(entry));
        for entry in elsewhere {
            self.elsewhere.entries += 1;
            self.elsewhere.amount_minor = self.elsewhere.amount_minor.saturating_add(entry.amount_minor);
        }
        let page = lines(sent.into_iter().map(LedgerItem::Entry));
        self.sealer.add(&page);
        Ok(Some(page))
    }

    async fn footer(self, bookings: &Bookings) -> Result<LedgerFooter, LedgerError> {
        let Self { window: _, mut tx, sealer, after: _, elsewhere } = self;
        let total_minor = tx.total_minor().await?;
        tx.end().await;
        Ok(LedgerFooter { seal: sealer.seal(), total_minor, counters: bookings.counters(), elsewhere })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn window(run: Option<&str>, from: Option<u64>, to: Option<u64>) -> Result<Window, Option<String>> {
        Window::of(LedgerQuery { run: run.map(str::to_owned), from, to }).map_err(|refusal| refusal.field)
    }

    #[test]
    fn a_window_without_a_run_or_with_a_bad_one_is_refused_with_its_field() {
        assert_eq!(window(None, None, None), Ok(Window::Everything));
        for (run, from, to, field) in [
            (None, Some(0), None, "from"),
            (None, None, Some(1), "to"),
            (None, Some(0), Some(1), "from"),
            (Some(""), None, None, "run"),
            (Some("a.b"), Some(0), Some(1), "run"),
            (Some("a"), Some(2), Some(1), "to"),
        ] {
            assert_eq!(window(run, from, to), Err(Some(field.to_owned())), "{run:?} {from:?} {to:?}");
        }
    }

    #[test]
    fn a_window_hides_only_the_runs_own_payments_outside_of_it() {
        let entry = |reference: Option<&str>| Entry {
            id: 1,
            reference: reference.map(str::to_owned),
            src: "a".to_owned(),
            dest: "b".to_owned(),
            amount_minor: 1,
        };
        let shows = |window: &Window, reference| window.shows(&entry(reference));
        let window = |from, to| window(Some("run-1"), from, to).unwrap();
        for reference in ["run-1.10", "run-1.19", "run-1.10.2", "run-2.0", "run-1", "run-1.x", "run-11.0", "nothing"] {
            assert!(shows(&window(Some(10), Some(20)), Some(reference)), "{reference}");
        }
        for reference in ["run-1.9", "run-1.20", "run-1.0.1"] {
            assert!(!shows(&window(Some(10), Some(20)), Some(reference)), "{reference}");
        }
        assert!(shows(&window(Some(10), Some(20)), None));
        assert!(shows(&window(Some(10), None), Some("run-1.99")) && !shows(&window(Some(10), None), Some("run-1.9")));
        assert!(shows(&window(None, Some(10)), Some("run-1.0")) && !shows(&window(None, Some(10)), Some("run-1.10")));
    }
}
