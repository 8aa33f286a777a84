//! What the parts share: the contract between them, a listener, refusals that look alike, a drain, the end of a chunked
//! body, evidence as lines of a log, the order to kill a service, what a database's driver must not log, and TLS to a service that is
//! not Paylab's own.
//!
//! It must not know what a part serves.

pub mod chunked;
pub mod contract;
pub mod drain;
pub mod evidence_log;
pub mod listen;
pub mod postgres_url;
pub mod refusal;
pub mod supervision;
pub mod tls;
