//! The nemeses (in Jepsen's sense: what disturbs the system) as data: what each imitates, and how it turns an experiment into one in which it
//! strikes. It does not know how an experiment is run, judged or shown.
//!
//! A new nemesis is one entry in `nemesis/table.rs` and nothing else.

mod table;

use paylab_core::{
    claim::{Claim, Expectation},
    exposures::ExposureKind,
    judge::anomaly::Anomaly,
    targets::ours::Dedup,
};

pub use self::table::ALL;
use crate::spec::{ChaosExperiment, ChaosExperimentSpec, NAME_LEN_MAX, Payments, Service};

/// The label of an experiment that is a cell of a gauntlet; its value is the name of the gauntlet.
pub const GAUNTLET_LABEL: &str = "paylab.dev/gauntlet";
/// The label of such an experiment with the name of its nemesis.
pub const NEMESIS_LABEL: &str = "paylab.dev/nemesis";
/// The name of the gauntlet of Paylab's own modes.
pub const OUR_GAUNTLET: &str = "modes";

/// One way to disturb a payment path.
#[derive(Debug, Clone, Copy)]
pub struct Nemesis {
    /// Its name, as it is written on a command line.
    pub name: &'static str,
    /// The same as the title of a column.
    pub title: &'static str,
    /// What it imitates, in one sentence.
    pub imitates: &'static str,
    /// What it puts to the test, beside what the claim says.
    pub exposes: Exposes,
    /// What else may run on the same service at the same time.
    pub company: Company,
    /// Puts it into an experiment without faults.
    turn: fn(&mut ChaosExperimentSpec),
    /// What becomes of Paylab's own modes under it, in the order of [`Dedup::ALL`].
    ours: [Expected; Dedup::ALL.len()],
}

/// What a nemesis puts to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposes {
    /// What the claim of the experiment says.
    Claim,
    /// Whether a payment is lost that did not arrive. No payment can be booked twice under it.
    Delivery,
}

/// What else may run on the same service at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Runs of other nemeses.
    Others,
    /// Nothing, because the service itself is disturbed.
    Alone,
}

/// What is expected of a payment path under a nemesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The claim holds.
    Holds,
    /// The claim holds although the service is broken: the nemesis cannot tell it from a correct one.
    Blind,
    /// This breaks the claim first of all.
    Broken(Anomaly),
}

/// The experiments of a gauntlet in one row: a service, under every nemesis.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in the table.
    pub name: String,
    /// The experiment that each nemesis turns into its own.
    pub base: ChaosExperiment,
    /// The mode, if it is Paylab's own service.
    pub mode: Option<Dedup>,
    /// The name of its gauntlet.
    pub gauntlet: String,
}

impl Nemesis {
    /// The nemesis of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|nemesis| nemesis.name == name)
    }

    /// What is expected of a subject: a service of a user's is expected to hold.
    #[must_use]
    pub fn expected(&self, subject: &Subject) -> Expected {
        let place = subject.mode.and_then(|mode| Dedup::ALL.into_iter().position(|other| other == mode));
        place.map_or(Expected::Holds, |place| self.ours[place])
    }

    /// The kind of chances that put a claim to the test under this nemesis; `None`: what the claim says.
    #[must_use]
    pub const fn exposure(&self) -> Option<ExposureKind> {
        match self.exposes {
            Exposes::Claim => None,
            Exposes::Delivery => Some(ExposureKind::Undelivered),
        }
    }

    /// The experiment in which this nemesis strikes a subject. It has no faults but those of the nemesis, and as much of the client as the
    /// nemesis leaves.
    #[must_use]
    pub fn experiment(&self, subject: &Subject) -> ChaosExperiment {
        let mut experiment = subject.base.clone();
        experiment.status = None;
        let metadata = &mut experiment.metadata;
        metadata.name = Some(cell_name(metadata.name.as_deref().unwrap_or_default(), self.name));
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(GAUNTLET_LABEL.to_owned(), subject.gauntlet.clone());
        labels.insert(NEMESIS_LABEL.to_owned(), self.name.to_owned());
        let spec = &mut experiment.spec;
        spec.expect = match self.expected(subject) {
            Expected::Holds | Expected::Blind => Expectation::Upheld,
            Expected::Broken(_) => Expectation::Violated,
        };
        spec.faults = Vec::new();
        spec.min_exposures = match self.exposes {
            Exposes::Claim => None,
            Exposes::Delivery => Some(0),
        };
        (self.turn)(spec);
        experiment
    }
}

impl Subject {
    /// A service of a user's, as a file describes it.
    #[must_use]
    pub fn of_file(base: ChaosExperiment) -> Self {
        let name = base.metadata.name.clone().unwrap_or_default();
        Self { gauntlet: name.clone(), name, base, mode: None }
    }

    /// Paylab's own service in one of its modes.
    #[must_use]
    pub fn ours(mode: Dedup, seed: i64) -> Self {
        let name = format!("{mode:?}");
        let mut spec = ChaosExperimentSpec {
            claim: Claim::ExactlyOnce,
            expect: Expectation::Upheld,
            seed: Some(seed),
            payments: Payments::default(),
            client: crate::spec::Client::default(),
            service: Service { dedup: mode, processing_time: table::OUR_PROCESSING_TIME, ..Service::default() },
            target: None,
            faults: Vec::new(),
            min_exposures: None,
            active_deadline: table::OUR_DEADLINE,
            retain: crate::spec::Retain::default(),
        };
        spec.client.idempotency_key = paylab_core::client::KeyPolicy::PerPayment;
        spec.client.concurrency = table::OUR_CONCURRENCY;
        let base = ChaosExperiment::new(&in_dashes(&name), spec);
        Self { name, base, mode: Some(mode), gauntlet: OUR_GAUNTLET.to_owned() }
    }
}

