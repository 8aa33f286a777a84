//! Doubts and findings with what would remove them, the faults, the answers, and the plan as it was run.

use paylab_core::targets::Target;

use crate::{remedy, run::Run, sentence};

/// At most this much of the experiment is shown, in bytes.
const YAML_LEN_MAX: usize = 40_000;

/// The last part of a report.
pub(super) struct PlanView {
    pub(super) doubts: Vec<Remark>,
    pub(super) findings: Vec<Remark>,
    pub(super) faults: Vec<FaultRow>,
    pub(super) statuses: Vec<Count>,
    pub(super) rules: Vec<Count>,
    pub(super) examples: Vec<String>,
    pub(super) yaml: String,
    pub(super) yaml_is_cut: bool,
    pub(super) made_by: &'static str,
}

/// Something that is to be known, and what would remove it.
pub(super) struct Remark {
    pub(super) text: String,
    pub(super) remedy: &'static str,
}

/// What a fault did.
pub(super) struct FaultRow {
    pub(super) name: String,
    pub(super) effect: String,
    pub(super) probability: String,
    pub(super) drawn: String,
    pub(super) fired: String,
    pub(super) effective: String,
}

/// How often something came.
pub(super) struct Count {
    pub(super) what: String,
    pub(super) count: u64,
}

pub(super) fn view(run: &Run<'_>) -> PlanView {
    let outcome = run.outcome;
    let report = &outcome.report;
    let doubts = report
        .doubts
        .iter()
        .map(|(kind, note)| Remark { text: sentence::doubt(*kind, note), remedy: remedy::of_doubt(*kind) });
    let findings = outcome
        .findings
        .iter()
        .map(|finding| Remark { text: sentence::finding(finding), remedy: remedy::of_finding(finding) });
    let count = |what: String, count: u64| Count { what, count };
    let answers = &report.answers;
    let statuses = answers.statuses.iter().map(|(status, number)| count(format!("Status {status}"), *number));
    let not_understood =
        answers.not_understood.iter().map(|(why, number)| count(format!("Not understood: {why}"), *number));
    let cut = (0..=YAML_LEN_MAX).rev().find(|len| run.yaml.is_char_boundary(*len)).unwrap_or(0);
    PlanView {
        doubts: doubts.collect(),
        findings: findings.collect(),
        faults: faults(run),
        statuses: statuses.chain(not_understood).collect(),
        rules: rules(run),
        examples: answers.examples.iter().map(|example| format!("{}: {}", example.status, example.text)).collect(),
        yaml: run.yaml.get(..cut.min(run.yaml.len())).unwrap_or(run.yaml).to_owned(),
        yaml_is_cut: run.yaml.len() > cut,
        made_by: env!("CARGO_PKG_VERSION"),
    }
}

fn faults(run: &Run<'_>) -> Vec<FaultRow> {
    let record = run.outcome.report.record.as_ref();
    let row = |(index, fault): (usize, &paylab_core::fault::sampler::Fault)| {
        let tally = record.and_then(|record| record.faults.get(index));
        let text = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
        FaultRow {
            name: fault.name.clone(),
            effect: fault.effect.to_string(),
            probability: fault.probability.to_string(),
            drawn: text(tally.map(|tally| tally.drawn)),
            fired: text(tally.map(|tally| tally.fired)),
            effective: text(tally.map(|tally| tally.effective)),
        }
    };
    run.outcome.plan.faults().iter().enumerate().map(row).collect()
}

/// How often each rule of a contract has matched.
fn rules(run: &Run<'_>) -> Vec<Count> {
    let Target::Theirs(service) = &run.outcome.plan.target else { return Vec::new() };
    let answers = &run.outcome.report.answers;
    let matched = (0..).zip(&service.answers).map(|(index, rule)| Count {
        what: format!("answers[{index}] {rule}"),
        count: answers.rules.get(&index).copied().unwrap_or_default(),
    });
    let others = (answers.without_rule > 0).then(|| Count { what: "no rule".to_owned(), count: answers.without_rule });
    matched.chain(others).collect()
}
