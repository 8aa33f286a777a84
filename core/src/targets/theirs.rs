//! A service that is not Paylab's own: what prediction and judge know of it. How it is paid and read is in the crate `paylab-contract`.

use crate::{
    client::ClientPlan,
    probability::Probability,
    targets::{
        Overlap,
        handling::{OtherAmount, RepeatAnswer, Repeats, Treatment},
        ours::{Dedup, MissingKey, OnDisconnect, OurService},
    },
};

/// What is known of a service that is not Paylab's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TheirService {
    /// How it is believed to treat repeats; `None`: nobody has said.
    pub model: Option<Dedup>,
    /// Whether its acknowledgement of a repeat can be told from that of a new payment.
    pub repeats: RepeatAnswer,
    /// The rules for its answers, in words.
    pub answers: Vec<String>,
    /// What its ledger shows.
    pub ledger: LedgerDetail,
}

/// What a ledger shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerDetail {
    /// Every entry, with the reference of its payment.
    Entries,
    /// The total of all entries.
    Total,
}

impl TheirService {
    /// What it does with requests, if it works as its model says. Without a model, as a correct service does that is told its payments
    /// apart.
    #[must_use]
    pub const fn treatment(&self, client: &ClientPlan) -> Treatment {
        let treatment = match self.believed() {
            Some(service) => service.treatment(client.key),
            None => Treatment::TellsRepeats(Repeats { answer: self.repeats, other_amount: OtherAmount::Dropped }),
        };
        match treatment {
            Treatment::TellsRepeats(repeats) => Treatment::TellsRepeats(Repeats { answer: self.repeats, ..repeats }),
            Treatment::BooksEvery | Treatment::RefusesKeyless => treatment,
        }
    }

    /// Why the result cannot be predicted; `None`: it can.
    #[must_use]
    pub fn depends_on_timing(&self, client: &ClientPlan, overlap: Overlap) -> Option<&'static str> {
        match self.believed() {
            Some(service) => service.depends_on_timing(client, overlap),
            None => Some("how the service treats repeats, which spec.target.model does not say"),
        }
    }

    /// Paylab's own service in the mode that the model names.
    const fn believed(&self) -> Option<OurService> {
        match self.model {
            None => None,
            Some(dedup) => Some(OurService {
                dedup,
                replicas: 1,
                on_disconnect: OnDisconnect::Finish,
                processing_time: std::time::Duration::ZERO,
                key_ttl: None,
                missing_key: MissingKey::Book,
                fail_after: Probability::NEVER,
            }),
        }
    }
}
