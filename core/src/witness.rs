//! The three witnesses of a run: the client's history, the proxy's record and the service's ledger.
//!
//! Record and ledger are streams of lines with a footer that seals them ([`seal`]); all three are added up by payment.

pub mod answers;
pub mod attempt;
pub mod history;
pub mod ledger;
pub mod record;
pub mod seal;
