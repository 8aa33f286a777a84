//! The request of an attempt. Its parts are templates that are read once; each attempt only fills them.

use paylab_core::field_error::FieldError;
use serde_json::Value;
use url::Url;

use crate::{
    secrets::Secrets,
    template::{Escape, Filling, Piece, Placeholder, Template},
};

/// What would end the line of a header.
const LINE_ENDS: [char; 3] = ['\r', '\n', '\0'];

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `HOST:PORT`, for sockets.
    pub address: String,
    /// As the header `Host` names it.
    pub host: String,
    /// How it is reached under TLS; `None`: it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// The path before all paths, without a slash at its end.
    base: String,
    url: Url,
}

/// What TLS to a service needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whom the certificate must be for: a name or an address.
    pub name: String,
    /// Who may sign it, as certificates in PEM; `None`: the authorities that the machine knows.
    pub ca: Option<String>,
}

/// How a payment is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    path: Template,
    headers: Vec<(String, Template)>,
    /// What of the headers goes with every other request too.
    common: Vec<(String, Template)>,
    body: Vec<(Piece, Escape)>,
}

impl Origin {
    /// Reads the URL of a target. `ca` says who may sign its certificate, if it is an https URL.
    ///
    /// # Errors
    /// It is no URL that can be used.
    pub fn parse(text: &str, ca: Option<&str>) -> Result<Self, String> {
        let example = "use http://HOST:PORT, such as http://127.0.0.1:9000, or https://HOST";
        let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}); {example}"))?;
        let host = url.host_str().filter(|host| matches!(url.scheme(), "http" | "https") && !host.is_empty());
        let host = host.ok_or_else(|| format!("is not an http or https URL; {example}"))?;
        // Certificates name an IPv6 address without its brackets.
        let name = host.trim_matches(['[', ']']).to_owned();
        let tls = (url.scheme() == "https").then(|| Tls { name, ca: ca.map(str::to_owned) });
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name or a password; put them into target.headers as {secret.NAME}".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("must not have a query or a fragment; {example}"));
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let named = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Self { address: format!("{host}:{port}"), host: named, tls, base, url })
    }

    /// The path of its URL, which is before all paths.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A path of the service, behind the path of its URL.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The path and query of a link that the service has given.
    ///
    /// # Errors
    /// It leads elsewhere, where the secrets of this service must not be sent.
    pub fn follow(&self, from: &str, link: &str) -> Result<String, String> {
        let target = self.url.join(from).and_then(|page| page.join(link));
        let target = target.map_err(|error| format!("the link to the next page is not a URL ({error})"))?;
        if target.origin() != self.url.origin() {
            return Err(format!(
                "the link to the next page leads to {}, not to {}",
                target.origin().ascii_serialization(),
                self.host
            ));
        }
        let query = target.query().map_or_else(String::new, |query| format!("?{query}"));
        Ok(format!("{}{query}", target.path()))
    }
}

impl Request {
    pub(crate) const fn new(
        path: Template,
        common: Vec<(String, Template)>,
        headers: Vec<(String, Template)>,
        body: Vec<(Piece, Escape)>,
    ) -> Self {
        Self { path, headers, common, body }
    }

    /// Every template of it.
    pub fn templates(&self) -> impl Iterator<Item = Template> {
        let headers = self.headers.iter().chain(&self.common).map(|(_, value)| value.clone());
        let body = self.body.iter().map(|(piece, _)| Template::of(piece.clone()));
        std::iter::once(self.path.clone()).chain(headers).chain(body)
    }

    /// Adds the path and query to a text.
    pub fn write_path(&self, filling: &Filling<'_>, secrets: &Secrets, out: &mut String) {
        self.path.write(filling, secrets, Escape::Path, out);
    }

    /// Adds the headers to a text, each with its line end.
    pub fn write_headers(&self, filling: &Filling<'_>, secrets: &Secrets, out: &mut String) {
        for (name, value) in self.common.iter().chain(&self.headers) {
            out.push_str(name);
            out.push_str(": ");
            let begin = out.len();
            value.write(filling, secrets, Escape::Plain, out);
            if out[begin..].contains(LINE_ENDS) {
                let value = header_value(&out[begin..]);
                out.truncate(begin);
                out.push_str(&value);
            }
            out.push_str("\r\n");
        }
    }

