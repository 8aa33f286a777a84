//! What a lab has outside of this process while it runs. It is removed when the lab ends; a process that must end at once removes it here
//! as far as that is quickly done, and tells what it leaves behind.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::{guard, output::tell};

/// How long a process that must end at once may take to remove folders.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two tries to remove a folder in which the database still creates files.
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// What is there now. It is one value for the whole process, because a signal ends the whole process.
static LEFTOVERS: Mutex<Leftovers> =
    Mutex::new(Leftovers { folders: Vec::new(), schemas: Vec::new(), groups: Vec::new() });

#[derive(Debug)]
struct Leftovers {
    folders: Vec<PathBuf>,
    schemas: Vec<String>,
    groups: Vec<Pid>,
}

/// A temporary folder that is removed with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    folder: Option<TempDir>,
}

/// A schema of a PostgreSQL database that must be dropped before this is.
#[derive(Debug)]
pub(crate) struct TemporarySchema(String);

/// A process that this one has started, with all that it has started itself.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group that a process leads.
    pub(crate) fn of(leader: u32) -> Self {
        let group = i32::try_from(leader).ok().and_then(Pid::from_raw);
        leftovers().groups.extend(group);
        group.into_iter().for_each(guard::watch);
        Self(group)
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // A group that has ended needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.0.into_iter().for_each(guard::forget);
        leftovers().groups.retain(|group| Some(*group) != self.0);
    }
}

impl TemporaryFolder {
    pub(crate) fn new(folder: TempDir) -> Self {
        let path = folder.path().to_owned();
        leftovers().folders.push(path.clone());
        Self { path, folder: Some(folder) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // In this order, so that a process that must end at once in between leaves nothing.
        drop(self.folder.take());
        leftovers().folders.retain(|folder| *folder != self.path);
    }
}

impl TemporarySchema {
    pub(crate) fn new(name: String) -> Self {
        leftovers().schemas.push(name.clone());
        Self(name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for TemporarySchema {
    fn drop(&mut self) {
        leftovers().schemas.retain(|schema| *schema != self.0);
    }
}

/// Removes the folders, as far as that is done in time, and tells which schemas stay.
pub(crate) fn remove_promptly() {
    let (removed, waited) = mpsc::channel();
    let folders = leftovers().folders.clone();
    for group in &leftovers().groups {
        // A group that has ended needs no signal.
        let _ = kill_process_group(*group, Signal::KILL);
    }
    for schema in leftovers().schemas.iter() {
        tell(format_args!("the schema {schema} stays in the database; remove it with: drop schema {schema} cascade"));
    }
    let started = thread::Builder::new().spawn(move || {
        folders.iter().for_each(|folder| remove(folder));
        // Nobody waits any more after the timeout.
        let _ = removed.send(());
    });
    if started.is_ok() {
        let _ = waited.recv_timeout(REMOVAL_TIMEOUT);
    }
}

fn remove(folder: &Path) {
    let begun = Instant::now();
    while fs::remove_dir_all(folder).is_err() && folder.exists() && begun.elapsed() < REMOVAL_TIMEOUT {
        thread::sleep(REMOVAL_PAUSE);
    }
}

fn leftovers() -> MutexGuard<'static, Leftovers> {
    // A list is never half-changed, so a poisoned lock is still good.
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}
