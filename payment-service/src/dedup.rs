//! The eight ways to treat a repeat, side by side.
//!
//! `None`, `UniqueKey` and `Replay` are implemented correctly: they book whole batches, one transaction each, and answer after the
//! commit. The other five are broken on purpose: each lacks one thing that a correct mode needs. `processing_time` passes at the
//! point where another request, a crash or a cancellation can come in between.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use crate::{
    ledger::{Ledger, LedgerError, Tx},
    payment::Payment,
};

/// How a request was treated, and the response to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// 200: booked by this request.
    Booked,
    /// 202: will be booked.
    Accepted,
    /// 208: booked by an earlier request.
    Repeat,
    /// The stored status of the first request.
    Replayed(u16),
    /// 422: the key belongs to another payment.
    KeyReused,
    /// 409: the first request with this key is in flight.
    InFlight,
}

/// A set of keys in the memory of this process.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashSet<String>>);

type Result<T = Treatment> = std::result::Result<T, LedgerError>;

/// Books everything.
pub(crate) async fn none(ledger: &Ledger, batch: &[&Payment], processing_time: Duration) -> Result<Vec<Treatment>> {
    let mut tx = ledger.begin().await?;
    tx.book(batch).await?;
    process_for(processing_time).await;
    tx.commit().await?;
    Ok(vec![Treatment::Booked; batch.len()])
}

/// The key is a unique column of the entry: the database itself recognises a repeat.
pub(crate) async fn unique_key(
    ledger: &Ledger,
    batch: &[&Payment],
    processing_time: Duration,
) -> Result<Vec<Treatment>> {
    let mut tx = ledger.begin().await?;
    let mut new = tx.book_new(batch).await?;
    let treatments: Vec<_> = batch
        .iter()
        .map(|payment| match &payment.key {
            // Of two copies in one batch the first is booked and the second is the repeat.
            Some(key) if !new.remove(key) => Treatment::Repeat,
            Some(_) | None => Treatment::Booked,
        })
        .collect();
    if treatments.contains(&Treatment::Booked) {
        process_for(processing_time).await;
    }
    tx.commit().await?;
    Ok(treatments)
}

/// Key, fingerprint and response are stored in the transaction that books: a repeat gets the response of the first request.
pub(crate) async fn replay(
    ledger: &Ledger,
    batch: &[&Payment],
    processing_time: Duration,
    ttl: Option<Duration>,
) -> Result<Vec<Treatment>> {
    const STATUS: u16 = 200;
    let now_ms = now_ms();
    let expires_at_ms = ttl.map(|ttl| now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)));
    let mut tx = ledger.begin().await?;
    let new = tx.store_responses(batch, STATUS, now_ms, expires_at_ms).await?;
    let is_new = |payment: &&&Payment| payment.key.as_ref().is_none_or(|key| new.contains(key));
    let fresh: Vec<_> = batch.iter().filter(is_new).copied().collect();
    if !fresh.is_empty() {
        tx.book(&fresh).await?;
        process_for(processing_time).await;
    }
    let treatments = replayed(&mut tx, batch, &new).await?;
    tx.commit().await?;
    Ok(treatments)
}

/// Looks for the key, then books. Two requests at the same time both look before either has booked.
pub(crate) async fn check_then_insert(
    ledger: &Ledger,
    payment: &Payment,
    key: &str,
    processing_time: Duration,
) -> Result {
    let mut look = ledger.begin().await?;
    let seen = look.has_seen(key).await?;
    look.commit().await?;
    if seen {
        return Ok(Treatment::Repeat);
    }
    process_for(processing_time).await;
    let mut tx = ledger.begin().await?;
    tx.record_seen(key).await?;
    tx.book(&[payment]).await?;
    tx.commit().await?;
    Ok(Treatment::Booked)
}

/// Remembers keys in this process. A restart loses them, and other replicas do not have them.
pub(crate) async fn memory(
    ledger: &Ledger,
    payment: &Payment,
    key: &str,
    processing_time: Duration,
    keys: &Keys,
) -> Result {
    if !keys.insert(key) {
        return Ok(Treatment::Repeat);
    }
    process_for(processing_time).await;
    book_now(ledger, payment).await
}

/// The key first, the booking in the next transaction. A payment that is interrupted in between is never booked, and all its repeats are
/// acknowledged.
pub(crate) async fn key_then_apply(ledger: &Ledger, payment: &Payment, key: &str, processing_time: Duration) -> Result {
    let mut claim = ledger.begin().await?;
    let is_ours = claim.claim(key).await?;
    claim.commit().await?;
    if !is_ours {
        return Ok(Treatment::Repeat);
    }
    process_for(processing_time).await;
    book_now(ledger, payment).await
}

/// The booking first, the key in the next transaction. A payment that is interrupted in between is booked again, and so are two requests
/// at the same time.
pub(crate) async fn apply_then_key(ledger: &Ledger, payment: &Payment, key: &str, processing_time: Duration) -> Result {
    let mut tx = ledger.begin().await?;
    if tx.has_seen(key).await? {
        tx.commit().await?;
        return Ok(Treatment::Repeat);
    }
    tx.book(&[payment]).await?;
    tx.commit().await?;
    process_for(processing_time).await;
    let mut record = ledger.begin().await?;
    record.record_seen(key).await?;
    record.commit().await?;
    Ok(Treatment::Booked)
}

/// Books after `AckThenApply` has answered 202. A crash before the commit, or a failure of it, loses an acknowledged payment.
pub(crate) async fn apply_later(ledger: &Ledger, payment: &Payment, processing_time: Duration) -> Result {
    process_for(processing_time).await;
    let mut tx = ledger.begin().await?;
    let new = tx.book_new(&[payment]).await?;
    tx.commit().await?;
    Ok(match &payment.key {
        Some(key) if !new.contains(key) => Treatment::Repeat,
        Some(_) | None => Treatment::Booked,
    })
}

/// Books in a transaction of its own.
async fn book_now(ledger: &Ledger, payment: &Payment) -> Result {
    let mut tx = ledger.begin().await?;
    tx.book(&[payment]).await?;
    tx.commit().await?;
    Ok(Treatment::Booked)
}

/// The treatments of a batch whose new keys are booked.
async fn replayed(tx: &mut Tx, batch: &[&Payment], new: &HashSet<String>) -> Result<Vec<Treatment>> {
    let known: Vec<_> =
        batch.iter().filter_map(|payment| payment.key.as_deref()).filter(|key| !new.contains(*key)).collect();
    let stored = if known.is_empty() { Default::default() } else { tx.stored_responses(&known).await? };
    let treatment = |payment: &&Payment| match payment.key.as_ref().and_then(|key| stored.get(key)) {
        None => Treatment::Booked,
        Some(stored) if stored.fingerprint != payment.fingerprint() => Treatment::KeyReused,
        Some(stored) => Treatment::Replayed(u16::try_from(stored.status).unwrap_or(200)),
    };
    Ok(batch.iter().map(treatment).collect())
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
        // A panic while the lock is held cannot leave the set half-changed, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn process_for(processing_time: Duration) {
    if !processing_time.is_zero() {
        sleep(processing_time).await;
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