    /// The headers that go with every request, such as those for the ledger.
    pub fn common_headers(&self, filling: &Filling<'_>, secrets: &Secrets) -> Vec<(String, String)> {
        let value = |template: &Template| header_value(&template.render(filling, secrets, Escape::Plain));
        self.common.iter().map(|(name, template)| (name.clone(), value(template))).collect()
    }

    /// The body.
    #[must_use]
    pub fn body(&self, filling: &Filling<'_>, secrets: &Secrets) -> String {
        let mut body = String::with_capacity(256);
        for (piece, escape) in &self.body {
            piece.write(filling, secrets, *escape, &mut body);
        }
        body
    }
}

/// A value without line ends, which would be further headers.
fn header_value(text: &str) -> String {
    text.replace(LINE_ENDS, " ")
}

/// The pieces of a JSON body. Members whose whole value is `{key}` are left out where the client sends no key.
pub(crate) fn json_pieces(
    value: &Value,
    has_key: bool,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<(Piece, Escape)> {
    let mut pieces = Vec::new();
    write_json(value, has_key, field, errors, &mut pieces);
    pieces
}

fn write_json(value: &Value, has_key: bool, field: &str, errors: &mut Vec<FieldError>, out: &mut Vec<(Piece, Escape)>) {
    match value {
        Value::Object(members) => {
            push(out, "{");
            let kept = members.iter().filter(|(_, value)| has_key || value.as_str() != Some("{key}"));
            for (index, (name, value)) in kept.enumerate() {
                push(out, if index == 0 { "" } else { "," });
                push(out, &format!("{}:", Value::from(name.as_str())));
                write_json(value, has_key, &format!("{field}.{name}"), errors, out);
            }
            push(out, "}");
        }
        Value::Array(items) => {
            push(out, "[");
            for (index, item) in items.iter().enumerate() {
                push(out, if index == 0 { "" } else { "," });
                write_json(item, has_key, &format!("{field}[{index}]"), errors, out);
            }
            push(out, "]");
        }
        Value::String(text) => match Template::parse(text) {
            Err(problem) => errors.push(FieldError::new(field, problem)),
            Ok(template) => match template.only() {
                Some(placeholder) if placeholder.is_number() => {
                    out.push((Piece::Slot(placeholder.clone()), Escape::Plain))
                }
                _ => {
                    push(out, "\"");
                    out.extend(template.pieces().iter().map(|piece| escaped(piece, Escape::Json)));
                    push(out, "\"");
                }
            },
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => push(out, &value.to_string()),
    }
}

/// The pieces of a form.
pub(crate) fn form_pieces(fields: impl Iterator<Item = (String, Template)>) -> Vec<(Piece, Escape)> {
    let mut pieces = Vec::new();
    for (index, (name, value)) in fields.enumerate() {
        push(&mut pieces, if index == 0 { "" } else { "&" });
        pieces.push(escaped(&Piece::Literal(name), Escape::Form));
        push(&mut pieces, "=");
        pieces.extend(value.pieces().iter().map(|piece| escaped(piece, Escape::Form)));
    }
    pieces
}

/// The pieces of a text.
pub(crate) fn text_pieces(template: &Template) -> Vec<(Piece, Escape)> {
    template.pieces().iter().map(|piece| (piece.clone(), Escape::Plain)).collect()
}

/// A piece that is written in this way. What does not change is written now.
fn escaped(piece: &Piece, escape: Escape) -> (Piece, Escape) {
    match piece {
        Piece::Literal(text) => {
            let mut written = String::new();
            escape.write(text, &mut written);
            (Piece::Literal(written), Escape::Plain)
        }
        Piece::Slot(_) => (piece.clone(), escape),
    }
}

fn push(out: &mut Vec<(Piece, Escape)>, text: &str) {
    match out.last_mut() {
        Some((Piece::Literal(last), _)) => last.push_str(text),
        Some((Piece::Slot(_), _)) | None => out.push((Piece::Literal(text.to_owned()), Escape::Plain)),
    }
}

/// Whether pieces have a placeholder.
pub(crate) fn mention(pieces: &[(Piece, Escape)], placeholder: &Placeholder) -> bool {
    pieces.iter().any(|(piece, _)| matches!(piece, Piece::Slot(slot) if slot == placeholder))
}
