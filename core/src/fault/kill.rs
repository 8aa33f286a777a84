//! The effect `kill`: the process of the service dies at a point of the request, and is started again at once.
//!
//! The client sees a reset, unless it had the whole response before. What the death leaves behind is a question of how the service books,
//! see [`crate::targets::durability`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    duration_text::DurationText,
    fault::{point::Point, traces::Traces},
    witness::attempt::Uncertainty,
};

/// The longest time that a service gets before it dies.
pub const KILL_AFTER_MAX: Duration = Duration::from_secs(30);
/// A service that is on time takes less than this to read a request and to commit its first transaction, and to start again.
const SHORT: Duration = Duration::from_millis(50);
/// A client that waits at least this long does not give up while the service is started again.
const RESTART: Duration = Duration::from_secs(1);

/// A kill of the service's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kill {
    /// The point of the request at which the service's process dies (SIGKILL). `BeforeRequest` is a restart between two requests. At
    /// `BeforeResponse` the service has answered and nothing of the response was forwarded; at `AfterResponse` the client has the whole
    /// response.
    pub at: Point,
    /// The time that the service still gets at the point before it dies, at most 30s. With `service.processingTime`, it hits the middle of
    /// a booking: `after` from 50ms, and a processing time of at least twice that and 50ms more, make that certain. By default the
    /// process is killed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-validations" = [
            {"rule": "duration(self) <= duration('30s')", "message": "is too long; at most 30s is allowed"},
        ]))
    )]
    pub after: Option<DurationText>,
}

/// When the process dies, seen from the request that met the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// The service does not get the whole request.
    BeforeArrival,
    /// It dies while it works on the request.
    InProcessing,
    /// It has answered the request.
    AfterAnswer,
}

impl Kill {
    /// The time that the service still gets.
    #[must_use]
    pub fn after(self) -> Duration {
        self.after.map_or(Duration::ZERO, DurationText::duration)
    }

    /// When the process dies. At `AfterRequest` the service is expected to be in its processing time, if it has one.
    #[must_use]
    pub const fn death(self) -> Death {
        match self.at {
            Point::Connect | Point::BeforeRequest | Point::MidRequest => Death::BeforeArrival,
            Point::AfterRequest => Death::InProcessing,
            Point::BeforeResponse | Point::MidResponse | Point::AfterResponse => Death::AfterAnswer,
        }
    }

    /// Whether the service, if it takes this long in the middle of a booking, dies before that time is over for certain.
    #[must_use]
    pub fn is_before_the_end_of(self, processing_time: Duration) -> bool {
        processing_time >= self.after().saturating_mul(2).saturating_add(SHORT)
    }

    /// Whether the service has begun to book for certain when it dies.
    #[must_use]
    pub fn is_after_the_beginning(self) -> bool {
        self.after() >= SHORT
    }

    /// What the client cannot know, because its connection is reset before it has the whole response.
    pub(super) const fn hides_response(self) -> Option<Uncertainty> {
        if self.at.is_after_response() { None } else { Some(Uncertainty::Reset) }
    }

    /// If the death and the start together take about as long as the attempt's timeout, the client may or may not give up.
    pub(super) fn depends_on_timing(self, attempt_timeout: Duration) -> Option<&'static str> {
        let may_give_up = self.after().saturating_add(RESTART).saturating_mul(2) > attempt_timeout;
        may_give_up.then_some(
            "which attempts time out while the service is started again (client.retry.attemptTimeout is below twice 1s and kill.after)",
        )
    }

    /// The process was dead and has served again, or the client had left before the point was reached.
    pub(super) fn is_proven_by(self, traces: Traces) -> bool {
        traces.served_again || (traces.client_left && !traces.kill_ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn kill(at: Point, after_ms: u64) -> Kill {
        Kill { at, after: Some(DurationText::from_ms(after_ms)) }
    }

    #[test]
    fn only_a_kill_well_within_the_processing_time_hits_it_for_certain() {
        let hits: Vec<_> = [0, 49, 149, 150]
            .map(|ms| kill(Point::AfterRequest, 50).is_before_the_end_of(Duration::from_millis(ms)))
            .into();
        assert_eq!(hits, [false, false, false, true]);
        assert!(!kill(Point::AfterRequest, 49).is_after_the_beginning());
        assert!(kill(Point::AfterRequest, 50).is_after_the_beginning());
    }

    #[test]
    fn a_client_that_waits_shortly_may_give_up_during_a_restart() {
        let depends: Vec<_> = [1_999, 2_000]
            .map(|ms| kill(Point::BeforeResponse, 0).depends_on_timing(Duration::from_millis(ms)).is_some())
            .into();
        assert_eq!(depends, [true, false]);
    }

    #[test]
    fn a_kill_is_proven_by_a_service_that_serves_again() {
        let traces = |kill_ordered, served_again, client_left| Traces {
            client_reset: Some(true),
            client_left,
            held: None,
            kill_ordered,
            served_again,
        };
        let kill = kill(Point::BeforeResponse, 0);
        assert!(kill.is_proven_by(traces(true, true, false)));
        assert!(!kill.is_proven_by(traces(true, false, false)), "a service that stays dead was not restarted");
        assert!(kill.is_proven_by(traces(false, false, true)), "a client that leaves before leaves nothing to do");
        assert!(!kill.is_proven_by(traces(true, false, true)));
    }
}
