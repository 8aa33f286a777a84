//! What can be made smaller about an experiment: each step changes one thing, and is pure.

use paylab_core::duration_text::DurationText;
use paylab_resource::spec::{Backoff, Client, Retry, Service};

use super::form::{Form, Strikes};

/// How much longer a booking takes in which a kill is to strike for certain.
const MORE_TIME: u64 = 3;

/// One change, and what it is called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// What becomes smaller, such as `without the fault request-lost`.
    pub(super) what: String,
    /// The experiment after it.
    pub(super) form: Form,
}

/// Every change that makes an experiment smaller, those that save most first.
pub(super) fn steps(form: &Form) -> Vec<Step> {
    let mut steps = payments(form);
    steps.extend(faults(form));
    steps.extend(attempts(form));
    steps.extend(client(form));
    steps.extend(service(form));
    steps.retain(|step| step.form != *form);
    steps
}

/// The same with three times the time for a kill to strike in the middle of a booking: on a busy machine it may come before the first step of a
/// booking, or after its last. `None`: no time would help, or attempts would time out.
pub(super) fn with_more_time(form: &Form) -> Option<Step> {
    let mut wider = form.clone();
    let times = |time: DurationText| DurationText::from_ms(time.ms().saturating_mul(MORE_TIME));
    let processing_time = times(wider.spec.service.processing_time);
    wider.spec.service.processing_time = processing_time;
    let kills = wider.kills_mut();
    if kills.is_empty() || processing_time.ms() == 0 || form.spec.target.is_some() {
        return None;
    }
    kills.into_iter().for_each(|kill| kill.after = kill.after.map(times));
    // Where the prediction says that the result depends on which attempts time out, more time is no help.
    let waits = |time: DurationText| time.ms().saturating_mul(2) < wider.spec.client.retry.attempt_timeout.ms();
    waits(processing_time).then(|| {
        let what = format!("{processing_time} for each booking, and the kill in the middle of it");
        Step { what, form: wider }
    })
}

/// Fewer payments of an experiment whose faults have coins: a payment keeps its index, and so its fate.
fn payments(form: &Form) -> Vec<Step> {
    let count = form.spec.payments.count;
    let fewer = match form.strikes {
        Strikes::Coins(_) => [1, count / 10, count / 2, count * 4 / 5],
        Strikes::Fate(_) => [1; 4],
    };
    let mut fewer: Vec<_> = fewer.into_iter().filter(|fewer| (1..count).contains(fewer)).collect();
    fewer.dedup();
    fewer
        .into_iter()
        .map(|fewer| changed(form, format!("{fewer} payments"), |form| form.spec.payments.count = fewer))
        .collect()
}

/// Without one of the faults, or without all.
fn faults(form: &Form) -> Vec<Step> {
    let mut names: Vec<String> = form.spec().faults.into_iter().map(|fault| fault.name).collect();
    let mut steps = Vec::new();
    if names.len() > 1 {
        steps.push(changed(form, "no faults".to_owned(), |form| match &mut form.strikes {
            Strikes::Coins(faults) => faults.clear(),
            Strikes::Fate(fate) => fate.clear(),
        }));
    }
    names.dedup();
    steps.extend(names.into_iter().map(|name| {
        changed(form, format!("no fault {name}"), |form| match &mut form.strikes {
            Strikes::Coins(faults) => faults.retain(|fault| fault.name != name),
            // The attempts that it struck are gone, and those after them move up.
            Strikes::Fate(fate) => fate.retain(|fault| fault.as_ref().is_none_or(|fault| fault.name != name)),
        })
    }));
    steps
}

/// Fewer attempts: one that is struck less, or a lower bound of the client.
fn attempts(form: &Form) -> Vec<Step> {
    let mut steps = Vec::new();
    let most = form.spec.client.retry.max_attempts;
    let struck = match &form.strikes {
        Strikes::Coins(_) => 0,
        Strikes::Fate(fate) => fate.len(),
    };
    for index in 0..struck {
        for fewer in [0, i32::from(most > 1)] {
            steps.push(changed(form, format!("without attempt {}", index + 1), |form| {
                if let Strikes::Fate(fate) = &mut form.strikes {
                    fate.remove(index);
                }
                form.spec.client.retry.max_attempts -= fewer;
            }));
        }
    }
    let bounds = [i32::try_from(struck).unwrap_or(i32::MAX), i32::try_from(struck + 1).unwrap_or(i32::MAX), most - 1];
    for fewer in bounds.into_iter().filter(|fewer| (1..most).contains(fewer)) {
        steps.push(changed(form, format!("at most {fewer} attempts"), |form| {
            form.spec.client.retry.max_attempts = fewer;
        }));
    }
    steps.dedup();
    steps
}

/// A simpler client.
fn client(form: &Form) -> Vec<Step> {
    let default = Client::default();
    let Retry { max_attempts: _, backoff: _, attempt_timeout, stuck_after } = Retry::default();
    let no_pause = Backoff::default();
    vec![
        changed(form, "one payment at a time".to_owned(), |form| {
            form.spec.client.workers = 1;
            form.spec.client.concurrency = 1;
        }),
        changed(form, "no copies (hedge 1)".to_owned(), |form| form.spec.client.hedge = default.hedge),
        changed(form, "no pauses and no jitter".to_owned(), |form| form.spec.client.retry.backoff = no_pause),
        changed(form, "no rate".to_owned(), |form| form.spec.client.rate = None),
        changed(form, "no kept connections".to_owned(), |form| form.spec.client.connection = default.connection),
        changed(form, "no other amounts".to_owned(), |form| form.spec.client.body_drift = default.body_drift),
        changed(form, "no recovery".to_owned(), |form| form.spec.client.recovery = None),
        changed(form, "no redelivery".to_owned(), |form| form.spec.client.redeliver = None),
        changed(form, "the usual timeout".to_owned(), |form| form.spec.client.retry.attempt_timeout = attempt_timeout),
        changed(form, "the usual stuckAfter".to_owned(), |form| form.spec.client.retry.stuck_after = stuck_after),
        changed(form, "no minExposures".to_owned(), |form| form.spec.min_exposures = None),
    ]
}

/// A simpler service of Paylab's own; there is nothing to be changed about a user's.
fn service(form: &Form) -> Vec<Step> {
    let default = Service::default();
    // A kill that strikes in between needs time for it: without, the violation would show by luck.
    let processing_time =
        if form.is_killed_in_between() { form.spec.service.processing_time } else { default.processing_time };
    vec![
        changed(form, "no processing time".to_owned(), |form| form.spec.service.processing_time = processing_time),
        changed(form, "no keyTtl".to_owned(), |form| form.spec.service.key_ttl = None),
        changed(form, "no failAfter".to_owned(), |form| form.spec.service.fail_after = None),
        changed(form, "one replica".to_owned(), |form| form.spec.service.replicas = default.replicas),
        changed(form, "the usual onDisconnect".to_owned(), |form| {
            form.spec.service.on_disconnect = default.on_disconnect;
        }),
        changed(form, "the usual missingKey".to_owned(), |form| form.spec.service.missing_key = default.missing_key),
    ]
}

fn changed(form: &Form, what: String, change: impl FnOnce(&mut Form)) -> Step {
    let mut form = form.clone();
    change(&mut form);
    form.trim();
    Step { what, form }
}
