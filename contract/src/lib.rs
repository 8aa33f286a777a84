//! The contract of a service that is not Paylab's own: how to pay, what its answers mean, and where the money can be read.
//!
//! | module | what is there |
//! |---|---|
//! | [`spec`] | what a user writes, with its schema |
//! | [`template`] | texts with placeholders, such as `{reference}` |
//! | [`request`] | the request of an attempt, made from the templates |
//! | [`secrets`] | the secrets, and what is shown of a text that may repeat them |
//! | [`answers`] | what an answer means |
//! | [`ledger`] | the ledger, page by page; `diagnosis` beside it says what stands there instead of a payment |
//!
//! Everything here is pure. It must not know sockets, clocks or how a run is judged; the load does the talking.

pub mod answers;
mod compile;
mod diagnosis;
pub mod ledger;
pub mod money;
mod path;
pub mod request;
pub mod secrets;
pub mod spec;
pub mod template;

use std::collections::BTreeSet;

use paylab_core::{
    client::KeyPolicy,
    field_error::FieldError,
    targets::theirs::{LedgerDetail, TheirService},
};

use crate::{
    answers::Answers,
    ledger::{Ledger, Sql},
    request::{Origin, Request},
    secrets::Secrets,
    spec::{ControlReference, SettleSpec, TargetSpec},
    template::{Piece, Placeholder, Template},
};

/// A contract that is ready to be used.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Where the service is.
    pub origin: Origin,
    /// How a payment is asked for.
    pub pay: Request,
    /// What answers mean.
    pub answers: Answers,
    /// Where the money is read.
    pub ledger: Ledger,
    /// When the ledger counts as settled.
    pub settle: SettleSpec,
    /// What the control pays with.
    pub control: ControlReference,
    reference: Template,
    secrets: Secrets,
}

impl Contract {
    /// Reads a contract for a client with this policy of keys. Secrets are not needed for it, see [`Contract::with_secrets`].
    ///
    /// # Errors
    /// Everything that is wrong with it, one error for each field. `field` is the path of the target.
    pub fn new(spec: &TargetSpec, key: KeyPolicy, field: &str) -> Result<Self, Vec<FieldError>> {
        compile::contract(spec, key, field)
    }

    /// What the core knows of the service.
    #[must_use]
    pub fn service(&self, spec: &TargetSpec) -> TheirService {
        TheirService {
            model: spec.model,
            repeats: self.answers.repeat_answer(),
            answers: self.answers.labels(),
            ledger: match &self.ledger {
                Ledger::List(_) | Ledger::Lookup(_) | Ledger::Sql(_) => LedgerDetail::Entries,
                Ledger::Total(_) => LedgerDetail::Total,
            },
        }
    }

    /// The names of the secrets that it mentions.
    #[must_use]
    pub fn secret_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.pay.templates().chain(self.ledger.templates()).for_each(|template| names.extend(template.secrets()));
        names
    }

    /// The same contract, with its secrets. A line end after a value is none of it: files have one.
    ///
    /// # Errors
    /// The name of the first secret that is not there.
    pub fn with_secrets(mut self, secret: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        for name in self.secret_names().into_iter().filter(|name| !self.secrets.has(name)).collect::<Vec<_>>() {
            let value = secret(&name).ok_or_else(|| name.clone())?;
            self.secrets.insert(name, value.trim_end_matches(['\r', '\n']).to_owned());
        }
        Ok(self)
    }

    /// The same contract, with its ledger in another database than the one that it names.
    ///
    /// # Errors
    /// Its ledger is not in a database.
    pub fn with_ledger_url(mut self, url: String) -> Result<Self, String> {
        let Ledger::Sql(Sql { url: template, .. }) = &mut self.ledger else {
            return Err("is not in a database, so that no URL of one can replace it; use ledger.sql".to_owned());
        };
        // It holds a password, so that it is kept as secrets are. No secret of a file can have this name.
        let name = "--ledger-url".to_owned();
        *template = Template::of(Piece::Slot(Placeholder::Secret(name.clone())));
        self.secrets.insert(name, url);
        Ok(self)
    }

    /// The secrets.
    #[must_use]
    pub const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The reference of a payment.
    #[must_use]
    pub fn reference(&self, run: &str, payment: u64) -> String {
        self.reference.reference(run, payment)
    }

    /// The payment whose reference this is; `None`: it is not of this run.
    #[must_use]
    pub fn payment_of(&self, run: &str, reference: &str) -> Option<u64> {
        self.reference.payment_of(run, reference)
    }

    /// What every reference that only this run can have made begins with.
    #[must_use]
    pub fn references_begin(&self, run: &str) -> String {
        self.reference.before_payment(run)
    }

    /// Whether a reference is one that only this run can have made, though it may name no payment of it.
    #[must_use]
    pub fn is_of_run(&self, run: &str, reference: &str) -> bool {
        self.reference.is_of_run(run, reference)
    }
}
