//! The effect `reset`: the connection is reset at a point of the request.

use serde::{Deserialize, Serialize};

use crate::{
    fault::{point::Point, traces::Traces},
    witness::attempt::Uncertainty,
};

/// A reset of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reset {
    /// The point of the request at which the connection is reset (TCP RST). Before the service has received the whole request, it must
    /// not book it; after that it has booked or will book it, and only the client does not know.
    pub at: Point,
}

impl Reset {
    /// What the client cannot know, because the reset comes before it has the whole response.
    pub(super) const fn hides_response(self) -> Option<Uncertainty> {
        if self.at.is_after_response() { None } else { Some(Uncertainty::Reset) }
    }

    /// Only after `AfterRequest` the client knows of the end of its attempt before the service has answered.
    pub(super) const fn overlaps_retry(self) -> bool {
        matches!(self.at, Point::AfterRequest)
    }

    /// The client's socket was reset, or the client had left before.
    pub(super) const fn is_proven_by(traces: Traces) -> bool {
        traces.client_left || matches!(traces.client_reset, Some(true))
    }
}
