//! The effect `delay`: the request or the response is held at a point for some time, and then passed on.
//!
//! Nothing is lost by a delay: a request that was held reaches the service even if its client has given up meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    duration_text::DurationText,
    fault::{point::Point, traces::Traces},
    witness::attempt::Uncertainty,
};

/// The longest delay: proxy and load wait for delayed requests when they drain.
pub const DELAY_MAX: Duration = Duration::from_secs(30);

/// A delay of the request or the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delay {
    /// The point of the request at which the request or the response is held.
    pub at: Point,
    /// The time for which it is held, from 1ms to 30s. If it is longer than what is left of `client.retry.attemptTimeout`, the client
    /// hangs up meanwhile; what was held is passed on all the same.
    #[serde(rename = "for")]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-validations" = [
            {"rule": "duration(self) > duration('0s')", "message": "0s delays nothing; use at least 1ms"},
            {"rule": "duration(self) <= duration('30s')", "message": "is too long; at most 30s is allowed"},
        ]))
    )]
    pub lasts: DurationText,
}

impl Delay {
    /// The client gives up if the delay outlasts its attempt's timeout, unless it has the whole response by then.
    pub(super) fn hides_response(self, attempt_timeout: Duration) -> Option<Uncertainty> {
        let outlasts = self.lasts.duration() >= attempt_timeout;
        (outlasts && !self.at.is_after_response()).then_some(Uncertainty::Timeout)
    }

    /// A request that is held before its arrival while the client gives up arrives beside the next attempt.
    pub(super) fn overlaps_retry(self, attempt_timeout: Duration) -> bool {
        !self.at.is_after_arrival() && self.hides_response(attempt_timeout).is_some()
    }

    /// If delay and processing together take about as long as the attempt's timeout, the client may or may not give up.
    pub(super) fn depends_on_timing(
        self,
        attempt_timeout: Duration,
        processing_time: Duration,
    ) -> Option<&'static str> {
        let lasts = self.lasts.duration();
        let may_be_late = lasts.saturating_add(processing_time).saturating_mul(2) > attempt_timeout;
        let may_be_in_time = lasts < attempt_timeout.saturating_mul(2);
        (may_be_late && may_be_in_time && !self.at.is_after_response()).then_some(
            "which attempts time out (the delay of a fault, with the processing time, is near client.retry.attemptTimeout)",
        )
    }

    /// The request was held for the whole time, or the client had left before its point was reached.
    pub(super) fn is_proven_by(self, traces: Traces) -> bool {
        traces.held.map_or(traces.client_left, |held| held >= self.lasts.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    const fn delay(at: Point, ms: u64) -> Delay {
        Delay { at, lasts: DurationText::from_ms(ms) }
    }

    #[test]
    fn a_delay_hides_the_response_only_if_it_outlasts_the_timeout() {
        for (delay, hidden, overlaps) in [
            (delay(Point::BeforeRequest, 4_000), None, false),
            (delay(Point::BeforeRequest, 5_000), Some(Uncertainty::Timeout), true),
            (delay(Point::BeforeResponse, 10_000), Some(Uncertainty::Timeout), false),
            (delay(Point::AfterResponse, 10_000), None, false),
        ] {
            assert_eq!((delay.hides_response(TIMEOUT), delay.overlaps_retry(TIMEOUT)), (hidden, overlaps), "{delay:?}");
        }
    }

    #[test]
    fn a_delay_near_the_timeout_cannot_be_predicted() {
        let near: Vec<_> = [2_500, 2_501, 9_999, 10_000]
            .map(|ms| delay(Point::BeforeRequest, ms).depends_on_timing(TIMEOUT, Duration::ZERO).is_some())
            .into();
        assert_eq!(near, [false, true, true, false]);
        assert_eq!(delay(Point::AfterResponse, 5_000).depends_on_timing(TIMEOUT, Duration::ZERO), None);
    }

    #[test]
    fn delay_and_processing_time_together_may_reach_the_timeout() {
        let near = |delay_ms, processing_ms| {
            let processing_time = Duration::from_millis(processing_ms);
            delay(Point::BeforeRequest, delay_ms).depends_on_timing(TIMEOUT, processing_time).is_some()
        };
        assert_eq!([near(400, 2_000), near(600, 2_000)], [false, true]);
    }

    #[test]
    fn a_delay_is_proven_by_its_whole_length() {
        let held = |ms| Traces {
            client_reset: None,
            client_left: true,
            held: Some(Duration::from_millis(ms)),
            kill_ordered: false,
            served_again: false,
        };
        let delay = delay(Point::Connect, 200);
        assert!(delay.is_proven_by(held(200)) && !delay.is_proven_by(held(199)));
        // A client that leaves before the point of the delay is reached leaves nothing to be held.
        assert!(delay.is_proven_by(Traces { held: None, ..held(0) }));
        assert!(!delay.is_proven_by(Traces { held: None, client_left: false, ..held(0) }));
    }
}
