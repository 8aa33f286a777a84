//! The threads that relay connections. Each has a runtime of its own, and a connection stays on its thread to the end. One loop accepts
//! all connections of a listener, so that their numbers are in the order of accepting; it gives each to the thread with the fewest.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
};
use tokio_util::sync::CancellationToken;

/// The threads, the first of which is the one that accepts.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Box<[Arc<Worker>]>,
    /// From where the next search for the thread with the fewest connections begins.
    next: AtomicUsize,
    stop: CancellationToken,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

/// One thread.
#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: AtomicUsize,
}

/// The place of one connection on a thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Worker>);

impl Workers {
    /// So many threads, of which the calling one, with its runtime, is the first.
    ///
    /// # Errors
    /// The system does not let this process have another thread or runtime.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (mut workers, mut threads) = (vec![Worker::on(Handle::current())], Vec::new());
        for number in 1..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(Worker::on(runtime.handle().clone()));
            let stop = stop.clone();
            let serve = move || {
                runtime.block_on(stop.cancelled_owned());
                // A name that is still looked up must not delay the end.
                runtime.shutdown_background();
            };
            threads.push(thread::Builder::new().name(format!("relay-{number}")).spawn(serve)?);
        }
        Ok(Self { workers: workers.into(), next: AtomicUsize::new(0), stop, threads: Mutex::new(threads) })
    }

    /// A place on the thread that has the fewest connections.
    pub(crate) fn place(&self) -> Place {
        let begin = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let (before, behind) = self.workers.split_at(begin);
        let fewest = behind.iter().chain(before).min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = Arc::clone(fewest.unwrap_or(&self.workers[0]));
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Place(worker)
    }

    /// Ends the threads, apart from the calling one, and whatever still runs on them.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that has panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn on(runtime: Handle) -> Arc<Self> {
        Arc::new(Self { runtime, connections: AtomicUsize::new(0) })
    }
}

impl Place {
    /// The runtime of the thread.
    pub(crate) fn runtime(&self) -> Handle {
        self.0.runtime.clone()
    }

    /// Lets this thread watch a connection that the calling one has accepted.
    ///
    /// # Errors
    /// The system cannot watch another socket.
    pub(crate) fn take(&self, accepted: TcpStream) -> io::Result<TcpStream> {
        if Handle::current().id() == self.0.runtime.id() {
            return Ok(accepted);
        }
        let socket = accepted.into_std()?;
        let _entered = self.0.runtime.enter();
        TcpStream::from_std(socket)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many connections each thread has.
    fn connections(workers: &Workers) -> Vec<usize> {
        workers.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).collect()
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_thread_with_the_fewest() {
        let workers = Workers::start(4).unwrap();
        let mut places: Vec<_> = (0..10).map(|_| workers.place()).collect();
        let mut seen = connections(&workers);
        seen.sort_unstable();
        assert_eq!(seen, [2, 2, 3, 3]);
        let ended = Arc::clone(&workers.workers[3]);
        places.retain(|place| !Arc::ptr_eq(&place.0, &ended));
        assert_eq!(connections(&workers)[3], 0);
        places.push(workers.place());
        places.push(workers.place());
        assert_eq!(connections(&workers)[3], 2);
        drop(places);
        assert_eq!(connections(&workers), [0; 4]);
    }

    #[tokio::test]
    async fn what_runs_on_a_thread_ends_with_it() {
        let workers = Workers::start(2).unwrap();
        let (dropped, ended) = tokio::sync::oneshot::channel::<()>();
        let other = Arc::clone(&workers.workers[1]);
        other.runtime.spawn(async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        });
        workers.stop();
        assert!(ended.await.is_err(), "the task was dropped");
    }
}
