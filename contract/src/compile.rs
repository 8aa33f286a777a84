//! Reads a contract and refuses what cannot work, each problem with the path of its field.

mod ledger;

use std::collections::BTreeMap;

use paylab_core::{client::KeyPolicy, field_error::FieldError};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;

use crate::{
    Contract,
    answers::{Answers, Rule},
    path::{Condition, Path},
    request::{Origin, Request, form_pieces, json_pieces, mention, text_pieces},
    secrets::Secrets,
    spec::{AnswerSpec, PaySpec, Place, TargetSpec},
    template::{Escape, Piece, Placeholder, Template},
};

/// Headers that frame a message, or that Paylab sends itself.
const RESERVED_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "paylab-attempt", "expect"];

type Errors = Vec<FieldError>;

/// Reads a contract.
pub(crate) fn contract(spec: &TargetSpec, key: KeyPolicy, field: &str) -> Result<Contract, Errors> {
    let mut errors = Vec::new();
    let at = |name: &str| format!("{field}.{name}");
    let origin = origin(spec, field, &mut errors);
    if let Some(pem) = &spec.ca {
        keep(certificates(pem), &at("ca"), &mut errors);
    }
    let reference = reference(&spec.reference, &at("reference"), &mut errors);
    let pay = pay(spec, key, field, &mut errors);
    let answers = answers(&spec.pay, &at("pay"), &mut errors);
    let ledger = ledger::ledger(&spec.ledger, key, &at("ledger"), &mut errors);
    ledger::settle(spec.ledger.settle, &at("ledger.settle"), &mut errors);
    match (origin, reference, pay, ledger) {
        (Some(origin), Some(reference), Some(pay), Some(ledger)) if errors.is_empty() => Ok(Contract {
            origin,
            pay,
            answers,
            ledger,
            settle: spec.ledger.settle,
            control: spec.control.reference,
            reference,
            secrets: Secrets::default(),
        }),
        _ => Err(errors),
    }
}

/// Where the service is. Whoever deploys an image replaces its place by a URL; until then it has a name that leads nowhere.
fn origin(spec: &TargetSpec, field: &str, errors: &mut Errors) -> Option<Origin> {
    let (url, name) = match spec.place() {
        Some(Place::Url(url)) => (url.to_owned(), "url"),
        Some(Place::Service(service)) => (format!("http://{}:{}", service.name, service.port), "service"),
        Some(Place::Image(image)) => (format!("http://image.invalid:{}", image.port), "image"),
        None => {
            errors.push(FieldError::new(field, "needs exactly one of url, service and image"));
            return None;
        }
    };
    keep(Origin::parse(&url, spec.ca.as_deref()), &format!("{field}.{name}"), errors)
}

/// What was read, or nothing and its problem among the errors.
fn keep<T>(read: Result<T, String>, field: &str, errors: &mut Errors) -> Option<T> {
    read.map_err(|problem| errors.push(FieldError::new(field, problem))).ok()
}

/// Whether there is a certificate in a text, and nothing that cannot be read.
fn certificates(pem: &str) -> Result<(), String> {
    let example = "use the certificate of the CA in PEM, which begins with -----BEGIN CERTIFICATE-----";
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        Ok(_) => Err(format!("has no certificate; {example}")),
        Err(error) => Err(format!("is not PEM ({error}); {example}")),
    }
}

fn template(text: &str, field: &str, errors: &mut Errors) -> Option<Template> {
    keep(Template::parse(text), field, errors)
}

fn path(text: &str, field: &str, errors: &mut Errors) -> Option<Path> {
    keep(Path::parse(text), field, errors)
}

/// References must lead back to their run and their payment.
fn reference(text: &str, field: &str, errors: &mut Errors) -> Option<Template> {
    let template = template(text, field, errors)?;
    let mut slots = template.pieces().iter().filter_map(|piece| match piece {
        Piece::Slot(placeholder) => Some(placeholder),
        Piece::Literal(_) => None,
    });
    let is_good = slots.next() == Some(&Placeholder::Run)
        && slots.next() == Some(&Placeholder::Payment)
        && slots.next().is_none()
        && text.ends_with("{payment}")
        && !text.contains("{run}{payment}");
    if is_good {
        return Some(template);
    }
    let problem = format!(
        "\"{text}\" does not lead back to its payment; use {{run}}, something between, and {{payment}} at the end, such as {{run}}-{{payment}}"
    );
    errors.push(FieldError::new(field, problem));
    None
}

fn pay(spec: &TargetSpec, key: KeyPolicy, field: &str, errors: &mut Errors) -> Option<Request> {
    let pay = &spec.pay;
    let at = |name: &str| format!("{field}.pay.{name}");
    let path = path_template(&pay.post, &at("post"), errors);
    let common = headers(&spec.headers, key, &format!("{field}.headers"), errors);
    let mut headers = headers(&pay.headers, key, &at("headers"), errors);
    let (kind, body) = body(pay, key, field, errors);
    // A compressed body could not be looked into.
    for (name, value) in [("Content-Type", kind), ("Accept-Encoding", Some("identity"))] {
        let is_set = common.iter().chain(&headers).any(|(known, _)| known.eq_ignore_ascii_case(name));
        if let (Some(value), false) = (value, is_set) {
            headers.push((name.to_owned(), Template::of(Piece::Literal(value.to_owned()))));
        }
    }
    let path = path?;
    demand_reference(&path, &headers, &body, field, errors);
    if key == KeyPolicy::None && (path.mentions(&Placeholder::Key) || mention(&body, &Placeholder::Key)) {
        let problem = "None sends no key, but the request needs {key} in its path or body; use PerPayment";
        errors.push(FieldError::new("spec.client.idempotencyKey", problem));
    }
    Some(Request::new(path, common, headers, body))
}

