//! The judge is attacked: every way in which a service, a proxy or a load can lie has one right verdict and one right class.

mod fabrications;
mod ledger;
mod load;
mod plans;
mod random;
mod record;
mod story;

use paylab_core::{claim::Verdict, outcome::Reason, plan::Plan};

use crate::story::Story;

/// What is told, on which plan, the lie itself, and the one right reason of the verdict.
type Lie = (&'static str, fn() -> Plan, fn(&mut Story), Reason);

const fn verdict_of(reason: Reason) -> Verdict {
    match reason {
        Reason::ClaimHeld => Verdict::Upheld,
        Reason::Broken(_) => Verdict::Violated,
        Reason::Doubted(_) => Verdict::Inconclusive,
    }
}

/// Tells every lie, and names all that were judged otherwise than they should have been.
fn tell(lies: &[Lie]) {
    let wrong = lies.iter().filter_map(|(name, plan, lie, reason)| {
        let mut story = Story::of(plan());
        lie(&mut story);
        let outcome = story.conclude();
        let is_right = outcome.reason == *reason && outcome.verdict == verdict_of(*reason);
        (!is_right).then(|| format!("{name}: {:?} {}, not {reason}", outcome.verdict, outcome.reason))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_lie_of_the_ledger_has_its_verdict_and_class() {
    tell(ledger::LIES);
}

#[test]
fn every_lie_of_the_record_has_its_verdict_and_class() {
    tell(record::LIES);
}

#[test]
fn every_lie_of_the_load_and_its_senders_has_its_verdict_and_class() {
    tell(load::LIES);
}

#[test]
fn without_a_lie_every_plan_has_the_verdict_that_it_is_known_for() {
    tell(plans::HONEST);
}
