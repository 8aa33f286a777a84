//! The points in the course of a request at which a fault can take effect.

use serde::{Deserialize, Serialize};

/// A point in the course of a request, in the order of time. Of several faults, the one with the earliest point takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Point {
    /// The client has connected. Nothing was read from the client, and no connection to the service was made.
    Connect,
    /// The proxy has read the head of the request and forwarded nothing to the service.
    BeforeRequest,
    /// The proxy has forwarded a part of the request to the service.
    MidRequest,
    /// The proxy has forwarded the whole request, and the service is working on it.
    AfterRequest,
    /// The proxy has the whole response of the service and has forwarded nothing of it to the client.
    BeforeResponse,
    /// The proxy has forwarded a part of the response to the client.
    MidResponse,
    /// The proxy has forwarded the whole response and has not yet closed the connection.
    AfterResponse,
}

impl Point {
    /// Every point, in the order of time.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::BeforeRequest,
        Self::MidRequest,
        Self::AfterRequest,
        Self::BeforeResponse,
        Self::MidResponse,
        Self::AfterResponse,
    ];

    /// Whether the service has received the whole request at this point.
    #[must_use]
    pub const fn is_after_arrival(self) -> bool {
        match self {
            Self::Connect | Self::BeforeRequest | Self::MidRequest => false,
            Self::AfterRequest | Self::BeforeResponse | Self::MidResponse | Self::AfterResponse => true,
        }
    }

    /// Whether the client has received the whole response at this point.
    #[must_use]
    pub const fn is_after_response(self) -> bool {
        match self {
            Self::Connect
            | Self::BeforeRequest
            | Self::MidRequest
            | Self::AfterRequest
            | Self::BeforeResponse
            | Self::MidResponse => false,
            Self::AfterResponse => true,
        }
    }
}
