//! The points in the course of a request at which a fault can take effect.

use serde::{Deserialize, Serialize};

/// A point in the course of a request, in the order of time. Of several faults, the one with the earliest point takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Point {
    /// The client has connected; nothing was read from it, and the service was not dialled.
    Connect,
    /// The head of the request was read; nothing was forwarded.
    BeforeRequest,
    /// Part of the request was forwarded.
    MidRequest,
    /// The whole request was forwarded; the service is working on it.
    AfterRequest,
    /// The whole response has come from the service; nothing of it was forwarded.
    BeforeResponse,
    /// Part of the response was forwarded.
    MidResponse,
    /// The whole response was forwarded; the connection was not closed yet.
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
