//! The completed rows of a record: the latest in memory, all others in a temporary file without a name. A thread of its own writes the
//! file, so that no relay waits for a disk. It must not know what a row holds.

use std::{
    collections::VecDeque,
    fs::File,
    io, mem,
    os::unix::fs::FileExt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::Notify;
use tracing::warn;

/// Completed rows are gathered up to this many bytes before they are given to the writer.
const BLOCK_LEN: usize = 64 * 1024;
/// How many blocks may wait for the writer: 4 MiB. While as many wait, a request that begins waits too.
const BLOCKS_MAX: usize = 64;

/// The rows and their file. `S` is what changes together with the rows.
#[derive(Debug)]
pub(crate) struct RowFile<S> {
    file: File,
    row_len: usize,
    state: Mutex<Rows<S>>,
    /// Told when the writer has something to do.
    work: Condvar,
    /// Told when there is room for further blocks.
    room: Notify,
}

/// The rows that are not in the file, and how many are.
#[derive(Debug, Default)]
pub(crate) struct Rows<S> {
    /// What changes together with the rows.
    pub(crate) with: S,
    /// Rows that are too few for a block.
    tail: Vec<u8>,
    /// The blocks that wait for the writer. The first one stays here until it is written.
    blocks: VecDeque<Arc<Vec<u8>>>,
    /// How many rows are in the file.
    on_disk: u64,
    /// How many rows could not be written.
    lost: u64,
    is_closed: bool,
}

/// All rows at one moment.
#[derive(Debug)]
pub(crate) struct RowsNow {
    /// How many are in the file.
    pub(crate) on_disk: u64,
    /// Those that are not, in their order.
    pub(crate) in_memory: Vec<Arc<Vec<u8>>>,
    /// How many could not be written.
    pub(crate) lost: u64,
}

impl<S: Default + Send + 'static> RowFile<S> {
    /// An empty file for rows of this length, and the thread that writes it until the file is closed.
    pub(crate) fn with_writer(file: File, row_len: usize) -> io::Result<Arc<Self>> {
        let rows = Arc::new(Self::new(file, row_len));
        let written = Arc::clone(&rows);
        thread::Builder::new().name("record".to_owned()).spawn(move || while written.write_next() {})?;
        Ok(rows)
    }

    fn new(file: File, row_len: usize) -> Self {
        let (state, work, room) = (Mutex::default(), Condvar::new(), Notify::new());
        Self { file, row_len, state, work, room }
    }

    /// The file, of which as many rows may be read as are on disk.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Rows<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `write` append one row.
    pub(crate) fn append(&self, rows: &mut Rows<S>, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut rows.tail);
        if rows.tail.len() >= BLOCK_LEN {
            let block = mem::replace(&mut rows.tail, Vec::with_capacity(BLOCK_LEN + self.row_len));
            rows.blocks.push_back(Arc::new(block));
            self.work.notify_one();
        }
    }

    /// Waits while too many blocks wait for the writer. Returns at once in most cases.
    pub(crate) async fn await_room(&self) {
        loop {
            let freed = self.room.notified();
            if !self.lock().is_full() {
                return;
            }
            freed.await;
        }
    }

    /// Ends the writer. What it has not written is dropped.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
    }

    /// Waits for a block and writes it. If that fails, for example on a full disk, its rows are lost and counted; requests are relayed
    /// all the same. False once the file is closed.
    fn write_next(&self) -> bool {
        let waiting = |rows: &mut Rows<S>| rows.blocks.is_empty() && !rows.is_closed;
        let rows = self.work.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        let (Some(block), on_disk, false) = (rows.blocks.front().cloned(), rows.on_disk, rows.is_closed) else {
            return false;
        };
        drop(rows);
        let written = self.file.write_all_at(&block, on_disk * self.row_len as u64);
        let count = (block.len() / self.row_len) as u64;
        let mut rows = self.lock();
        rows.blocks.pop_front();
        match written {
            Ok(()) => rows.on_disk += count,
            Err(error) => {
                if rows.lost == 0 {
                    warn!(rows = count, %error, "lost rows of the record; it counts those that follow");
                }
                rows.lost += count;
            }
        }
        drop(rows);
        self.room.notify_waiters();
        true
    }
}

impl<S> Rows<S> {
    /// Whether so many blocks wait for the writer that a request that begins should wait too.
    pub(crate) fn is_full(&self) -> bool {
        self.blocks.len() >= BLOCKS_MAX
    }

    /// All rows as they are now.
    pub(crate) fn now(&self) -> RowsNow {
        let tail = Arc::new(self.tail.clone());
        let in_memory = self.blocks.iter().cloned().chain([tail]).collect();
        RowsNow { on_disk: self.on_disk, in_memory, lost: self.lost }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, task::Waker};

    use super::*;

    const ROW: [u8; 128] = [7; 128];

    fn append(rows: &RowFile<()>, count: usize) {
        for _ in 0..count {
            rows.append(&mut rows.lock(), |out| out.extend_from_slice(&ROW));
        }
    }

    #[test]
    fn requests_wait_while_the_writer_is_behind_and_no_row_is_lost() {
        const ROWS_OF_BLOCK: usize = BLOCK_LEN / ROW.len();
        let rows = RowFile::new(tempfile::tempfile().unwrap(), ROW.len());
        append(&rows, ROWS_OF_BLOCK * BLOCKS_MAX - 1);
        assert!(!rows.lock().is_full());
        append(&rows, 1);
        assert!(rows.lock().is_full());
        let mut room = pin!(rows.await_room());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(room.as_mut().poll(&mut cx).is_pending());
        // A request that is in flight is recorded all the same.
        append(&rows, 2);
        assert!(rows.write_next());
        assert!(room.as_mut().poll(&mut cx).is_ready());
        let RowsNow { on_disk, in_memory, lost } = rows.lock().now();
        let kept: usize = in_memory.iter().map(|block| block.len() / ROW.len()).sum();
        assert_eq!((on_disk, kept, lost), (ROWS_OF_BLOCK as u64, ROWS_OF_BLOCK * (BLOCKS_MAX - 1) + 2, 0));
        rows.close();
        assert!(!rows.write_next());
    }
}
