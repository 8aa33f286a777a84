//! The fault plane: requests of an experiment's clients, the faults that its rules order for them, and the record of both.

pub(crate) mod conclusion;
pub(crate) mod control;
pub(crate) mod counters;
pub(crate) mod exchange;
pub(crate) mod identity;
pub(crate) mod listener;
pub(crate) mod message_copy;
pub(crate) mod peek;
pub(crate) mod plane;
pub(crate) mod query;
pub(crate) mod record;
pub(crate) mod relay;
pub(crate) mod response_copy;
pub(crate) mod rules;
