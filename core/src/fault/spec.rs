//! A fault as it is written, in the custom resource and in the rules of the proxy alike, and the checks that it must pass.

use std::{collections::BTreeSet, ops::Range};

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::text_form;
use crate::{
    fault::{
        delay::{DELAY_MAX, Delay},
        effect::Effect,
        kill::{KILL_AFTER_MAX, Kill},
        reset::Reset,
    },
    field_error::FieldError,
};

/// An experiment has at most this many faults: a record keeps one bit for each.
pub const FAULTS_MAX: usize = 16;

/// One fault, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(rename = "Fault", extend("x-kubernetes-validations" = [
        {"rule": "(has(self.reset) ? 1 : 0) + (has(self.delay) ? 1 : 0) + (has(self.kill) ? 1 : 0) == 1", "message": "needs exactly one effect: reset, delay or kill"},
    ]))
)]
pub struct FaultSpec {
    /// The name of the fault, which must be unique in the experiment. Which attempts meet the fault depends on its name: under another
    /// name it meets others.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 63), extend("pattern" = text_form::FAULT_NAME.pattern))
    )]
    pub name: String,
    /// The probability with which an attempt meets the fault, from 0 (never) to 1 (always). The decision follows from the seed, the
    /// payment, the number of the attempt and the name of the fault.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub probability: f64,
    /// The effect `reset`: the proxy resets the connection at a point of the request. Each fault has exactly one effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    /// The effect `delay`: the proxy holds the request or the response at a point for some time and then passes it on. Each fault has
    /// exactly one effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// The effect `kill`: the process of the service is killed at a point of the request and started again at once. It needs somebody who
    /// can do that: on one machine Paylab's own service, or yours with `--target-command`; on a cluster the service that the operator
    /// deploys. Each fault has exactly one effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// The numbers of the attempts that can meet the fault; the first attempt of a payment is number 1. If it is absent, every attempt
    /// can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100), inner(range(min = 1, max = 10_000))))]
    pub attempts: Option<Vec<i32>>,
    /// The payments whose attempts can meet the fault. If it is absent, those of every payment can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<PaymentRange>,
}

/// Payments `from` up to but not including `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [{"rule": "self.from < self.to", "message": "is empty; `from` must be below `to`"}]))
)]
pub struct PaymentRange {
    /// The index of the first payment of the range. Payments are counted from 0.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub from: i64,
    /// The index of the first payment after the range.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub to: i64,
}

impl FaultSpec {
    /// A fault that every attempt of every payment can meet.
    #[must_use]
    pub fn new(name: impl Into<String>, probability: f64, effect: Effect) -> Self {
        let (reset, delay, kill) = match effect {
            Effect::Reset(reset) => (Some(reset), None, None),
            Effect::Delay(delay) => (None, Some(delay), None),
            Effect::Kill(kill) => (None, None, Some(kill)),
        };
        Self { name: name.into(), probability, reset, delay, kill, attempts: None, payments: None }
    }

    /// What the fault does. A fault that passes [`check`] has exactly one effect.
    pub fn effects(&self) -> impl Iterator<Item = Effect> {
        let Self { name: _, probability: _, reset, delay, kill, attempts: _, payments: _ } = self;
        [reset.map(Effect::Reset), delay.map(Effect::Delay), kill.map(Effect::Kill)].into_iter().flatten()
    }
}

impl PaymentRange {
    /// The payments of a range of indices.
    #[must_use]
    pub const fn of(indices: Range<u64>) -> Self {
        Self { from: indices.start.cast_signed(), to: indices.end.cast_signed() }
    }

    /// The same as a range of indices.
    #[must_use]
    pub const fn indices(self) -> Range<u64> {
        self.from.unsigned_abs()..self.to.unsigned_abs()
    }
}

/// Whether a text has the form of [`crate::text_form::FAULT_NAME`].
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// What is wrong with faults, wherever they come from; `field` is the path of their list.
#[must_use]
pub fn check(faults: &[FaultSpec], field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if faults.len() > FAULTS_MAX {
        errors.push(FieldError::new(field, format!("has {} faults; at most {FAULTS_MAX} are allowed", faults.len())));
    }
    let mut names = BTreeSet::new();
    for (index, fault) in faults.iter().enumerate() {
        let path = format!("{field}[{index}]");
        if !names.insert(&fault.name) {
            let text =
                format!("\"{}\" is the name of an earlier fault; each fault needs a name of its own", fault.name);
            errors.push(FieldError::new(format!("{path}.name"), text));
        }
        if !is_name(&fault.name) {
            let text = "must have 1 to 63 lower-case letters, digits or inner dashes";
            errors.push(FieldError::new(format!("{path}.name"), text));
        }
        if !(0.0..=1.0).contains(&fault.probability) {
            let text = format!("{} is not a probability; use 0 to 1", fault.probability);
            errors.push(FieldError::new(format!("{path}.probability"), text));
        }
        if fault.effects().count() != 1 {
            errors.push(FieldError::new(path.clone(), "needs exactly one effect: reset, delay or kill"));
        }
        if fault.delay.is_some_and(|delay| delay.lasts.ms() == 0 || delay.lasts.duration() > DELAY_MAX) {
            errors.push(FieldError::new(format!("{path}.delay.for"), "must be from 1ms to 30s"));
        }
        if fault.kill.is_some_and(|kill| kill.after() > KILL_AFTER_MAX) {
            errors.push(FieldError::new(format!("{path}.kill.after"), "must be at most 30s"));
        }
        if fault.payments.is_some_and(|range| range.from >= range.to || range.from < 0) {
            errors.push(FieldError::new(format!("{path}.payments"), "is empty; `from` must be below `to`"));
        }
        if fault.attempts.as_ref().is_some_and(|list| list.is_empty() || list.iter().any(|k| *k < 1)) {
            errors.push(FieldError::new(format!("{path}.attempts"), "must hold numbers from 1"));
        }
    }
    errors
}
