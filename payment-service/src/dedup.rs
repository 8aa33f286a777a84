//! The eight ways to treat a repeat, side by side.
//!
//! Three hold, or break only by what they promise: they book whole batches, one transaction each, and answer after the commit.
//! Five are broken on purpose: each lacks one thing that holds the key and the booking together. `gap` is where another request, a
//! crash or a cancel gets in between; there the service's `processingTime` passes.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use crate::{
    ledger::{Ledger, LedgerError, Tx},
    request::Payment,
};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200: booked by this request.
    Booked,
    /// 202: will be booked.
    Accepted,
    /// 208: booked before.
    Repeat,
    /// The stored answer of the first request.
    Replayed(u16),
    /// 422: the key belongs to another payment.
    KeyReused,
    /// 409: the first request with this key has not ended.
    InFlight,
}

/// Keys in the memory of this process.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashSet<String>>);

type Booked = Result<Answer, LedgerError>;
type BatchBooked = Result<Vec<Answer>, LedgerError>;

/// Books everything.
pub(crate) async fn none(ledger: &Ledger, batch: &[&Payment], gap: Duration) -> BatchBooked {
    let mut tx = ledger.begin().await?;
    tx.book(batch).await?;
    sleep_for(gap).await;
    tx.commit().await?;
    Ok(vec![Answer::Booked; batch.len()])
}

/// A unique column in the transaction that books: the database itself tells a repeat.
pub(crate) async fn unique_key(ledger: &Ledger, batch: &[&Payment], gap: Duration) -> BatchBooked {
    let mut tx = ledger.begin().await?;
    let mut new = tx.book_new(batch).await?;
    let answers: Vec<_> = batch
        .iter()
        .map(|payment| match &payment.key {
            // Of two copies in one batch the first is booked and the second is the repeat.
            Some(key) if !new.remove(key) => Answer::Repeat,
            Some(_) | None => Answer::Booked,
        })
        .collect();
    if answers.contains(&Answer::Booked) {
        sleep_for(gap).await;
    }
    tx.commit().await?;
    Ok(answers)
}

/// Key, fingerprint and answer in the transaction that books: a repeat gets the answer of the first.
pub(crate) async fn replay(ledger: &Ledger, batch: &[&Payment], gap: Duration, ttl: Option<Duration>) -> BatchBooked {
    const STATUS: u16 = 200;
    let now_ms = now_ms();
    let expires_at_ms = ttl.map(|ttl| now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)));
    let mut tx = ledger.begin().await?;
    let new = tx.store_answers(batch, STATUS, now_ms, expires_at_ms).await?;
    let is_new = |payment: &&&Payment| payment.key.as_ref().is_none_or(|key| new.contains(key));
    let fresh: Vec<_> = batch.iter().filter(is_new).copied().collect();
    if !fresh.is_empty() {
        tx.book(&fresh).await?;
        sleep_for(gap).await;
    }
    let answers = replayed(&mut tx, batch, &new).await?;
    tx.commit().await?;
    Ok(answers)
}

/// Looks, then books. Two requests at once both look before either has booked.
pub(crate) async fn check_then_insert(ledger: &Ledger, payment: &Payment, key: &str, gap: Duration) -> Booked {
    let mut look = ledger.begin().await?;
    let seen = look.has_seen(key).await?;
    look.commit().await?;
    if seen {
        return Ok(Answer::Repeat);
    }
    sleep_for(gap).await;
    let mut tx = ledger.begin().await?;
    tx.note_seen(key).await?;
    tx.book(&[payment]).await?;
    tx.commit().await?;
    Ok(Answer::Booked)
}

/// Remembers keys in this process. A restart forgets them, another replica never knew them.
pub(crate) async fn memory(ledger: &Ledger, payment: &Payment, key: &str, gap: Duration, keys: &Keys) -> Booked {
    if !keys.insert(key) {
        return Ok(Answer::Repeat);
    }
    sleep_for(gap).await;
    book_now(ledger, payment).await
}

/// The key first, the booking in the next transaction. What ends in between is acknowledged for ever and never booked.
pub(crate) async fn key_then_apply(ledger: &Ledger, payment: &Payment, key: &str, gap: Duration) -> Booked {
    let mut claim = ledger.begin().await?;
    let is_ours = claim.claim(key).await?;
    claim.commit().await?;
    if !is_ours {
        return Ok(Answer::Repeat);
    }
    sleep_for(gap).await;
    book_now(ledger, payment).await
}

/// The booking first, the key in the next transaction. What ends in between, or runs at once, is booked again.
pub(crate) async fn apply_then_key(ledger: &Ledger, payment: &Payment, key: &str, gap: Duration) -> Booked {
    let mut tx = ledger.begin().await?;
    if tx.has_seen(key).await? {
        tx.commit().await?;
        return Ok(Answer::Repeat);
    }
    tx.book(&[payment]).await?;
    tx.commit().await?;
    sleep_for(gap).await;
    let mut note = ledger.begin().await?;
    note.note_seen(key).await?;
    note.commit().await?;
    Ok(Answer::Booked)
}

/// What `AckThenApply` does after it has answered 202: what a crash loses was acknowledged.
pub(crate) async fn apply_later(ledger: &Ledger, payment: &Payment, gap: Duration) -> Booked {
    sleep_for(gap).await;
    let mut tx = ledger.begin().await?;
    tx.book_new(&[payment]).await?;
    tx.commit().await?;
    Ok(Answer::Accepted)
}

/// The booking alone, in a transaction of its own.
async fn book_now(ledger: &Ledger, payment: &Payment) -> Booked {
    let mut tx = ledger.begin().await?;
    tx.book(&[payment]).await?;
    tx.commit().await?;
    Ok(Answer::Booked)
}

/// The answers of a batch whose new keys are booked.
async fn replayed(tx: &mut Tx, batch: &[&Payment], new: &HashSet<String>) -> BatchBooked {
    let known: Vec<_> =
        batch.iter().filter_map(|payment| payment.key.as_deref()).filter(|key| !new.contains(*key)).collect();
    let stored = if known.is_empty() { Default::default() } else { tx.stored_answers(&known).await? };
    let answer = |payment: &&Payment| match payment.key.as_ref().and_then(|key| stored.get(key)) {
        None => Answer::Booked,
        Some(stored) if stored.fingerprint != payment.fingerprint() => Answer::KeyReused,
        Some(stored) => Answer::Replayed(u16::try_from(stored.status).unwrap_or(200)),
    };
    Ok(batch.iter().map(answer).collect())
}

impl Keys {
    /// Whether the key was new.
    pub(crate) fn insert(&self, key: &str) -> bool {
        self.lock().insert(key.to_owned())
    }

    pub(crate) fn remove(&self, key: &str) {
        self.lock().remove(key);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        // A set is whole after every single change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep_for(gap: Duration) {
    if !gap.is_zero() {
        sleep(gap).await;
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
