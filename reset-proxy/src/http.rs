//! The boundaries of HTTP/1 messages: where a head ends, how its body ends, which attempt a request names. Messages are
//! never rebuilt. Nothing here may know of sockets, faults or toxics.

pub(crate) mod body;
#[cfg(test)]
mod corpus;
pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod response;
