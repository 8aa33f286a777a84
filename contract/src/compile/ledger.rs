//! Reads where the money is read.

use std::collections::BTreeMap;

use paylab_core::{client::KeyPolicy, field_error::FieldError};
use serde_json::Value;
use url::Url;

use super::{Errors, conditions, path, path_template, template};
use crate::{
    ledger::{EntryPaths, Ledger, List, Lookup, Next, NextKind, Sql, Total},
    money::{AmountPath, Unit},
    spec::{LedgerSpec, ListSpec, LookupSpec, NextSpec, SettleSpec, SqlSpec, TotalSpec},
    template::{Piece, Placeholder, Template},
};

/// The placeholders that tell one payment from another, with their names.
const ONE_OF_MANY: [(Placeholder, &str); 3] =
    [(Placeholder::Reference, "{reference}"), (Placeholder::Key, "{key}"), (Placeholder::Payment, "{payment}")];

pub(super) fn ledger(spec: &LedgerSpec, key: KeyPolicy, field: &str, errors: &mut Errors) -> Option<Ledger> {
    match (&spec.list, &spec.lookup, &spec.sql, &spec.total) {
        (Some(spec), None, None, None) => list(spec, &format!("{field}.list"), errors).map(Ledger::List),
        (None, Some(spec), None, None) => lookup(spec, key, &format!("{field}.lookup"), errors).map(Ledger::Lookup),
        (None, None, Some(spec), None) => sql(spec, &format!("{field}.sql"), errors).map(Ledger::Sql),
        (None, None, None, Some(spec)) => total(spec, &format!("{field}.total"), errors).map(Ledger::Total),
        (None, None, None, None) => {
            errors.push(FieldError::new(field, "is empty; say where the money is read: list, lookup, sql or total"));
            None
        }
        _ => {
            errors.push(FieldError::new(field, "has several ledgers; use one of list, lookup, sql and total"));
            None
        }
    }
}

fn list(spec: &ListSpec, field: &str, errors: &mut Errors) -> Option<List> {
    let entry = entry([&spec.minor, &spec.major], spec.currency.as_ref(), &spec.counts, field, errors);
    let get = path_template(&spec.get, &format!("{field}.get"), errors);
    let items = path(&spec.items, &format!("{field}.items"), errors);
    let reference = path(&spec.reference, &format!("{field}.reference"), errors);
    let next = next(spec.next.as_ref(), &format!("{field}.next"), errors);
    let id = match &spec.id {
        None => None,
        Some(text) => Some(path(text, &format!("{field}.id"), errors)?),
    };
    if let Some(get) = &get {
        refuse_attempts(get, &format!("{field}.get"), errors);
    }
    Some(List { get: get?, items: items?, reference: reference?, id, entry: entry?, next: next? })
}

fn lookup(spec: &LookupSpec, key: KeyPolicy, field: &str, errors: &mut Errors) -> Option<Lookup> {
    let entry = entry([&spec.minor, &spec.major], spec.currency.as_ref(), &spec.counts, field, errors);
    let get = path_template(&spec.get, &format!("{field}.get"), errors);
    let items = path(&spec.items, &format!("{field}.items"), errors);
    if let Some(get) = &get {
        demand_payment(get, key, &format!("{field}.get"), errors);
    }
    let absent = spec.absent.iter().filter_map(|status| u16::try_from(*status).ok()).collect();
    Some(Lookup { get: get?, items: items?, entry: entry?, absent })
}

fn sql(spec: &SqlSpec, field: &str, errors: &mut Errors) -> Option<Sql> {
    let is_secret = |placeholder: &Placeholder| matches!(placeholder, Placeholder::Secret(_));
    let url = template_of(is_secret, "{secret.NAME}", &spec.url, &format!("{field}.url"), errors);
    let (is_run, query) = (|placeholder: &Placeholder| *placeholder == Placeholder::Run, spec.query.trim());
    let query = template_of(is_run, "{run}", query.trim_end_matches(';'), &format!("{field}.query"), errors);
    if url.as_ref().is_some_and(has_password) {
        errors.push(FieldError::new(
            format!("{field}.url"),
            "holds a password that everybody can read; write it as {secret.NAME}",
        ));
    }
    let amount = match (&spec.minor, &spec.major) {
        (Some(minor), None) => Some((minor, Unit::Minor)),
        (None, Some(major)) => Some((major, Unit::Major)),
        _ => {
            errors.push(FieldError::new(field, "needs exactly one amount: minor or major"));
            None
        }
    };
    let amount_column = amount.map(|(column, unit)| (unit.name(), column));
    let currency_column = spec.currency.as_ref().map(|column| ("currency", column));
    for (name, column) in [Some(("reference", &spec.reference)), amount_column, currency_column].into_iter().flatten() {
        check_column(column, &format!("{field}.{name}"), errors);
    }
    let amount = amount.map(|(column, unit)| (column.clone(), unit));
    Some(Sql {
        url: url?,
        query: query?,
        reference: spec.reference.clone(),
        amount: amount?,
        currency: spec.currency.clone(),
    })
}

