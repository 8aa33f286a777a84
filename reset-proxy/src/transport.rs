//! Moving bytes between sockets, opening connections and ending them. Nothing here knows what the bytes mean.

pub(crate) mod buffer;
pub(crate) mod endings;
pub(crate) mod splice;
pub(crate) mod tunnel;
pub(crate) mod upstream;
