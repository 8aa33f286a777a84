//! Moving bytes between sockets, and accepting, opening and ending connections. Nothing here may know what the bytes mean.

pub(crate) mod accept;
pub(crate) mod buffer;
pub(crate) mod endings;
pub(crate) mod listen_address;
pub(crate) mod service_stream;
pub(crate) mod splice;
pub(crate) mod tunnel;
pub(crate) mod upstream;
