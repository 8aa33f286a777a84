//! The keys of `Replay` whose first request is in flight.

use std::sync::Arc;

use crate::dedup::Keys;

/// The first request with a key. The key is in flight until this is dropped, after the commit.
#[derive(Debug)]
pub(crate) struct InFlight {
    keys: Arc<Keys>,
    key: String,
}

impl InFlight {
    /// `None` when another request with this key is in flight.
    pub(super) fn begin(keys: &Arc<Keys>, key: &str) -> Option<Self> {
        keys.insert(key).then(|| Self { keys: Arc::clone(keys), key: key.to_owned() })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.keys.remove(&self.key);
    }
}