fn total(spec: &TotalSpec, field: &str, errors: &mut Errors) -> Option<Total> {
    let amount = amount([&spec.minor, &spec.major], field, errors);
    let get = path_template(&spec.get, &format!("{field}.get"), errors)?;
    if !ONE_OF_MANY.iter().any(|(placeholder, _)| get.mentions(placeholder)) {
        return Some(Total { get, amount: amount? });
    }
    let problem = "is about one payment, but a total is about all; use lookup instead";
    errors.push(FieldError::new(format!("{field}.get"), problem));
    None
}

/// A column's name becomes a part of a statement.
fn check_column(column: &str, field: &str, errors: &mut Errors) {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_name = column.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit());
    if !is_name || !column.bytes().next().is_some_and(is_letter) {
        let problem = format!(
            "\"{column}\" is not the name of a column; give the query's column a simple one, as in: select x as amount"
        );
        errors.push(FieldError::new(field, problem));
    }
}

/// Reads a template that may have some placeholders only; `allowed` names them for messages.
fn template_of(
    is_allowed: impl Fn(&Placeholder) -> bool,
    allowed: &str,
    text: &str,
    field: &str,
    errors: &mut Errors,
) -> Option<Template> {
    let template = template(text, field, errors)?;
    let is_bad = |piece: &Piece| matches!(piece, Piece::Slot(placeholder) if !is_allowed(placeholder));
    if template.pieces().iter().any(is_bad) {
        errors.push(FieldError::new(field, format!("has a placeholder that has no value here; use only {allowed}")));
        return None;
    }
    Some(template)
}

/// Whether the URL of a database has a password that is not a secret.
fn has_password(url: &Template) -> bool {
    let literal: String = url.pieces().iter().filter_map(Piece::literal).collect();
    Url::parse(&literal).is_ok_and(|url| {
        url.password().is_some_and(|password| !password.is_empty())
            || url.query_pairs().any(|(name, value)| name == "password" && !value.is_empty())
    })
}

/// Two readings must be apart, and there must be time for both.
pub(super) fn settle(SettleSpec { quiet, within }: SettleSpec, field: &str, errors: &mut Errors) {
    if quiet.ms() == 0 {
        errors.push(FieldError::new(
            format!("{field}.quiet"),
            "0s leaves no time in which a late entry could come; use at least 1ms",
        ));
    }
    if within < quiet {
        errors.push(FieldError::new(
            format!("{field}.within"),
            format!("{within} is shorter than quiet; use at least {quiet}"),
        ));
    }
}

/// A list is about all payments, so that nothing of one payment can stand in its path.
fn refuse_attempts(get: &Template, field: &str, errors: &mut Errors) {
    for (placeholder, name) in ONE_OF_MANY {
        if get.mentions(&placeholder) {
            errors.push(FieldError::new(
                field,
                format!("has {name}, but a list is about all payments; use lookup instead"),
            ));
        }
    }
}

/// A lookup must say which payment it is about.
fn demand_payment(get: &Template, key: KeyPolicy, field: &str, errors: &mut Errors) {
    let by_key = get.mentions(&Placeholder::Key);
    if by_key && key != KeyPolicy::PerPayment {
        let problem =
            "has {key}, but only client.idempotencyKey: PerPayment gives each payment one key; use {reference}";
        errors.push(FieldError::new(field, problem));
    }
    if !by_key && !get.mentions(&Placeholder::Reference) && !get.mentions(&Placeholder::Payment) {
        errors.push(FieldError::new(field, "does not say which payment it is about; put {reference} or {key} into it"));
    }
}

fn entry(
    amounts: [&Option<String>; 2],
    currency: Option<&String>,
    counts: &BTreeMap<String, Vec<Value>>,
    field: &str,
    errors: &mut Errors,
) -> Option<EntryPaths> {
    let amount = amount(amounts, field, errors);
    let counts = conditions(counts, &format!("{field}.counts"), errors);
    let currency = match currency {
        None => None,
        Some(text) => Some(path(text, &format!("{field}.currency"), errors)?),
    };
    Some(EntryPaths { amount: amount?, currency, counts })
}

fn amount([minor, major]: [&Option<String>; 2], field: &str, errors: &mut Errors) -> Option<AmountPath> {
    match (minor, major) {
        (Some(minor), None) => path(minor, &format!("{field}.minor"), errors).map(AmountPath::Minor),
        (None, Some(major)) => path(major, &format!("{field}.major"), errors).map(AmountPath::Major),
        _ => {
            errors.push(FieldError::new(field, "needs exactly one amount: minor or major"));
            None
        }
    }
}

fn next(spec: Option<&NextSpec>, field: &str, errors: &mut Errors) -> Option<Next> {
    let Some(spec) = spec else { return Some(Next { kind: NextKind::OnePage, while_true: None }) };
    let while_true = match &spec.while_true {
        None => None,
        Some(text) => Some(path(text, &format!("{field}.while"), errors)?),
    };
    let kind = match (&spec.query, &spec.url, &spec.link) {
        (Some(query), None, None) => {
            let read = |(name, text): (&String, &String)| {
                Some((name.clone(), path(text, &format!("{field}.query.{name}"), errors)?))
            };
            NextKind::Query(query.iter().map(read).collect::<Option<_>>()?)
        }
        (None, Some(url), None) => NextKind::Url(path(url, &format!("{field}.url"), errors)?),
        (None, None, Some(link)) => NextKind::Link(link.clone()),
        _ => {
            errors.push(FieldError::new(field, "needs exactly one of query, url and link"));
            return None;
        }
    };
    Some(Next { kind, while_true })
}
