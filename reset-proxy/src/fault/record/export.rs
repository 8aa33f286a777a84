//! The record as NDJSON: the completed requests, the requests in flight, and the footer that seals them. It is read in
//! pieces and on a blocking thread, so that a record of any size neither fills the memory nor delays the relays.

use std::{collections::VecDeque, io, os::unix::fs::FileExt, sync::Arc};

use futures::{Stream, stream};
use paylab_core::witness::{
    record::{RecordFooter, RecordItem},
    seal::Sealer,
};
use paylab_part::contract::PaymentWindow;
use tokio::task::spawn_blocking;

use crate::fault::record::{Record, row::Row, rows::RowsNow};

/// The number of rows that are read and written out at once: about 100 KB of text.
const ROWS_AT_ONCE: u64 = 256;

/// One export of a record as it was when the export began.
#[derive(Debug)]
struct Export {
    record: Arc<Record>,
    window: PaymentWindow,
    sealer: Sealer,
    next_row: u64,
    rows_on_disk: u64,
    /// The completed rows that were not on disk.
    completed: VecDeque<Arc<Vec<u8>>>,
    /// The requests in flight and the footer. `None` once they are written.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    in_flight: Vec<Row>,
    footer: RecordFooter,
}

/// Exports the payments of the window. Without rules there is no record, and the footer stands alone.
pub(crate) fn export(
    record: Option<Arc<Record>>,
    window: PaymentWindow,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    let export = record.map(|record| Export::new(record, window));
    stream::try_unfold((export, ExportState::Open), |(export, state)| async move {
        match (export, state) {
            (_, ExportState::Closed) => Ok(None),
            (None, ExportState::Open) => Ok(Some((without_rules()?, (None, ExportState::Closed)))),
            (Some(export), ExportState::Open) => {
                let (text, export, state) =
                    spawn_blocking(move || export.next_piece()).await.map_err(io::Error::other)??;
                Ok(Some((text, (Some(export), state))))
            }
        }
    })
}

#[derive(Debug, Clone, Copy)]
enum ExportState {
    Open,
    /// The footer was written.
    Closed,
}

impl Export {
    fn new(record: Arc<Record>, window: PaymentWindow) -> Self {
        let locked = record.rows.lock();
        let RowsNow { on_disk: rows_on_disk, in_memory: completed, lost } = locked.now();
        let in_flight = locked.with.in_flight.values().cloned().collect();
        let footer = record.footer(&locked.with, lost, Sealer::default().seal());
        drop(locked);
        let (sealer, next_row, rest) = (Sealer::default(), 0, Some(Rest { in_flight, footer }));
        Self { record, window, sealer, next_row, rows_on_disk, completed: completed.into(), rest }
    }

    fn next_piece(mut self) -> io::Result<(Vec<u8>, Self, ExportState)> {
        let mut text = Vec::new();
        let state = if self.next_row < self.rows_on_disk {
            self.write_from_disk(&mut text)?;
            ExportState::Open
        } else if let Some(rows) = self.completed.pop_front() {
            self.write_rows(&rows, &mut text)?;
            self.sealer.add(&text);
            ExportState::Open
        } else {
            self.write_rest(&mut text)?;
            ExportState::Closed
        };
        Ok((text, self, state))
    }

    fn write_from_disk(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let row_len = Row::len(self.faults());
        let rows = ROWS_AT_ONCE.min(self.rows_on_disk - self.next_row);
        let mut bytes = vec![0; usize::try_from(rows).map_err(io::Error::other)? * row_len];
        self.record.rows.file().read_exact_at(&mut bytes, self.next_row * row_len as u64)?;
        self.next_row += rows;
        self.write_rows(&bytes, text)?;
        self.sealer.add(text);
        Ok(())
    }

    fn write_rest(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let Some(Rest { in_flight, mut footer }) = self.rest.take() else { return Ok(()) };
        for row in &in_flight {
            self.write_row(row, text)?;
        }
        self.sealer.add(text);
        footer.seal = self.sealer.seal();
        write_item(&RecordItem::Footer(footer), text)
    }

    fn write_rows(&self, bytes: &[u8], text: &mut Vec<u8>) -> io::Result<()> {
        for bytes in bytes.chunks(Row::len(self.faults())) {
            let row = Row::read(self.faults(), bytes).ok_or(io::ErrorKind::InvalidData)?;
            self.write_row(&row, text)?;
        }
        Ok(())
    }

    fn write_row(&self, row: &Row, text: &mut Vec<u8>) -> io::Result<()> {
        let PaymentWindow { from, to } = self.window;
        let payment = row.id.payment.0;
        if from.is_some_and(|from| payment < from) || to.is_some_and(|to| payment >= to) {
            return Ok(());
        }
        write_item(&RecordItem::Request(row.line(&self.record.sampler)), text)
    }