/// A payment that carries neither its reference nor what it is made of is not found in a ledger again.
fn demand_reference(
    path: &Template,
    headers: &[(String, Template)],
    body: &[(Piece, Escape)],
    field: &str,
    errors: &mut Errors,
) {
    let identifies = [Placeholder::Reference, Placeholder::Key, Placeholder::Payment];
    let is_named = identifies.iter().any(|placeholder| {
        path.mentions(placeholder)
            || mention(body, placeholder)
            || headers.iter().any(|(_, value)| value.mentions(placeholder))
    });
    if !is_named {
        let problem = "sends neither {reference} nor {key}, so no payment could be told from another; put {reference} where the ledger shows it again";
        errors.push(FieldError::new(format!("{field}.pay"), problem));
    }
}

fn path_template(text: &str, field: &str, errors: &mut Errors) -> Option<Template> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_path {
        let problem = format!("\"{text}\" is not a path; begin with / and use no spaces");
        errors.push(FieldError::new(field, problem));
        return None;
    }
    template(text, field, errors)
}

/// The headers of a contract; one whose value contains `{key}` is left out where the client sends no key.
fn headers(
    written: &BTreeMap<String, String>,
    key: KeyPolicy,
    field: &str,
    errors: &mut Errors,
) -> Vec<(String, Template)> {
    let mut headers = Vec::new();
    for (name, value) in written {
        let field = format!("{field}.{name}");
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            errors.push(FieldError::new(&*field, "is not the name of a header"));
        }
        if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            errors.push(FieldError::new(&*field, "is set by Paylab; remove it"));
        }
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            errors.push(FieldError::new(&*field, "has a line end or another control character"));
        }
        let Some(value) = template(value, &field, errors) else { continue };
        if key != KeyPolicy::None || !value.mentions(&Placeholder::Key) {
            headers.push((name.clone(), value));
        }
    }
    headers
}

/// The body and its media type.
fn body(
    pay: &PaySpec,
    key: KeyPolicy,
    field: &str,
    errors: &mut Errors,
) -> (Option<&'static str>, Vec<(Piece, Escape)>) {
    let at = |name: &str| format!("{field}.pay.{name}");
    let has_key = key != KeyPolicy::None;
    match (&pay.json, &pay.form, &pay.text) {
        (None, None, None) => (None, Vec::new()),
        (Some(json), None, None) => (Some("application/json"), json_pieces(json, has_key, &at("json"), errors)),
        (None, Some(form), None) => {
            let fields: Vec<_> = form
                .iter()
                .filter_map(|(name, text)| Some((name.clone(), template(text, &at(&format!("form.{name}")), errors)?)))
                .filter(|(_, value)| has_key || value.only() != Some(&Placeholder::Key))
                .collect();
            (Some("application/x-www-form-urlencoded"), form_pieces(fields.into_iter()))
        }
        (None, None, Some(text)) => {
            let pieces = template(text, &at("text"), errors).map(|template| text_pieces(&template)).unwrap_or_default();
            (Some("text/plain; charset=utf-8"), pieces)
        }
        _ => {
            errors.push(FieldError::new(
                format!("{field}.pay"),
                "has several bodies; use at most one of json, form and text",
            ));
            (None, Vec::new())
        }
    }
}

fn answers(pay: &PaySpec, field: &str, errors: &mut Errors) -> Answers {
    let rules = rules(&pay.answers, &format!("{field}.answers"), errors);
    let identity = pay.identity.as_ref().and_then(|text| path(text, &format!("{field}.identity"), errors));
    Answers::new(rules, identity)
}

pub(crate) fn rules(specs: &[AnswerSpec], field: &str, errors: &mut Errors) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let conditions = conditions(&spec.json, &format!("{field}.json"), errors);
        if spec.status.is_empty() && spec.header.is_empty() && conditions.is_empty() && index + 1 < specs.len() {
            errors.push(FieldError::new(
                &*field,
                "matches every answer, so that the rules after it never count; move it to the end",
            ));
        }
        let statuses = spec.status.iter().filter_map(|status| u16::try_from(*status).ok()).collect();
        let headers = spec.header.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        rules.push(Rule { statuses, headers, conditions, meaning: spec.means });
    }
    rules
}

fn conditions(written: &BTreeMap<String, Vec<Value>>, field: &str, errors: &mut Errors) -> Vec<Condition> {
    let read = written.iter().map(|(path, values)| Condition::new(path, values));
    read.filter_map(|read| keep(read, field, errors)).collect()
}
