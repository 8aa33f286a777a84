//! The books of one service: its entries, its keys, and what becomes of a request under a key. The shapes decide how that is said.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::sleep;

/// How long the service works on a payment before it books it.
const WORK: Duration = Duration::from_millis(5);
/// The pause between two looks at a request in flight, and the largest number of looks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const LOOKS_MAX: u32 = 5000;

/// What a request asks to be booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) reference: String,
    pub(crate) amount_minor: u64,
    pub(crate) currency: String,
}

/// A payment that was accepted. Its number is unique in the service and begins at 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) key: String,
    pub(crate) payment: Payment,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was accepted now.
    Accepted(Entry),
    /// It repeats one that was accepted before.
    Repeat(Entry),
    /// Another request with its key is in flight.
    InFlight,
    /// Its key belongs to one that asked for something else.
    OtherBody(Entry),
}

/// What a request has to do while another one with its key is in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Overlap {
    Refused,
    Waits,
}

/// Which of the accepted payments are written into the books.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Posting {
    Each,
    /// A bug: each tenth payment is accepted and not written.
    AllButEachTenth,
}

/// The newest entries before a given one, newest first, and the number of the last of them if there are older ones.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) older_than: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Books {
    overlap: Overlap,
    posting: Posting,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    entries: Vec<Entry>,
    keys: HashMap<String, Key>,
}

/// What is known of a key: the body that came with it first, and the entry when there is one.
#[derive(Debug)]
struct Key {
    body: String,
    entry: Option<Entry>,
}

impl Books {
    pub(crate) fn new(overlap: Overlap, posting: Posting) -> Arc<Self> {
        Arc::new(Self { overlap, posting, state: Mutex::default() })
    }

    /// Accepts a payment unless its key is known. What has begun is finished even if the caller hangs up.
    pub(crate) async fn pay(self: Arc<Self>, key: String, body: String, payment: Payment) -> Fate {
        let task = tokio::spawn(async move { self.decide(key, body, payment).await });
        task.await.expect("the task neither panics nor is cancelled")
    }

    async fn decide(&self, key: String, body: String, payment: Payment) -> Fate {
        for _ in 0..LOOKS_MAX {
            match (self.claim(&key, &body), self.overlap) {
                (None, _) => {
                    sleep(WORK).await;
                    return Fate::Accepted(self.accept(key, payment));
                }
                (Some(Fate::InFlight), Overlap::Waits) => sleep(LOOK_AGAIN).await,
                (Some(fate), _) => return fate,
            }
        }
        Fate::InFlight
    }

    /// Takes the key for this request, or says what is known of it.
    fn claim(&self, key: &str, body: &str) -> Option<Fate> {
        let mut state = self.state();
        match state.keys.get(key) {
            None => {
                state.keys.insert(key.to_owned(), Key { body: body.to_owned(), entry: None });
                None
            }
            Some(Key { entry: None, .. }) => Some(Fate::InFlight),
            Some(Key { entry: Some(entry), body: first }) if first == body => Some(Fate::Repeat(entry.clone())),
            Some(Key { entry: Some(entry), .. }) => Some(Fate::OtherBody(entry.clone())),
        }
    }

    fn accept(&self, key: String, payment: Payment) -> Entry {
        let mut state = self.state();
        state.accepted += 1;
        let entry = Entry { number: state.accepted, key, payment };
        if let Some(known) = state.keys.get_mut(&entry.key) {
            known.entry = Some(entry.clone());
        }
        match self.posting {
            Posting::AllButEachTenth if entry.number.is_multiple_of(10) => {}
            Posting::Each | Posting::AllButEachTenth => state.entries.push(entry.clone()),
        }
        entry
    }

    /// Writes an accepted payment into the books once more.
    pub(crate) fn post_again(&self, entry: Entry) {
        self.state().entries.push(entry);
    }

    /// A number that no entry has and that no later one gets.
    pub(crate) fn skip_number(&self) -> u64 {
        let mut state = self.state();
        state.accepted += 1;
        state.accepted
    }

    pub(crate) fn page(&self, before: Option<u64>, limit: usize) -> Page {
        let state = self.state();
        let mut older = state.entries.iter().rev().filter(|entry| before.is_none_or(|number| entry.number < number));
        let entries: Vec<_> = older.by_ref().take(limit).cloned().collect();
        let older_than = older.next().and(entries.last()).map(|entry| entry.number);
        Page { entries, older_than }
    }

    pub(crate) fn with_key(&self, key: &str) -> Vec<Entry> {
        self.state().entries.iter().filter(|entry| entry.key == key).cloned().collect()
    }

    pub(crate) fn total_minor(&self) -> u64 {
        self.state().entries.iter().map(|entry| entry.payment.amount_minor).sum()
    }

    pub(crate) fn clear(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the books")
    }
}
