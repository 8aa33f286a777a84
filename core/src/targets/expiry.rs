//! Keys that a service forgets after some time (`service.keyTtl`), and when that can be predicted.

use std::time::Duration;

use crate::{
    plan::Plan,
    targets::{Target, ours::OurService},
};

/// A key that lives at least this long is known to every repeat that is sent at once.
const SHORTEST: Duration = Duration::from_secs(1);
/// So many bookings in a row take less than the life of a key.
const BOOKINGS: u32 = 20;
const REASON: &str = "when keys expire (service.keyTtl)";

/// What a redelivery finds of the key of its payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAge {
    /// The key is known.
    Known,
    /// The key has expired.
    Expired,
}

/// What the redeliveries of a plan find, if they are as late as they should be.
#[must_use]
pub fn key_age(plan: &Plan) -> KeyAge {
    match (key_ttl(plan), plan.client.redeliver) {
        (Some(ttl), Some(redeliver)) if redeliver.after >= ttl => KeyAge::Expired,
        _ => KeyAge::Known,
    }
}

/// Why it depends on timing which repeats find their key expired; `None`: keys do not expire, or it is certain.
#[must_use]
pub fn keys_depend_on_timing(plan: &Plan) -> Option<&'static str> {
    let ttl = key_ttl(plan)?;
    let Some(redeliver) = plan.client.redeliver else { return Some(REASON) };
    let clearly_later = redeliver.after >= ttl.saturating_mul(2).saturating_add(SHORTEST);
    let clearly_earlier = redeliver.after.saturating_mul(2).saturating_add(SHORTEST) <= ttl;
    let retries_are_quick = ttl >= SHORTEST
        && plan.client.backoff_base.is_zero()
        && plan.client.recovery.is_none()
        && plan.longest_delay().is_zero()
        && plan.kills().next().is_none()
        && plan.target.processing_time().saturating_mul(BOOKINGS) <= ttl;
    let is_certain = (clearly_later || clearly_earlier) && retries_are_quick;
    (!is_certain).then_some(REASON)
}

fn key_ttl(plan: &Plan) -> Option<Duration> {
    match plan.target {
        Target::Ours(OurService { key_ttl, .. }) => key_ttl,
        Target::Theirs(_) => None,
    }
}
