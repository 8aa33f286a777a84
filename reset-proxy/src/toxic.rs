//! The toxic plane: named proxies and the toxics on their connections, with Toxiproxy's API.

pub(crate) mod acceptor;
pub(crate) mod api;
pub(crate) mod chain;
pub(crate) mod collection;
pub(crate) mod definition;
pub(crate) mod direction;
pub(crate) mod fields;
pub(crate) mod kind;
pub(crate) mod kinds;
pub(crate) mod named_proxy;
pub(crate) mod queue;
pub(crate) mod sampler;
pub(crate) mod session;
pub(crate) mod step;
pub(crate) mod traffic;
