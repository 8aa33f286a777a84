//! The contract of a service that is not Paylab's own: how to pay, what its answers mean, and where the money can be read.
//!
//! | module | what is there |
//! |---|---|
//! | [`spec`] | what a user writes, with its schema |
//! | [`template`] | texts with placeholders, such as `{reference}` |
//! | [`request`] | the request of an attempt, made from the templates |
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
pub mod spec;
pub mod template;

use std::collections::BTreeSet;

use paylab_core::{client::KeyPolicy, field_error::FieldError, targets::theirs::TheirService};

use crate::{
    answers::Answers,
    ledger::Ledger,
    request::{Origin, Request},
    spec::{ControlReference, SettleSpec, TargetSpec},
    template::{Filling, Secrets, Template},
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
        TheirService { model: spec.model, repeats: self.answers.repeat_answer(), answers: self.answers.labels() }
    }

    /// The names of the secrets that it mentions.
    #[must_use]
    pub fn secret_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.pay.templates().chain(self.ledger.templates()).for_each(|template| names.extend(template.secrets()));
        names
    }

    /// The same contract, with its secrets.
    ///
    /// # Errors
    /// The name of the first secret that is not there.
    pub fn with_secrets(mut self, secret: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        for name in self.secret_names() {
            let value = secret(&name).ok_or_else(|| name.clone())?;
            self.secrets.insert(name, value);
        }
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

    /// The path and query of the first page of the ledger, or of a payment's entries.
    #[must_use]
    pub fn ledger_path(&self, filling: &Filling<'_>) -> String {
        self.origin.path(&self.ledger.get().render(filling, &self.secrets, template::Escape::Path))
    }
}