    fn faults(&self) -> usize {
        self.record.sampler.faults().len()
    }
}

fn without_rules() -> io::Result<Vec<u8>> {
    let footer = RecordFooter {
        seal: Sealer::default().seal(),
        run_id: None,
        requests: 0,
        connections: 0,
        unattributed: 0,
        unintended_resets: 0,
        unrecorded: 0,
        lapsed: 0,
    };
    let mut text = Vec::new();
    write_item(&RecordItem::Footer(footer), &mut text)?;
    Ok(text)
}

fn write_item(item: &RecordItem, text: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *text, item)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use paylab_core::{
        fault::sampler::FaultSampler,
        payment::{AttemptId, PaymentId},
        witness::record::{End, Protocol},
    };

    use super::*;
    use crate::fault::{
        fate::Fate,
        record::{Attribution, IdentifiedRequest, OpenEntry, Ordinal, Transfer},
    };

    /// Enough rows for several pieces on disk and a tail in memory.
    const ROWS: u64 = 3000;
    /// How often the record is read until the writer has had its turn: some seconds.
    const READS_MAX: usize = 500;

    fn begin(record: &Arc<Record>, payment: u64) -> OpenEntry {
        let id = AttemptId { payment: PaymentId(payment), attempt: 1 };
        let ordinal = Ordinal { conn: record.number_connection(), nth: 1 };
        let draw = record.sampler().draw(id);
        let (attribution, protocol, fault) = (Attribution::ByHeader, Protocol::Http1, None);
        record.begin(&IdentifiedRequest { ordinal, id, attribution, protocol, draw, fault, fate: Fate::Pass })
    }

    async fn read(record: &Arc<Record>, window: PaymentWindow) -> (Vec<u64>, Vec<End>, RecordFooter) {
        let pieces: Vec<Vec<u8>> = export(Some(Arc::clone(record)), window).try_collect().await.unwrap();
        let text = String::from_utf8(pieces.concat()).unwrap();
        let (lines, footer) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
        let mut sealer = Sealer::default();
        let (mut payments, mut ends) = (Vec::new(), Vec::new());
        for line in lines.lines() {
            sealer.add(format!("{line}\n").as_bytes());
            let RecordItem::Request(line) = serde_json::from_str(line).unwrap() else {
                panic!("a footer before the end")
            };
            payments.push(line.payment);
            ends.push(line.end);
        }
        let RecordItem::Footer(footer) = serde_json::from_str(footer).unwrap() else { panic!("no footer") };
        assert_eq!(footer.seal, sealer.seal());
        (payments, ends, footer)
    }

    #[tokio::test]
    async fn a_record_larger_than_its_memory_is_exported_whole_and_by_window() {
        let record = Arc::new(Record::new("run-1".into(), FaultSampler::new(1, &[])).unwrap());
        for payment in 0..ROWS {
            begin(&record, payment).complete(Transfer::default(), End::Relayed);
        }
        let open = begin(&record, ROWS);
        let (payments, ends, footer) = read(&record, PaymentWindow::default()).await;
        assert_eq!(payments, (0..=ROWS).collect::<Vec<_>>());
        assert_eq!((ends[0], ends.last()), (End::Relayed, Some(&End::Intended)));
        assert_eq!(
            (footer.requests, footer.connections, footer.run_id.as_deref()),
            (ROWS + 1, ROWS + 1, Some("run-1"))
        );

        let (payments, _, footer) = read(&record, PaymentWindow { from: Some(10), to: Some(13) }).await;
        assert_eq!((payments, footer.requests, footer.seal.lines), (vec![10, 11, 12], ROWS + 1, 3));

        drop(open);
        let (payments, ends, _) = read(&record, PaymentWindow { from: Some(ROWS), to: None }).await;
        assert_eq!((payments, ends), (vec![ROWS], vec![End::Intended]));
    }

    #[tokio::test]
    async fn rows_that_cannot_be_written_are_counted_in_the_footer() {
        let file = std::fs::File::open("/dev/null").unwrap(); // Opened for reading only.
        let record = Arc::new(Record::in_file(file, "run-1".into(), FaultSampler::new(1, &[])).unwrap());
        for payment in 0..ROWS {
            begin(&record, payment).complete(Transfer::default(), End::Relayed);
        }
        // A thread of its own tries to write them.
        for _ in 0..READS_MAX {
            let (payments, _, footer) = read(&record, PaymentWindow::default()).await;
            assert_eq!(payments.len() as u64 + footer.unrecorded, ROWS);
            if footer.unrecorded > 0 {
                return;
            }
        }
        panic!("the footer counts no row that could not be written");
    }
}
