//! The boundaries of HTTP/1 messages. Nothing is rebuilt, and nothing here knows of sockets, faults or toxics.

pub(crate) mod chunked;
pub(crate) mod head;