/// `CheckThenInsert` as a part of a resource's name: `check-then-insert`.
fn in_dashes(name: &str) -> String {
    let mut dashed = String::new();
    for (index, character) in name.chars().enumerate() {
        if character.is_ascii_uppercase() && index > 0 {
            dashed.push('-');
        }
        dashed.push(character.to_ascii_lowercase());
    }
    dashed
}

/// The name of an experiment with one more word, not longer than a name may be.
#[must_use]
pub fn cell_name(base: &str, word: &str) -> String {
    let most = NAME_LEN_MAX.saturating_sub(word.len() + 1);
    let base: String = base.chars().take(most).collect();
    format!("{}-{word}", base.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{file, plan::plan};

    fn theirs(spec: &str) -> Subject {
        let text =
            format!("apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {{name: shop}}\nspec: {spec}\n");
        Subject::of_file(file::parse(&text, 7).unwrap().resource)
    }

    #[test]
    fn every_nemesis_turns_every_mode_into_a_valid_experiment() {
        for mode in Dedup::ALL {
            let subject = Subject::ours(mode, 42);
            for nemesis in &ALL {
                let experiment = nemesis.experiment(&subject);
                let errors = crate::validation::check_resource(&json!(experiment));
                assert_eq!(errors, [], "{mode:?} {}", nemesis.name);
                plan(&experiment.spec, 0).unwrap();
            }
        }
    }

    #[test]
    fn every_nemesis_turns_a_client_that_never_retries_into_a_valid_experiment() {
        let hasty = "{claim: ExactlyOnce, client: {retry: {maxAttempts: 1, attemptTimeout: 20s}}}";
        let subject = theirs(hasty);
        for nemesis in &ALL {
            plan(&nemesis.experiment(&subject).spec, 0).unwrap_or_else(|errors| panic!("{}: {errors:?}", nemesis.name));
        }
    }

    #[test]
    fn a_cell_keeps_the_service_the_claim_and_the_seed_and_has_the_faults_of_its_nemesis_alone() {
        let spec = "{claim: AtMostOnce, expect: Violated, seed: 5, minExposures: 7, payments: {count: 9}, client: {concurrency: 3}, faults: \
                    [{name: own, probability: 0.1, reset: {at: Connect}}]}";
        let cell = Nemesis::named("lost-answer").unwrap().experiment(&theirs(spec));
        assert_eq!(cell.metadata.name.as_deref(), Some("shop-lost-answer"));
        let labels = cell.metadata.labels.unwrap();
        assert_eq!((labels[GAUNTLET_LABEL].as_str(), labels[NEMESIS_LABEL].as_str()), ("shop", "lost-answer"));
        let spec = cell.spec;
        assert_eq!((spec.claim, spec.expect, spec.seed), (Claim::AtMostOnce, Expectation::Upheld, Some(5)));
        assert_eq!((spec.payments.count, spec.client.concurrency, spec.min_exposures), (9, 3, None));
        assert_eq!(spec.faults.iter().map(|fault| fault.name.as_str()).collect::<Vec<_>>(), ["response-lost"]);
    }

    #[test]
    fn a_service_is_killed_often_enough_and_not_more_often_with_more_payments() {
        let probabilities = |name: &str, payments: i64, subject: &Subject| {
            let mut subject = subject.clone();
            subject.base.spec.payments.count = payments;
            let cell = Nemesis::named(name).unwrap().experiment(&subject).spec;
            let kills = cell.faults.iter().filter(|fault| fault.kill.is_some());
            (kills.map(|fault| fault.probability).collect::<Vec<_>>(), cell.client.concurrency)
        };
        let spec = "{claim: ExactTotal, client: {concurrency: 5, idempotencyKey: PerPayment}, target: {url: \"http://127.0.0.1:9\", pay: {post: /payments, \
                    headers: {Idempotency-Key: \"{key}\"}, json: {amount: \"{amount.decimal}\"}, answers: [{status: [208], means: Repeat}]}, ledger: {total: {get: /stats, major: $}}}}";
        let theirs = theirs(spec);
        let ours = Subject::ours(Dedup::UniqueKey, 42);
        assert_eq!(probabilities("killed", 40, &ours), (vec![0.1; 3], 1));
        assert_eq!(probabilities("killed", 500, &ours), (vec![0.06; 3], 1));
        assert_eq!(probabilities("killed", 500, &theirs), (vec![0.03; 3], 5), "each strikes several");
        assert_eq!(probabilities("killed", 1_000_000, &theirs).0, [0.0001; 3]);
        assert_eq!(probabilities("restarted", 100, &theirs), (vec![0.5], 1));
        assert_eq!(probabilities("restarted", 500, &theirs), (vec![0.2], 1));
    }

    #[test]
    fn names_are_unique_and_stay_within_their_limit() {
        let names: BTreeSet<_> = ALL.iter().map(|nemesis| nemesis.name).collect();
        assert_eq!(names.len(), ALL.len());
        let long = cell_name(&"a".repeat(NAME_LEN_MAX), "lost-request");
        assert_eq!((long.len(), long.ends_with("a-lost-request")), (NAME_LEN_MAX, true));
        assert_eq!(in_dashes("CheckThenInsert"), "check-then-insert");
    }
}
