pub(crate) mod pods;

mod cluster;

pub(crate) use self::cluster::{Observed, Ownership, observe};
