//! The fault plane: the requests of an experiment's clients, the faults that its rules order for them, and the record of
//! both. `relay` serves a connection, `reset`, `hold` and `kill` carry out the effects of faults.

pub(crate) mod conclusion;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod counters;
pub(crate) mod exchange;
pub(crate) mod fate;
pub(crate) mod hold;
pub(crate) mod identity;
pub(crate) mod kill;
pub(crate) mod listener;
pub(crate) mod message_copy;
pub(crate) mod peek;
pub(crate) mod plane;
pub(crate) mod query;
pub(crate) mod record;
pub(crate) mod relay;
pub(crate) mod reset;
pub(crate) mod response_copy;
pub(crate) mod rules;
pub(crate) mod service_life;
